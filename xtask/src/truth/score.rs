//! What came out for a set of intervals.

use std::collections::BTreeMap;

use super::interval::{Interval, Kind};
use super::known::Cause;
use super::pairing::Paired;
use super::reasons;
use crate::bench::quantile;

/// Shorter ones are not asked for; the other side may have them of any length.
pub(super) const SHORTEST_NS: i64 = 10_000;

/// A share: so many of so many.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) agree: u64,
    pub(super) all: u64,
}

/// Of a workload, or of all.
#[derive(Debug, Default, Clone)]
pub(super) struct Score {
    /// Of the tracer's, those that we have.
    pub(super) recall: Share,
    /// Of ours, those that the tracer has.
    pub(super) precision: Share,
    pub(super) off_ns: Vec<f32>,
    pub(super) reasons: Share,
    /// Reasons of ours that we know no name of the tracer for.
    pub(super) unmapped: u64,
    pub(super) wakers: Share,
}

/// All scores of a run, by workload; and what has a known cause, or is not explained.
#[derive(Debug, Default)]
pub(super) struct Scores {
    pub(super) parks: BTreeMap<String, Score>,
    pub(super) syscalls: Score,
    pub(super) known: BTreeMap<Cause, u64>,
    /// Examples of what is wrong with parks, and with system calls.
    pub(super) wrong: [Vec<String>; 2],
}

/// The goroutines that are the program's and not of a workload, and Go's own.
pub(super) const OTHERS: &str = "runtime and others";
const EXAMPLES: usize = 10;

impl Share {
    fn count(&mut self, agrees: bool) {
        self.all += 1;
        self.agree += u64::from(agrees);
    }

    fn add(&mut self, other: Self) {
        self.agree += other.agree;
        self.all += other.all;
    }

    /// 1 of nothing.
    pub(super) fn share(self) -> f64 {
        if self.all == 0 { 1.0 } else { self.agree as f64 / self.all as f64 }
    }
}

impl Score {
    pub(super) fn add(&mut self, other: &Self) {
        self.recall.add(other.recall);
        self.precision.add(other.precision);
        self.off_ns.extend(&other.off_ns);
        self.reasons.add(other.reasons);
        self.unmapped += other.unmapped;
        self.wakers.add(other.wakers);
    }

    /// The error of durations which so large a share does not exceed, us.
    pub(super) fn off_us(&self, share: f64) -> f64 {
        quantile(&self.off_ns, share) / 1e3
    }
}

impl Scores {
    /// Counts all of a run of this Go minor version; `workloads` has those of goroutines.
    pub(super) fn of(paired: &Paired<'_>, workloads: &BTreeMap<u64, String>, minor: u16) -> Self {
        let mut scores = Self::default();
        for (our, their) in &paired.pairs {
            scores.pair(our, their, workloads, minor);
        }
        for our in paired.only_ours.iter().filter(|one| one.length_ns() > SHORTEST_NS) {
            match Cause::of_having(our) {
                Some(cause) => *scores.known.entry(cause).or_default() += 1,
                None => {
                    scores.of_workload(our, workloads).precision.count(false);
                    scores.protest("only ours", our);
                }
            }
        }
        for their in paired.only_theirs.iter().filter(|one| one.length_ns() > SHORTEST_NS) {
            match Cause::of_lacking(their) {
                Some(cause) => *scores.known.entry(cause).or_default() += 1,
                None => {
                    scores.of_workload(their, workloads).recall.count(false);
                    scores.protest("only the tracer's", their);
                }
            }
        }
        scores
    }

    /// All parks together.
    pub(super) fn all_parks(&self) -> Score {
        let mut all = Score::default();
        self.parks.values().for_each(|one| all.add(one));
        all
    }

    fn pair(&mut self, our: &Interval, their: &Interval, workloads: &BTreeMap<u64, String>, minor: u16) {
        let score = self.of_workload(our, workloads);
        if our.length_ns() > SHORTEST_NS {
            score.precision.count(true);
        }
        if their.length_ns() <= SHORTEST_NS {
            return;
        }
        score.recall.count(true);
        score.off_ns.push(off_ns(our, their) as f32);
        if our.kind == Kind::Syscall {
            return;
        }
        let expected = reasons::of_tracer(&our.reason, minor);
        match expected {
            Some(text) => score.reasons.count(text == their.reason),
            None => score.unmapped += 1,
        }
        let known = Cause::of_unknown_waker(our, !workloads.contains_key(&our.goid));
        if known.is_none() {
            score.wakers.count(our.waker == their.waker);
        }
        if let Some(cause) = known {
            *self.known.entry(cause).or_default() += 1;
        } else if our.waker != their.waker {
            self.protest(&format!("the tracer's waker is {:?}", their.waker), our);
        }
        if expected.is_none_or(|text| text != their.reason) {
            self.protest(&format!("the tracer's reason is {:?}", their.reason), our);
        }
    }

    fn of_workload(&mut self, one: &Interval, workloads: &BTreeMap<u64, String>) -> &mut Score {
        match one.kind {
            Kind::Syscall => &mut self.syscalls,
            Kind::Park => {
                let name = workloads.get(&one.goid).map_or(OTHERS, String::as_str);
                self.parks.entry(name.to_owned()).or_default()
            }
        }
    }

    fn protest(&mut self, what: &str, one: &Interval) {
        let [parks, syscalls] = &mut self.wrong;
        let wrong = if one.kind == Kind::Park { parks } else { syscalls };
        if wrong.len() < EXAMPLES {
            wrong.push(format!("{what}: {one:?}"));
        }
    }
}

/// How far the lengths lie apart: until it could go on, or, where one side has not seen that, until it went on.
fn off_ns(our: &Interval, their: &Interval) -> i64 {
    if our.ready_ns.is_some() && their.ready_ns.is_some() {
        (our.length_ns() - their.length_ns()).abs()
    } else {
        (our.whole_ns() - their.whole_ns()).abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::truth::pairing::pair;

    fn park(start_ns: i64, ready_ns: Option<i64>, run_ns: i64, reason: &str, waker: Option<u64>) -> Interval {
        let (reason, kind) = (reason.to_owned(), Kind::Park);
        Interval {
            kind,
            goid: 1,
            start_ns,
            ready_ns,
            run_ns,
            reason,
            waker,
            is_coroutine: false,
            has_stack: true,
            is_announced: true,
        }
    }

    #[test]
    fn a_run_is_scored() {
        let ours = [
            park(0, Some(20_000), 22_000, "sleep", None),
            park(30_000, Some(50_000), 60_000, "chan receive", Some(3)),
            park(100_000, None, 120_000, "GC assist wait", None),
            park(200_000, Some(220_000), 230_000, "sleep", None),
        ];
        let theirs = [
            park(1_000, Some(20_500), 22_500, "sleep", None),
            park(31_000, Some(50_000), 90_000, "chan send", Some(4)),
            park(100_500, Some(119_000), 120_500, "GC mark assist wait for work", Some(9)),
            park(300_000, Some(305_000), 306_000, "sleep", None),
            park(400_000, Some(450_000), 460_000, "preempted", None),
            park(500_000, Some(550_000), 560_000, "sleep", None),
        ];
        let scores = Scores::of(&pair(&ours, &theirs), &BTreeMap::from([(1, "all".to_owned())]), 27);
        let score = &scores.parks["all"];
        assert_eq!(score.recall, Share { agree: 3, all: 4 });
        assert_eq!(score.precision, Share { agree: 3, all: 4 });
        assert_eq!(score.reasons, Share { agree: 2, all: 3 });
        assert_eq!(score.wakers, Share { agree: 1, all: 2 });
        assert_eq!(score.off_ns, [500.0, 1_000.0, 0.0]);
        assert_eq!(scores.known, BTreeMap::from([(Cause::Preempted, 1), (Cause::ReadyUnseen, 1)]));
        assert_eq!(scores.wrong.each_ref().map(Vec::len), [4, 0]);
    }
}
