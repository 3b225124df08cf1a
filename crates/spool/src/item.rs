//! What a reader is given.

use std::fmt;

/// Number of a record, from 0 on, in the order of appending. As an end it is the first number that is not meant.
///
/// A number of a record that was never durable may be given again after a crash; together with [`Item::segment`] it is given once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordNo(pub u64);

impl fmt::Display for RecordNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A record, or a loss. Items follow one another without a gap: each begins where the one before ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Number of the first record that it speaks of, by which it is acknowledged.
    pub first: RecordNo,
    /// Number behind the last one.
    pub next: RecordNo,
    /// Weight of all records that it speaks of.
    pub weight: u64,
    /// By chance: of the segment in which the record lies. 0 of what was dropped.
    pub segment: u64,
    /// What it is.
    pub content: Content,
}

impl Item {
    /// How many records it speaks of: one, or those that were lost.
    pub fn records(&self) -> u64 {
        self.next.0 - self.first.0
    }
}

/// What an [`Item`] is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A record, as it was appended.
    Record(Vec<u8>),
    /// The oldest records had to go for newer ones, before this cursor had come to them ([`crate::Overflow::DropOldest`]).
    Dropped,
    /// The storage does not have these records any more.
    Damaged {
        /// Later records prove that these had been durable. Otherwise they may have been appended right before a crash and never been
        /// acknowledged, or belong to the last group of a segment.
        was_durable: bool,
    },
}
