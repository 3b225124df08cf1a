//! What a record of the spool holds: a batch as it came, and when.
//!
//! | at | bytes | |
//! |---:|---:|---|
//! | 0 | 1 | version, 1 |
//! | 1 | 8 | when it came: REF, ns, little-endian |
//! | 9 | | the batch, as on the wire |

use syncline_event::limits;
use syncline_timebase::{Instant, Reference as ReferenceScale};
use thiserror::Error;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 9;
/// The longest record.
pub(crate) const RECORD_BYTES: u32 = (HEADER_BYTES + limits::WIRE_BYTES) as u32;

/// A record that this version cannot read.
#[derive(Debug, Error)]
#[error("a record of the spool begins with {0:?}: it is of another version")]
pub(crate) struct UnknownRecord(Option<u8>);

pub(crate) fn encode(received: Instant<ReferenceScale>, batch_zstd: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(HEADER_BYTES + batch_zstd.len());
    record.push(VERSION);
    record.extend_from_slice(&received.ns().to_le_bytes());
    record.extend_from_slice(batch_zstd);
    record
}

/// When the batch came, and the batch.
pub(crate) fn decode(record: &[u8]) -> Result<(Instant<ReferenceScale>, &[u8]), UnknownRecord> {
    let unknown = || UnknownRecord(record.first().copied());
    let (header, batch_zstd) = record.split_at_checked(HEADER_BYTES).ok_or_else(unknown)?;
    let received = header[1..].try_into().ok().filter(|_| header[0] == VERSION).ok_or_else(unknown)?;
    Ok((Instant::from_ns(i64::from_le_bytes(received)), batch_zstd))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_and_what_is_none_is_told() {
        let record = encode(Instant::from_ns(-5), b"batch");
        assert_eq!(decode(&record).unwrap(), (Instant::from_ns(-5), &b"batch"[..]));
        assert_eq!(decode(&encode(Instant::from_ns(7), b"")).unwrap().1, b"");
        assert!(decode(&[]).is_err() && decode(&record[..8]).is_err());
        assert!(decode(&[&[2], &record[1..]].concat()).unwrap_err().to_string().contains('2'));
    }
}
