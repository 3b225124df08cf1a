//! A batch as it lies in the spool: what has to be known of it, then the batch as it travels.
//!
//! | at | bytes | little-endian |
//! |---:|---:|---|
//! | 0 | 8 | [`MAGIC`], with the version |
//! | 8 | 8 | boot in which it was made |
//! | 16 | 8 | first sequence number of the run that made it |
//! | 24 | 8 | its number |
//! | 32 | 8 | finished waits in it |
//! | 40 | 8 | waits in its sums |
//! | 48 | | the batch |
//!
//! The spool itself sees to it that nothing of it is altered.

use bytes::Bytes;
use syncline_spool::RecordNo;
use syncline_timebase::BootId;

use crate::queue::{BatchId, Entry};

const MAGIC: &[u8; 8] = b"SYNCBAT1";
/// Bytes before the batch.
pub(super) const HEADER_BYTES: usize = 48;

/// A batch as a record.
pub(super) fn encode(entry: &Entry) -> Vec<u8> {
    let BatchId { boot, run_first_seq, number } = entry.id;
    let mut record = Vec::with_capacity(HEADER_BYTES + entry.bytes.len());
    record.extend_from_slice(MAGIC);
    for field in [boot.0, run_first_seq, number, entry.waits, entry.summed] {
        record.extend_from_slice(&field.to_le_bytes());
    }
    record.extend_from_slice(&entry.bytes);
    record
}

/// The batch of a record; `is_own` tells whether the present run made it. None if another version of this program wrote it.
pub(super) fn decode(number: RecordNo, record: Vec<u8>, own_run: BatchId) -> Option<Entry> {
    let rest = record.strip_prefix(MAGIC)?;
    let (fields, _) = rest.split_first_chunk::<{ HEADER_BYTES - 8 }>()?;
    let (fields, _) = fields.as_chunks::<8>();
    let [boot, run_first_seq, batch, waits, summed] = fields else { return None };
    let [boot, run_first_seq, batch, waits, summed] =
        [boot, run_first_seq, batch, waits, summed].map(|field| u64::from_le_bytes(*field));
    let id = BatchId { boot: BootId(boot), run_first_seq, number: batch };
    Some(Entry {
        id,
        bytes: Bytes::from(record).slice(HEADER_BYTES..),
        waits,
        summed,
        // Those were told when it became durable.
        tells: Vec::new(),
        is_earlier: (id.boot, id.run_first_seq) != (own_run.boot, own_run.run_first_seq),
        record: Some(number),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        let id = BatchId { boot: BootId(3), run_first_seq: 40, number: 47 };
        let record = Some(RecordNo(9));
        Entry {
            id,
            bytes: Bytes::from_static(b"batch"),
            waits: 5,
            summed: 6,
            tells: Vec::new(),
            is_earlier: true,
            record,
        }
    }

    #[test]
    fn a_record_is_read_as_it_was_written_and_its_run_is_known() {
        let own = BatchId { run_first_seq: 41, ..entry().id };
        assert_eq!(decode(RecordNo(9), encode(&entry()), own), Some(entry()));
        let own = BatchId { number: 0, ..entry().id };
        assert!(!decode(RecordNo(9), encode(&entry()), own).unwrap().is_earlier);
        let own = BatchId { boot: BootId(4), ..entry().id };
        assert!(
            decode(RecordNo(9), encode(&entry()), own).unwrap().is_earlier,
            "of another boot, at the same time of it"
        );
    }

    #[test]
    fn what_is_no_record_of_this_version_is_none() {
        let whole = encode(&entry());
        for length in 0..HEADER_BYTES {
            assert_eq!(decode(RecordNo(9), whole[..length].to_vec(), entry().id), None, "{length}");
        }
        let mut later = whole;
        later[7] = b'2';
        assert_eq!(decode(RecordNo(9), later, entry().id), None);
    }

    /// What lies on the disks of agents in the field.
    #[test]
    fn version_1_stays_what_it_is() {
        let golden =
            b"SYNCBAT1\x03\0\0\0\0\0\0\0\x28\0\0\0\0\0\0\0\x2f\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0\x06\0\0\0\0\0\0\0batch";
        assert_eq!(encode(&entry()), golden);
        let own = BatchId { run_first_seq: 41, ..entry().id };
        assert_eq!(decode(RecordNo(9), golden.to_vec(), own), Some(entry()));
    }
}
