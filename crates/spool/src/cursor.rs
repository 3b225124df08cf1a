//! Durable positions: a file each, of two slots that are written in turns, so that one of them is whole whenever the power goes.
//!
//! A slot is 8 KiB long and begins on a page of its own:
//!
//! | at | bytes | |
//! |---:|---:|---|
//! | 0 | 8 | `SYNCURSR` |
//! | 8 | 4 | version of the format |
//! | 12 | 4 | length of the note |
//! | 16 | 16 | the spool |
//! | 32 | 8 | one more than in the other slot |
//! | 40 | 8 | number of the first record that is not acknowledged |
//! | 48 | 8 | weight of all records before it, since the spool was made |
//! | 56 | 4 | 0 |
//! | 60 | 4 | CRC-32C of the 60 bytes before and the note |
//! | 64 | | the note |

use crate::bytes::{put, u32_at, u64_at};
use crate::error::{Error, Result};
use crate::frame::NUMBER_LIMIT;
use crate::segment::VERSION;
use crate::storage::{Storage, StorageFile, make_file};

/// The longest note, bytes.
pub const NOTE_LIMIT: usize = 4096;
const SLOT_BYTES: usize = 8192;
const FIXED_BYTES: usize = 64;
const CODE: usize = 60;
const MAGIC: [u8; 8] = *b"SYNCURSR";
const SUFFIX: &str = ".cursor";

/// What is saved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Saved {
    pub(crate) next: u64,
    pub(crate) weight_before: u64,
    pub(crate) note: Vec<u8>,
}

/// The file of a cursor.
#[derive(Debug)]
pub(crate) struct CursorFile<F> {
    file: F,
    name: String,
    spool: [u8; 16],
    /// What the next save is numbered; it goes to the slot of its lowest bit.
    generation: u64,
}

/// What a file turned out to be.
pub(crate) enum Loaded<F> {
    Cursor(CursorFile<F>, Saved),
    /// Of another spool.
    Foreign,
    /// Neither slot can be read.
    Damaged,
}

/// Name of the cursor whose file this is.
pub(crate) fn cursor_of(file_name: &str) -> Option<&str> {
    file_name.strip_suffix(SUFFIX).filter(|name| is_name(name))
}

/// Name of a cursor's file.
///
/// # Errors
/// When no cursor can be called so.
pub(crate) fn file_name(cursor: &str) -> Result<String> {
    if is_name(cursor) { Ok(format!("{cursor}{SUFFIX}")) } else { Err(Error::CursorName(cursor.to_owned())) }
}

fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(is_allowed)
}

impl<F: StorageFile> CursorFile<F> {
    /// Makes the file, over a damaged one too; it is there after a crash once this returns.
    pub(crate) fn create<S: Storage<File = F>>(
        storage: &S,
        name: String,
        spool: [u8; 16],
        saved: &Saved,
    ) -> Result<Self> {
        // All of it, so that a later save finds its place on a full disk.
        let mut bytes = vec![0; 2 * SLOT_BYTES];
        put(&mut bytes, SLOT_BYTES, &encode(spool, 1, saved));
        match make_file(storage, &name, &bytes) {
            Ok(file) => Ok(Self { file, name, spool, generation: 2 }),
            Err(error) => Err(Error::io("create", name)(error)),
        }
    }

    /// Reads the file, and makes durable what it says, in both slots: after a failed save and the end of a process that may be in memory only, and
    /// what the disk has of the other slot may be a later position, of an earlier save that failed.
    pub(crate) fn load<S: Storage<File = F>>(storage: &S, name: &str, spool: [u8; 16]) -> Result<Loaded<F>> {
        let file = storage.open(name).map_err(Error::io("open", name))?;
        let mut bytes = vec![0; 2 * SLOT_BYTES];
        let count = file.read_at(&mut bytes, 0).map_err(Error::io("read", name))?;
        bytes.truncate(count);
        let mut newest: Option<Slot> = None;
        for slot in bytes.chunks(SLOT_BYTES).filter_map(decode) {
            if slot.version != VERSION {
                return Err(Error::Version { name: name.to_owned(), found: slot.version, known: VERSION });
            }
            if newest.as_ref().is_none_or(|newest| slot.generation > newest.generation) {
                newest = Some(slot);
            }
        }
        Ok(match newest {
            None => Loaded::Damaged,
            Some(slot) if slot.spool != spool => Loaded::Foreign,
            Some(Slot { generation, saved, .. }) => {
                let mut file = Self { file, name: name.to_owned(), spool, generation };
                file.save(&saved)?;
                file.save(&saved)?;
                Loaded::Cursor(file, saved)
            }
        })
    }

    /// Returns once it is durable. After an error either the old or the new is there after a crash, and the next save goes to the same slot.
    pub(crate) fn save(&mut self, saved: &Saved) -> Result<()> {
        let offset = (self.generation & 1) * SLOT_BYTES as u64;
        let bytes = encode(self.spool, self.generation, saved);
        self.file.write_all_at(&bytes, offset).map_err(Error::io("write", &self.name))?;
        self.file.sync_data().map_err(Error::io("sync", &self.name))?;
        self.generation = self.generation.saturating_add(1);
        Ok(())
    }
}

struct Slot {
    version: u32,
    spool: [u8; 16],
    generation: u64,
    saved: Saved,
}

fn encode(spool: [u8; 16], generation: u64, saved: &Saved) -> Vec<u8> {
    let mut bytes = vec![0; FIXED_BYTES];
    put(&mut bytes, 0, &MAGIC);
    put(&mut bytes, 8, &VERSION.to_le_bytes());
    put(&mut bytes, 12, &u32::try_from(saved.note.len()).unwrap_or(u32::MAX).to_le_bytes());
    put(&mut bytes, 16, &spool);
    put(&mut bytes, 32, &generation.to_le_bytes());
    put(&mut bytes, 40, &saved.next.to_le_bytes());
    put(&mut bytes, 48, &saved.weight_before.to_le_bytes());
    bytes.extend_from_slice(&saved.note);
    let crc = code(&bytes);
    put(&mut bytes, CODE, &crc.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8]) -> Option<Slot> {
    let length = u32_at(bytes.get(..FIXED_BYTES)?, 12) as usize;
    let bytes = bytes.get(..FIXED_BYTES.checked_add(length)?)?;
    if bytes[..8] != MAGIC || length > NOTE_LIMIT || code(bytes) != u32_at(bytes, CODE) {
        return None;
    }
    let mut spool = [0; 16];
    spool.copy_from_slice(&bytes[16..32]);
    let note = bytes[FIXED_BYTES..].to_vec();
    let saved = Saved { next: u64_at(bytes, 40), weight_before: u64_at(bytes, 48), note };
    let slot = Slot { version: u32_at(bytes, 8), spool, generation: u64_at(bytes, 32), saved };
    (slot.saved.next < NUMBER_LIMIT).then_some(slot)
}

fn code(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..CODE]), &bytes[FIXED_BYTES..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_comes_back_and_no_bit_of_it_may_change() {
        let saved = Saved { next: 12, weight_before: 99, note: b"to=20".to_vec() };
        let bytes = encode([3; 16], 8, &saved);
        let slot = decode(&bytes).unwrap();
        assert_eq!((slot.version, slot.spool, slot.generation, &slot.saved), (VERSION, [3; 16], 8, &saved));
        for bit in 0..bytes.len() * 8 {
            let mut hit = bytes.clone();
            hit[bit / 8] ^= 1 << (bit % 8);
            // Four bytes are left over.
            assert_eq!(
                decode(&hit).is_some(),
                (56..60).contains(&(bit / 8)) && code(&hit) == u32_at(&hit, CODE),
                "{bit}"
            );
        }
    }

    #[test]
    fn names_of_files_are_names_of_cursors() {
        assert_eq!(cursor_of(&file_name("up-link_2").unwrap()), Some("up-link_2"));
        for bad in ["", "Up", "a/b", "..", &"a".repeat(65)] {
            assert!(file_name(bad).is_err(), "{bad}");
        }
        assert_eq!(cursor_of("lock"), None);
    }
}
