//! What a segment is called, and what stands at its front.
//!
//! | at | bytes | |
//! |---:|---:|---|
//! | 0 | 8 | `SYNSPOOL` |
//! | 8 | 4 | version of the format |
//! | 12 | 4 | 0 |
//! | 16 | 16 | the spool |
//! | 32 | 8 | sequence of the segment |
//! | 40 | 8 | number of its first record |
//! | 48 | 8 | nonce of the segment |
//! | 56 | 8 | weight of all records before, since the spool was made |
//! | 64 | 8 | sequence of the segment before, or all ones |
//! | 72 | 8 | nonce of the segment before |
//! | 80 | 44 | 0 |
//! | 124 | 4 | CRC-32C of the 124 bytes before |
//!
//! Sequence, first number and nonce are in the name too, so damage to the header loses no record.

use crate::bytes::{put, u32_at, u64_at};
use crate::frame::NUMBER_LIMIT;

/// Bytes before the first frame.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 128;
const CODED_BYTES: usize = SEGMENT_HEADER_BYTES - 4;
const MAGIC: [u8; 8] = *b"SYNSPOOL";
/// Version of the format of segments, cursors and the spool's own file.
pub(crate) const VERSION: u32 = 1;
const NONE: u64 = u64::MAX;
const SUFFIX: &str = ".segment";

/// Which segment it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentId {
    /// One more than that of the segment before it in time.
    pub(crate) sequence: u64,
    /// Number of its first record.
    pub(crate) first: u64,
    /// By chance; in the name, the header and each frame.
    pub(crate) nonce: u64,
}

impl SegmentId {
    /// Name of the file.
    pub(crate) fn name(&self) -> String {
        format!("{:016x}-{:016x}-{:016x}{SUFFIX}", self.sequence, self.first, self.nonce)
    }

    /// By the name of a file; none if it is no segment's.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        let mut numbers = name.strip_suffix(SUFFIX)?.split('-').map(|field| u64::from_str_radix(field, 16));
        let id = Self { sequence: numbers.next()?.ok()?, first: numbers.next()?.ok()?, nonce: numbers.next()?.ok()? };
        // Only the very name that we give: no sign, no capital letter.
        (id.sequence < NUMBER_LIMIT && id.first < NUMBER_LIMIT && id.name() == name).then_some(id)
    }
}

/// What stands at the front of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) spool: [u8; 16],
    pub(crate) id: SegmentId,
    pub(crate) weight_before: u64,
    /// Sequence and nonce of the segment before.
    pub(crate) previous: Option<(u64, u64)>,
}

/// What a header may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    Header(SegmentHeader),
    /// Unharmed, and of a format that we do not know.
    Version(u32),
    Damaged,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let (before, before_nonce) = self.previous.unwrap_or((NONE, 0));
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        put(&mut bytes, 0, &MAGIC);
        put(&mut bytes, 8, &VERSION.to_le_bytes());
        put(&mut bytes, 16, &self.spool);
        let numbers =
            [self.id.sequence, self.id.first, self.id.nonce, self.weight_before, before, before_nonce].into_iter();
        numbers.zip((32..).step_by(8)).for_each(|(number, at)| put(&mut bytes, at, &number.to_le_bytes()));
        let crc = crc32c::crc32c(&bytes[..CODED_BYTES]);
        put(&mut bytes, CODED_BYTES, &crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Decoded {
        let Some(bytes) = bytes.first_chunk::<SEGMENT_HEADER_BYTES>() else { return Decoded::Damaged };
        if bytes[..8] != MAGIC || crc32c::crc32c(&bytes[..CODED_BYTES]) != u32_at(bytes, CODED_BYTES) {
            return Decoded::Damaged;
        }
        match u32_at(bytes, 8) {
            VERSION => {}
            other => return Decoded::Version(other),
        }
        let mut spool = [0; 16];
        spool.copy_from_slice(&bytes[16..32]);
        let id = SegmentId { sequence: u64_at(bytes, 32), first: u64_at(bytes, 40), nonce: u64_at(bytes, 48) };
        let previous = Some((u64_at(bytes, 64), u64_at(bytes, 72))).filter(|(sequence, _)| *sequence != NONE);
        Decoded::Header(Self { spool, id, weight_before: u64_at(bytes, 56), previous })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: SegmentId = SegmentId { sequence: 3, first: 40, nonce: 0xabcd };
    const HEADER: SegmentHeader =
        SegmentHeader { spool: [9; 16], id: ID, weight_before: 77, previous: Some((2, 0x1234)) };

    #[test]
    fn a_name_comes_back_and_no_other_is_taken() {
        assert_eq!(SegmentId::of_name(&ID.name()), Some(ID));
        for other in ["lock", ".segment", "1-2-3.segment", "+000000000000003-0000000000000028-000000000000abcd.segment"]
        {
            assert_eq!(SegmentId::of_name(other), None, "{other}");
        }
        assert_eq!(SegmentId::of_name(&ID.name().to_uppercase()), None);
        assert_eq!(SegmentId::of_name(&SegmentId { first: NUMBER_LIMIT, ..ID }.name()), None);
    }

    #[test]
    fn a_header_comes_back_and_no_bit_of_it_may_change() {
        let bytes = HEADER.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Decoded::Header(HEADER));
        for bit in 0..SEGMENT_HEADER_BYTES * 8 {
            let mut hit = bytes;
            hit[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&hit), Decoded::Damaged, "bit {bit}");
        }
        assert_eq!(SegmentHeader::decode(&bytes[..SEGMENT_HEADER_BYTES - 1]), Decoded::Damaged);
    }

    #[test]
    fn a_later_format_is_told_apart_from_damage() {
        let mut bytes = HEADER.encode();
        put(&mut bytes, 8, &2_u32.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..CODED_BYTES]);
        put(&mut bytes, CODED_BYTES, &crc.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), Decoded::Version(2));
    }
}
