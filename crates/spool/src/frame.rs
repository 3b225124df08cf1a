//! A record as it lies in a segment: header, payload, zeros up to the next multiple of [`ALIGNMENT`].
//!
//! | at | bytes | |
//! |---:|---:|---|
//! | 0 | 8 | nonce of the segment, which a search for the next frame looks for |
//! | 8 | 8 | number of the record |
//! | 16 | 8 | weight of all records before it, since the spool was made |
//! | 24 | 8 | weight |
//! | 32 | 4 | length of the payload |
//! | 36 | 4 | CRC-32C of the payload |
//! | 40 | 4 | how many records right before it were not yet durable as it was written |
//! | 44 | 4 | CRC-32C of the 44 bytes before |
//!
//! The header has a code of its own, so that damage to a payload leaves its length, number and weight known.

use crate::bytes::{put, u32_at, u64_at};

/// Frames begin at multiples of this, bytes.
pub(crate) const ALIGNMENT: usize = 16;
/// Bytes before the payload.
pub(crate) const HEADER_BYTES: usize = 48;
const CODED_BYTES: usize = HEADER_BYTES - 4;
/// Numbers and sequences are below this, so that none can run over.
pub(crate) const NUMBER_LIMIT: u64 = 1 << 62;

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) nonce: u64,
    pub(crate) number: u64,
    pub(crate) weight_before: u64,
    pub(crate) weight: u64,
    pub(crate) length: u32,
    pub(crate) payload_crc: u32,
    pub(crate) not_yet_durable: u32,
}

impl FrameHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        put(&mut bytes, 0, &self.nonce.to_le_bytes());
        put(&mut bytes, 8, &self.number.to_le_bytes());
        put(&mut bytes, 16, &self.weight_before.to_le_bytes());
        put(&mut bytes, 24, &self.weight.to_le_bytes());
        put(&mut bytes, 32, &self.length.to_le_bytes());
        put(&mut bytes, 36, &self.payload_crc.to_le_bytes());
        put(&mut bytes, 40, &self.not_yet_durable.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..CODED_BYTES]);
        put(&mut bytes, CODED_BYTES, &crc.to_le_bytes());
        bytes
    }

    /// The header at the front of `bytes`, if it is one of the segment with this nonce, unharmed.
    pub(crate) fn decode(bytes: &[u8], nonce: u64) -> Option<Self> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        if u64_at(bytes, 0) != nonce || crc32c::crc32c(&bytes[..CODED_BYTES]) != u32_at(bytes, CODED_BYTES) {
            return None;
        }
        let header = Self {
            nonce,
            number: u64_at(bytes, 8),
            weight_before: u64_at(bytes, 16),
            weight: u64_at(bytes, 24),
            length: u32_at(bytes, 32),
            payload_crc: u32_at(bytes, 36),
            not_yet_durable: u32_at(bytes, 40),
        };
        (header.number < NUMBER_LIMIT).then_some(header)
    }

    /// Bytes from here to the next frame.
    pub(crate) fn frame_bytes(&self) -> u64 {
        frame_bytes(u64::from(self.length))
    }

    /// All records below this number were durable as this one was written.
    pub(crate) fn durable_below(&self) -> u64 {
        self.number.saturating_sub(u64::from(self.not_yet_durable))
    }

    /// Weight of all records up to this one.
    pub(crate) fn weight_after(&self) -> u64 {
        self.weight_before.saturating_add(self.weight)
    }
}

/// Bytes of a frame with a payload of so many.
pub(crate) fn frame_bytes(payload: u64) -> u64 {
    (HEADER_BYTES as u64 + payload).next_multiple_of(ALIGNMENT as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: FrameHeader = FrameHeader {
        nonce: 0x1122_3344_5566_7788,
        number: 7,
        weight_before: 50,
        weight: 9,
        length: 3,
        payload_crc: 0xdead_beef,
        not_yet_durable: 2,
    };

    #[test]
    fn a_header_comes_back() {
        assert_eq!(FrameHeader::decode(&HEADER.encode(), HEADER.nonce), Some(HEADER));
        assert_eq!((HEADER.durable_below(), HEADER.weight_after(), HEADER.frame_bytes()), (5, 59, 64));
    }

    #[test]
    fn no_bit_of_a_header_may_change() {
        let bytes = HEADER.encode();
        for bit in 0..HEADER_BYTES * 8 {
            let mut hit = bytes;
            hit[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FrameHeader::decode(&hit, HEADER.nonce), None, "bit {bit}");
        }
        assert_eq!(FrameHeader::decode(&bytes, HEADER.nonce + 1), None);
        assert_eq!(FrameHeader::decode(&bytes[..HEADER_BYTES - 1], HEADER.nonce), None);
        assert_eq!(FrameHeader::decode(&[0; HEADER_BYTES], 0), None);
    }
}
