//! The file of one build's symbols.
//!
//! ```text
//! "SYNCSYM1" | XXH3-64 of the rest u64 LE | Content in postcard's form
//! ```
//!
//! It is believed as a whole or not at all: its checksum must fit, and it must say that it is of this build.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use syncline_event::Symbol;
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

/// To be raised when the same file would give other symbols.
const MAGIC: &[u8; 8] = b"SYNCSYM1";

/// Symbols by address, each with its calls, innermost first.
pub(super) type Symbols = HashMap<u64, Vec<Symbol>>;

/// Why a file is not used.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum Damage {
    #[error("it is no file of symbols of this version")]
    Foreign,
    #[error("it is damaged: its checksum does not fit")]
    Checksum,
    #[error("it is damaged: {0}")]
    Content(&'static str),
    #[error("it is of another build")]
    OtherBuild,
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}

#[derive(Serialize, Deserialize)]
struct Content {
    build_id: u64,
    identity: String,
    texts: Vec<String>,
    addresses: Vec<Address>,
}

#[derive(Serialize, Deserialize)]
struct Address {
    pc: u64,
    calls: Vec<Call>,
}

/// Function and file are places in the texts.
#[derive(Serialize, Deserialize)]
struct Call {
    function: u32,
    file: u32,
    line: u32,
}

/// The bytes of a file; the same symbols give the same bytes.
pub(super) fn encode(build_id: u64, identity: &str, symbols: &Symbols) -> Vec<u8> {
    let mut texts = Texts::default();
    let mut pcs: Vec<_> = symbols.iter().collect();
    pcs.sort_unstable_by_key(|(pc, _)| **pc);
    let mut call = |symbol: &Symbol| Call {
        function: texts.place(&symbol.function),
        file: texts.place(&symbol.file),
        line: symbol.line,
    };
    let addresses =
        pcs.into_iter().map(|(pc, calls)| Address { pc: *pc, calls: calls.iter().map(&mut call).collect() });
    let addresses = addresses.collect();
    let content = Content { build_id, identity: identity.to_owned(), texts: texts.list, addresses };
    // Into memory it fails for no type of ours.
    let body = postcard::to_allocvec(&content).unwrap_or_default();
    [MAGIC, &xxh3_64(&body).to_le_bytes()[..], &body].concat()
}

/// The symbols in the bytes of a file of this build.
pub(super) fn decode(bytes: &[u8], build_id: u64, identity: &str) -> Result<Symbols, Damage> {
    let rest = bytes.strip_prefix(MAGIC).ok_or(Damage::Foreign)?;
    let (checksum, body) = rest.split_first_chunk().ok_or(Damage::Checksum)?;
    if xxh3_64(body) != u64::from_le_bytes(*checksum) {
        return Err(Damage::Checksum);
    }
    let (content, after): (Content, _) = postcard::take_from_bytes(body).map_err(|_| Damage::Content("its form"))?;
    if !after.is_empty() {
        return Err(Damage::Content("its length"));
    }
    if content.build_id != build_id || content.identity != identity {
        return Err(Damage::OtherBuild);
    }
    let symbols = content.addresses.iter().map(|address| Ok((address.pc, symbols_of(address, &content)?)));
    symbols.collect()
}

fn symbols_of(address: &Address, content: &Content) -> Result<Vec<Symbol>, Damage> {
    let text = |place: u32| {
        let text = usize::try_from(place).ok().and_then(|place| content.texts.get(place));
        text.cloned().ok_or(Damage::Content("a text that is not there"))
    };
    let symbol = |(depth, call): (usize, &Call)| {
        Ok(Symbol {
            build_id: content.build_id,
            pc: address.pc,
            depth: u8::try_from(depth).map_err(|_| Damage::Content("too many calls at one address"))?,
            function: text(call.function)?,
            file: text(call.file)?,
            line: call.line,
        })
    };
    address.calls.iter().enumerate().map(symbol).collect()
}

/// Each text once.
#[derive(Default)]
struct Texts {
    list: Vec<String>,
    places: HashMap<String, u32>,
}

impl Texts {
    fn place(&mut self, text: &str) -> u32 {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let place = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.list.push(text.to_owned());
        self.places.insert(text.to_owned(), place);
        place
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const BUILD: u64 = 0xfeed_f00d;

    pub(in super::super) fn symbols(pcs: std::ops::Range<u64>) -> Symbols {
        let symbol = |pc, depth| Symbol {
            build_id: BUILD,
            pc,
            depth,
            function: format!("main.f{}", pc / 4),
            file: "main.go".to_owned(),
            line: u32::try_from(pc).unwrap(),
        };
        pcs.map(|pc| (pc, (0..=u8::from(pc % 2 == 0)).map(|depth| symbol(pc, depth)).collect())).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        for all in [symbols(0..0), symbols(0..100)] {
            assert_eq!(decode(&encode(BUILD, "me", &all), BUILD, "me").unwrap(), all);
        }
        assert_eq!(encode(BUILD, "me", &symbols(0..100)), encode(BUILD, "me", &symbols(0..100)));
    }

    #[test]
    fn a_text_is_there_once() {
        let bytes = encode(BUILD, "me", &symbols(0..1_000));
        assert!(bytes.len() < 1_000 * 14, "{}", bytes.len());
    }

    #[test]
    fn it_is_refused_when_it_is_cut_anywhere_lengthened_or_changed_anywhere() {
        let whole = encode(BUILD, "me", &symbols(0..20));
        for length in 0..whole.len() {
            assert!(decode(&whole[..length], BUILD, "me").is_err(), "cut at {length}");
            let mut changed = whole.clone();
            changed[length] ^= 0x10;
            assert!(decode(&changed, BUILD, "me").is_err(), "changed at {length}");
        }
        assert_eq!(decode(&[&whole[..], b"x"].concat(), BUILD, "me"), Err(Damage::Checksum));
    }

    #[test]
    fn it_is_refused_when_it_is_of_another_build_or_nonsense_with_a_checksum() {
        let whole = encode(BUILD, "me", &symbols(0..20));
        assert_eq!(decode(&whole, BUILD + 1, "me"), Err(Damage::OtherBuild));
        assert_eq!(decode(&whole, BUILD, "you"), Err(Damage::OtherBuild));
        for body in [&[0xff; 100][..], &[1, 0, 0, 1, 5, 1, 9, 9, 9], &whole[16..40]] {
            let forged = [MAGIC, &xxh3_64(body).to_le_bytes()[..], body].concat();
            assert!(matches!(decode(&forged, 1, ""), Err(Damage::Content(_))), "{body:?}");
        }
    }
}
