//! Any bytes as the files of a spool.
//!
//! An input is a sequence of files: which one (a byte), its length (two bytes, the lowest first), its content; of a cursor the fronts of its two
//! slots. Where the byte says so the codes are made right again afterwards, so that not every change ends at the first code.

use syncline_spool::{Config, Content, Error, Reader, Spool, Storage};

use super::model::Model;

/// Of every segment.
pub(crate) const NONCE: u64 = 0x1122_3344_5566_7788;
const CURSOR: &str = "one";
const REPAIRED: u8 = 0x80;
/// Of a cursor's file, and what an input has of a slot.
const SLOT_BYTES: usize = 8192;
const SLOT_FRONT_BYTES: usize = 96;

fn config() -> Config {
    Config {
        segment_bytes: 4096,
        max_bytes: 1 << 20,
        max_record_bytes: 4096,
        max_pending_bytes: 8192,
        ..Config::default()
    }
}

/// Opens it, reads everything, writes, and opens it again. Panics where that should not be possible.
pub(crate) fn exercise(input: &[u8]) {
    let model = files(input);
    let Some((mut spool, mut reader)) = opened(&model) else { return };
    let end = read_all(&mut reader, spool.durable().0);
    let number = match spool.append(b"more", 3) {
        Err(Error::NoNumbers) => return,
        number => number.unwrap().0,
    };
    assert_eq!(number, end);
    spool.commit().unwrap();
    let item = reader.next().unwrap().unwrap();
    assert_eq!((item.first.0, item.weight, item.content), (end, 3, Content::Record(b"more".to_vec())));
    drop((spool, reader));
    model.crash();
    // What was taken once is taken again, and nothing that was read has gone.
    let (spool, mut reader) = opened(&model).unwrap();
    assert_eq!(read_all(&mut reader, spool.durable().0), end + 1);
    reader.acknowledge_below(syncline_spool::RecordNo(end + 1));
    reader.save(b"note").unwrap();
    // Nobody else holds anything.
    spool.remove_cursor("two").unwrap();
    assert_eq!(spool.status().segments, 1);
}

/// None if it is of a later version: nothing else is refused.
fn opened(model: &Model) -> Option<(Spool<Model>, Reader<Model>)> {
    match Spool::open(model.clone(), config()) {
        Ok((spool, _)) => {
            let reader = spool.reader(CURSOR).unwrap();
            Some((spool, reader))
        }
        Err(Error::Version { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

fn read_all(reader: &mut Reader<Model>, end: u64) -> u64 {
    let mut next = reader.saved().0;
    while let Some(item) = reader.next().unwrap() {
        assert_eq!(item.first.0, next);
        assert!(item.next.0 > next && item.next.0 <= end);
        next = item.next.0;
    }
    assert_eq!(next, end);
    next
}

fn files(mut input: &[u8]) -> Model {
    let model = Model::new(1);
    while let [which, low, high, rest @ ..] = input {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let mut content = rest[..length].to_vec();
        if matches!(which & !REPAIRED, 1 | 2) {
            let second = content.split_off(length.min(SLOT_FRONT_BYTES));
            content.resize(SLOT_BYTES, 0);
            content.extend(second);
        }
        if which & REPAIRED != 0 {
            repair(&mut content);
        }
        model.put(&name(which & !REPAIRED), &content);
        input = &rest[length..];
    }
    model
}

/// Two cursors, the spool's own file, and segments whose sequence is up to 15 and whose first number is up to 7.
fn name(which: u8) -> String {
    match which {
        0 => "spool".to_owned(),
        1 => format!("{CURSOR}.cursor"),
        2 => "two.cursor".to_owned(),
        _ => format!("{:016x}-{:016x}-{NONCE:016x}.segment", which >> 3, which & 7),
    }
}

/// Writes the codes of whatever this is: see docs/spool.md.
fn repair(content: &mut [u8]) {
    let code = |content: &mut [u8], from: usize, to: usize, note: usize| {
        if content.len() < to + 4 + note {
            return;
        }
        let crc = crc32c::crc32c_append(crc32c::crc32c(&content[from..to]), &content[to + 4..to + 4 + note]);
        content[to..to + 4].copy_from_slice(&crc.to_le_bytes());
    };
    match content.first_chunk() {
        Some(b"SYNSPLID") => code(content, 0, 32, 0),
        Some(b"SYNSPOOL") => code(content, 0, 124, 0),
        _ => {}
    }
    for slot in [0, SLOT_BYTES] {
        let length = content.get(slot + 12..slot + 16).map_or(0, |bytes| usize::from(bytes[0]));
        if content.get(slot..slot + 8) == Some(b"SYNCURSR") {
            code(content, slot, slot + 60, length);
        }
    }
    for frame in (128..content.len()).step_by(16) {
        if content.get(frame..frame + 8) == Some(&NONCE.to_le_bytes()) {
            code(content, frame, frame + 44, 0);
        }
    }
}

/// The files of a model as an input, under other names.
pub(crate) fn input(model: &Model) -> Vec<u8> {
    let mut input = Vec::new();
    for name in model.list().unwrap() {
        let mut content = model.bytes(&name);
        let which = match name.as_str() {
            "spool" => 0,
            "one.cursor" => {
                content.truncate(SLOT_BYTES + SLOT_FRONT_BYTES);
                content.drain(SLOT_FRONT_BYTES..SLOT_BYTES);
                1
            }
            segment => {
                let mut fields = segment.split(['-', '.']).map(|field| u64::from_str_radix(field, 16).unwrap_or(0));
                let (sequence, first, nonce) =
                    (fields.next().unwrap(), fields.next().unwrap(), fields.next().unwrap().to_le_bytes());
                for at in 0..content.len().saturating_sub(8) {
                    if content[at..at + 8] == nonce {
                        content[at..at + 8].copy_from_slice(&NONCE.to_le_bytes());
                    }
                }
                (sequence << 3 | first) as u8
            }
        };
        input.push(which | REPAIRED);
        input.extend_from_slice(&(content.len() as u16).to_le_bytes());
        input.extend_from_slice(&content);
    }
    input
}

/// Small spools as they are written, of one process and of several.
pub(crate) fn samples() -> Vec<Vec<u8>> {
    let sample = |sizes: &[&[usize]]| {
        let model = Model::new(5);
        for sizes in sizes {
            let (mut spool, _) = Spool::open(model.clone(), config()).unwrap();
            let mut reader = spool.reader(CURSOR).unwrap();
            for size in *sizes {
                spool.append(&vec![7; *size], 1).unwrap();
            }
            spool.commit().unwrap();
            if let Some(item) = reader.next().unwrap() {
                reader.acknowledge(item.first);
            }
            reader.save(b"to=3").unwrap();
        }
        drop(Spool::open(model.clone(), config()).unwrap());
        input(&model)
    };
    vec![sample(&[&[]]), sample(&[&[10, 0]]), sample(&[&[10], &[3, 40], &[5]]), sample(&[&[1, 2, 3], &[4]])]
}
