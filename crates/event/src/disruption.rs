//! Disruptions of a node's clocks that its agent noticed.

use syncline_timebase::{Instant, Mono};

use crate::limits;

/// By what an agent noticed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DisruptionSign {
    /// The hypervisor says so: VMClock's marker is another one.
    Hypervisor,
    /// By something that later versions know.
    Other,
}

/// The node's clocks were disrupted once between two moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockDisruption {
    /// Until then they had not been.
    pub since: Instant<Mono>,
    /// By then they had been.
    pub until: Instant<Mono>,
    /// How it is known.
    pub sign: DisruptionSign,
}

impl ClockDisruption {
    /// Adds it to `all`. Where those are as many as a batch holds, the last one covers it too.
    pub fn add_to(self, all: &mut Vec<Self>) {
        let is_full = all.len() >= limits::DISRUPTIONS;
        match all.last_mut() {
            Some(last) if is_full => {
                let (since, until) = (last.since.min(self.since), last.until.max(self.until));
                *last = Self { since, until, ..self };
            }
            _ => all.push(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_what_a_batch_holds_the_last_one_covers_what_comes() {
        let second = |s: i64| Instant::from_ns(s * 1_000_000_000);
        let of = |s| ClockDisruption { since: second(s), until: second(s + 1), sign: DisruptionSign::Hypervisor };
        let mut all = Vec::new();
        (0..limits::DISRUPTIONS as i64 + 7).for_each(|s| of(s).add_to(&mut all));
        of(3).add_to(&mut all);
        assert_eq!(all.len(), limits::DISRUPTIONS);
        assert_eq!(all[10], of(10));
        let last = all[limits::DISRUPTIONS - 1];
        assert_eq!((last.since, last.until), (second(3), second(limits::DISRUPTIONS as i64 + 7)));
    }
}
