//! Records that wait in memory for a commit, laid out as they will be written.

use std::collections::VecDeque;

use crate::bytes::put;
use crate::frame::{FrameHeader, HEADER_BYTES, frame_bytes};

/// What is kept of the memory of a large group, bytes.
const KEPT_BYTES: usize = 4 << 20;

#[derive(Debug, Default)]
pub(crate) struct Pending {
    bytes: Vec<u8>,
    frames: VecDeque<Frame>,
}

/// All of a frame but what depends on the segment it will lie in.
#[derive(Clone, Copy, Debug)]
struct Frame {
    number: u64,
    weight_before: u64,
    weight: u64,
    length: u32,
    payload_crc: u32,
}

impl Frame {
    fn bytes(&self) -> usize {
        frame_bytes(self.length.into()) as usize
    }
}

/// The front of what is pending, as it is to be written.
pub(crate) struct Run {
    pub(crate) frames: usize,
    pub(crate) bytes: usize,
    /// Number behind the last record, and the weight of all records up to it.
    pub(crate) next: u64,
    pub(crate) weight: u64,
}

impl Pending {
    pub(crate) fn push(&mut self, number: u64, weight_before: u64, weight: u64, payload: &[u8]) {
        let (length, payload_crc) = (payload.len() as u32, crc32c::crc32c(payload));
        let frame = Frame { number, weight_before, weight, length, payload_crc };
        let end = self.bytes.len() + frame.bytes();
        // The header is filled in when the segment is known.
        self.bytes.resize(self.bytes.len() + HEADER_BYTES, 0);
        self.bytes.extend_from_slice(payload);
        self.bytes.resize(end, 0);
        self.frames.push_back(frame);
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Bytes of the first frame.
    pub(crate) fn first_bytes(&self) -> u64 {
        self.frames.front().map_or(0, |frame| frame.bytes() as u64)
    }

    /// As many frames from the front as fit into so many bytes, made ready for the segment with this nonce.
    pub(crate) fn run(&mut self, room: u64, nonce: u64, durable_below: u64) -> Run {
        let mut run = Run { frames: 0, bytes: 0, next: durable_below, weight: 0 };
        for frame in &self.frames {
            let end = run.bytes + frame.bytes();
            if end as u64 > room {
                break;
            }
            let not_yet_durable = u32::try_from(frame.number - durable_below).unwrap_or(u32::MAX);
            let &Frame { number, weight_before, weight, length, payload_crc } = frame;
            let header = FrameHeader { nonce, number, weight_before, weight, length, payload_crc, not_yet_durable };
            put(&mut self.bytes, run.bytes, &header.encode());
            run = Run { frames: run.frames + 1, bytes: end, next: number + 1, weight: header.weight_after() };
        }
        run
    }

    pub(crate) fn run_bytes(&self, run: &Run) -> &[u8] {
        &self.bytes[..run.bytes]
    }

    /// Takes a run out that is durable now.
    pub(crate) fn remove(&mut self, run: &Run) {
        self.frames.drain(..run.frames);
        self.bytes.drain(..run.bytes);
        if self.bytes.is_empty() && self.bytes.capacity() > KEPT_BYTES {
            self.bytes.shrink_to(KEPT_BYTES);
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
