//! Which spool it is: a number by chance, in a file of its own and in every segment and cursor.
//!
//! `SYNSPLID`, version of the format (4 bytes), 0 (4), the number (16), CRC-32C of the 32 bytes before (4).

use std::io;

use crate::bytes::{put, u32_at};
use crate::error::{Error, Result};
use crate::segment::VERSION;
use crate::storage::{Storage, StorageFile, make_file};

pub(crate) const NAME: &str = "spool";
const MAGIC: [u8; 8] = *b"SYNSPLID";
const BYTES: usize = 36;

/// Reads it; none if it is not there, or damaged.
pub(crate) fn load<S: Storage>(storage: &S) -> Result<Option<[u8; 16]>> {
    let file = match storage.open(NAME) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open", NAME)(error)),
    };
    let mut bytes = [0; BYTES];
    let count = file.read_at(&mut bytes, 0).map_err(Error::io("read", NAME))?;
    if count < BYTES || bytes[..8] != MAGIC || crc32c::crc32c(&bytes[..32]) != u32_at(&bytes, 32) {
        return Ok(None);
    }
    match u32_at(&bytes, 8) {
        VERSION => Ok(bytes[16..].first_chunk().copied()),
        found => Err(Error::Version { name: NAME.to_owned(), found, known: VERSION }),
    }
}

/// Makes it.
pub(crate) fn store<S: Storage>(storage: &S, spool: [u8; 16]) -> Result<()> {
    let mut bytes = [0; BYTES];
    put(&mut bytes, 0, &MAGIC);
    put(&mut bytes, 8, &VERSION.to_le_bytes());
    put(&mut bytes, 16, &spool);
    let crc = crc32c::crc32c(&bytes[..32]);
    put(&mut bytes, 32, &crc.to_le_bytes());
    make_file(storage, NAME, &bytes).map(drop).map_err(Error::io("create", NAME))
}
