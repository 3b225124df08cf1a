//! What is to be told later than the waits that it is of, in the order of time.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::Arc;

use syncline_insight::CallStack;

/// Told at its time. As many are held as waits go on at one time.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) at_ns: i64,
    pub(super) what: What,
    /// Equals keep the order in which they came.
    number: u64,
}

#[derive(Debug)]
pub(super) enum What {
    /// A slice ends.
    End { track: u64 },
    /// Somebody wakes or sends.
    Wake(Box<Waking>),
    /// What waited can go on; with a slice until it does, or at once.
    Ready { track: u64, flow: Option<u64>, is_slice: bool },
    /// Something of the whole is said.
    Say { title: &'static str, notes: Vec<(&'static str, String)> },
    /// A slice ends at the moment at which it became ready.
    EndAtOnce { track: u64 },
}

/// A wake, on the track of the waker.
#[derive(Debug)]
pub(super) struct Waking {
    pub(super) track: u64,
    pub(super) flow: u64,
    /// Of another process: region, node and service.
    pub(super) far: Option<[String; 3]>,
    pub(super) pid: u32,
    pub(super) goid: u64,
    /// Of what was sent.
    pub(super) sent_bound_ns: Option<Option<u64>>,
    pub(super) stack: Option<Arc<CallStack>>,
}

#[derive(Debug, Default)]
pub(super) struct Agenda {
    due: BinaryHeap<Reverse<Due>>,
    numbers: u64,
}

impl Agenda {
    pub(super) fn add(&mut self, at_ns: i64, what: What) {
        self.numbers += 1;
        self.due.push(Reverse(Due { at_ns, what, number: self.numbers }));
    }

    /// The first of what is due by then.
    pub(super) fn next_by(&mut self, now_ns: i64) -> Option<Due> {
        let is_due = self.due.peek().is_some_and(|Reverse(due)| due.at_ns <= now_ns);
        if is_due { self.due.pop().map(|Reverse(due)| due) } else { None }
    }
}

impl Due {
    /// At one moment: what ends makes room first; who wakes is told before who is woken, and that before it goes on.
    fn key(&self) -> (i64, u8, u64) {
        let rank = match self.what {
            What::End { .. } => 0,
            What::Wake(_) => 1,
            What::Ready { .. } | What::Say { .. } => 2,
            What::EndAtOnce { .. } => 3,
        };
        (self.at_ns, rank, self.number)
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Due {}
