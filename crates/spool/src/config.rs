//! What a spool can be told.

use crate::error::{Error, Result};
use crate::frame::frame_bytes;
use crate::segment::SEGMENT_HEADER_BYTES;

/// What happens when there is no room within [`Config::max_bytes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// The oldest segments go as a whole; who had not read them is told so ([`crate::Content::Dropped`]).
    DropOldest,
    /// Nothing is committed until segments were read ([`Error::Full`]).
    Refuse,
}

/// What a spool can be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// A segment is begun at about so many bytes; a single larger record gets a segment of its own. All of it is taken from the disk at
    /// once. It is what is dropped at a time, what is written again at an open, and freed only as a whole.
    pub segment_bytes: u64,
    /// All segments together, bytes. Cursors come on top: 16 KiB each.
    pub max_bytes: u64,
    /// What happens beyond it.
    pub overflow: Overflow,
    /// The largest record, bytes.
    pub max_record_bytes: u32,
    /// The most that may wait in memory for a commit, bytes.
    pub max_pending_bytes: u64,
}

impl Default for Config {
    /// Segments of 16 MiB, 512 MiB in all, the oldest dropped, records of up to 64 MiB.
    fn default() -> Self {
        Self {
            segment_bytes: 16 << 20,
            max_bytes: 512 << 20,
            overflow: Overflow::DropOldest,
            max_record_bytes: 64 << 20,
            max_pending_bytes: 128 << 20,
        }
    }
}

impl Config {
    /// Bytes that a segment takes whose first frame has so many.
    pub(crate) fn allocation(&self, first_frame_bytes: u64) -> u64 {
        self.segment_bytes.max(SEGMENT_HEADER_BYTES as u64 + first_frame_bytes)
    }

    pub(crate) fn check(&self) -> Result<()> {
        let largest = frame_bytes(self.max_record_bytes.into());
        if self.segment_bytes < 4096 {
            return Err(Error::Config(format!("segment_bytes is {}, at least 4096 are needed", self.segment_bytes)));
        }
        // The one that is written, and one that can be read meanwhile.
        let needed = self.allocation(largest).saturating_mul(2);
        if self.max_bytes < needed {
            return Err(Error::Config(format!(
                "max_bytes is {}, and two segments with the largest record (max_record_bytes) take {needed}",
                self.max_bytes
            )));
        }
        if self.max_pending_bytes < largest {
            return Err(Error::Config(format!(
                "max_pending_bytes is {}, and the largest record (max_record_bytes) takes {largest}",
                self.max_pending_bytes
            )));
        }
        Ok(())
    }
}
