//! A profile against what happened in the same run.
//!
//! What a profile reports in all, by stack and by reason, is measured. By band it is not told apart, because a profile has sums of
//! stacks, not blocks; but most stacks block for times of one band, and those measure their band:
//!
//! - of a band from the rate on, the profile's count of such a stack is the number of blocks recorded;
//! - below it each recorded block is reported as `rate` of time, so (delay - time of the blocks from the rate on) / rate is.
//!
//! That difference tells something only while what is subtracted is known well enough.
//!
//! What the rule of the profiler says is kept beside it, and the two are never mixed.

use std::collections::{BTreeMap, HashMap};

use super::stack::StackKey;
use super::truth::{Amount, Stack, Truth};
use crate::pprof::BlockProfile;

/// So much of a stack's blocks, of the same side of the rate, must be in a band for the stack to measure it.
const OF_ONE_BAND: f64 = 0.95;
/// How far apart profile and capture may measure a block: each, ns, and as a part of its length.
const APART_NS: f64 = 2_000.0;
const APART: f64 = 1e-3;
/// So much of the time of blocks below the rate may be lost in that of those from the rate on.
const MOST_BLUR: f64 = 0.1;
/// Ticks are converted by a frequency that the runtime estimates.
const LEAST_OF_RATE: f64 = 0.9;

/// A profile against the run that it is of.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Of the profile, ns.
    pub rate_ns: u64,
    /// All blocks that ended.
    pub happened: Amount,
    /// Those of kinds that a block profile can see.
    pub seeable: Amount,
    /// What the profile reports.
    pub reported: Amount,
    /// Of that what is of stacks that no captured block has.
    pub unmatched: Amount,
    /// Stacks with blocks that can be seen.
    pub stacks: usize,
    /// Those of them that are in the profile.
    pub stacks_reported: usize,
    /// Time between being ready and running, ns, which no profile sees.
    pub runnable_ns: f64,
    /// Blocks that had not ended when the run did, as far as they are known.
    pub unended: Amount,
    /// By band.
    pub bands: Vec<BandSeen>,
    /// By reason.
    pub reasons: BTreeMap<String, ReasonSeen>,
}

/// Of blocks of a band that can be seen.
#[derive(Clone, Copy, Debug, Default)]
pub struct BandSeen {
    /// All of them.
    pub happened: Amount,
    /// What the rule says is recorded of them on average: not measured.
    pub expected: Amount,
    /// Those of stacks that measure the band.
    pub measurable: Amount,
    /// Of those, the blocks that were recorded.
    pub recorded_blocks: f64,
    /// Of those, the blocks that the rule says are recorded on average: not measured.
    pub expected_blocks: f64,
    /// What is reported of them.
    pub reported: Amount,
}

/// Of blocks for a reason.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReasonSeen {
    /// All of them.
    pub happened: Amount,
    /// Those that the rule says can be seen.
    pub seeable: Amount,
    /// What is reported of them. A stack with several reasons is divided as its blocks are.
    pub reported: Amount,
}

/// Holds the profile against the truth.
#[must_use]
pub fn compare(truth: &Truth, profile: &BlockProfile) -> Comparison {
    let mut profiled: HashMap<StackKey, Amount> = HashMap::new();
    for stack in &profile.stacks {
        let sum = profiled.entry(StackKey::of(&stack.frames)).or_default();
        sum.add(stack.count as f64, stack.delay_ns as f64);
    }
    let mut comparison = Comparison::of(truth);
    let stacks = as_in_profile(truth, &profiled);
    comparison.stacks = stacks.len();
    for (key, stack) in &stacks {
        let reported = profiled.remove(key);
        comparison.stacks_reported += usize::from(reported.is_some());
        comparison.add(stack, reported.unwrap_or_default(), truth);
    }
    profiled.into_values().for_each(|sum| comparison.unmatched.plus(sum));
    comparison.reported.plus(comparison.unmatched);
    comparison
}

/// The stacks that happened, by what they are in the profile, if they are.
fn as_in_profile(truth: &Truth, profiled: &HashMap<StackKey, Amount>) -> HashMap<StackKey, Stack> {
    let mut stacks: HashMap<StackKey, Stack> = HashMap::with_capacity(truth.stacks.len());
    for (key, stack) in &truth.stacks {
        let shorter = || key.without_outermost().filter(|shorter| profiled.contains_key(shorter));
        let is_in = profiled.contains_key(key);
        let of_another = |shorter: &StackKey| truth.stacks.contains_key(shorter);
        let same = if is_in { None } else { shorter().filter(|shorter| !of_another(shorter)) };
        let sum = stacks.entry(same.unwrap_or_else(|| key.clone()));
        sum.or_insert_with(|| Stack::new(truth.bands.count())).plus(stack);
    }
    stacks
}

/// Whether the profile cannot be of this rate: each recorded block adds at least `rate` of time to its stack.
#[must_use]
pub fn is_of_another_rate(profile: &BlockProfile, rate_ns: u64) -> bool {
    let least = rate_ns as f64 * LEAST_OF_RATE;
    rate_ns > 1 && profile.stacks.iter().any(|stack| stack.count > 0 && (stack.delay_ns as f64) < least)
}

impl Comparison {
    fn of(truth: &Truth) -> Self {
        let reason = |reason: &super::truth::Reason| ReasonSeen {
            happened: reason.happened,
            seeable: reason.seeable,
            reported: Amount::default(),
        };
        Self {
            rate_ns: truth.rate_ns,
            happened: truth.happened(),
            seeable: truth.seeable(),
            reported: Amount::default(),
            unmatched: Amount::default(),
            stacks: 0,
            stacks_reported: 0,
            runnable_ns: truth.runnable_ns,
            unended: truth.unended,
            bands: vec![BandSeen::default(); truth.bands.count()],
            reasons: truth.reasons.iter().map(|(name, of)| (name.clone(), reason(of))).collect(),
        }
    }

    fn add(&mut self, stack: &Stack, reported: Amount, truth: &Truth) {
        self.reported.plus(reported);
        for (name, part) in &stack.reasons {
            if let Some(reason) = self.reasons.get_mut(name) {
                let share = |part: f64, all: f64| if all > 0.0 { part / all } else { 0.0 };
                let blocks = reported.blocks * share(part.blocks, stack.all.blocks);
                reason.reported.add(blocks, reported.ns * share(part.ns, stack.all.ns));
            }
        }
        for (number, (seen, of)) in self.bands.iter_mut().zip(&stack.bands).enumerate() {
            seen.happened.plus(of.happened);
            seen.expected.plus(of.expected);
            let is_below = truth.bands.range_ns(number).start < truth.rate_ns && truth.rate_ns > 1;
            if let Some(measured) = stack.measured(of.happened, reported, is_below, truth.rate_ns) {
                seen.measurable.plus(measured.of);
                seen.recorded_blocks += measured.recorded_blocks;
                seen.expected_blocks += measured.expected_blocks;
                seen.reported.plus(measured.reported);
            }
        }
    }
}

/// What a stack tells of a band.
struct Measured {
    of: Amount,
    recorded_blocks: f64,
    expected_blocks: f64,
    reported: Amount,
}

impl Stack {
    /// None where its blocks are of several bands.
    fn measured(&self, of_band: Amount, reported: Amount, is_below: bool, rate_ns: u64) -> Option<Measured> {
        if of_band.blocks == 0.0 {
            return None;
        }
        let expected_blocks: f64 = self.bands.iter().map(|band| band.expected.blocks).sum();
        if is_below {
            // What is recorded for certain has its own time in the sum, which is known.
            let below = self.all.blocks - self.from_rate.blocks;
            let reported_ns = (reported.ns - self.from_rate.ns).max(0.0);
            let reported = Amount { blocks: (reported.blocks - self.from_rate.blocks).max(0.0), ns: reported_ns };
            let of = Amount { blocks: below, ns: self.all.ns - self.from_rate.ns };
            let recorded_blocks = reported_ns / rate_ns as f64;
            let expected_blocks = expected_blocks - self.from_rate.blocks;
            let measured = Measured { of, recorded_blocks, expected_blocks, reported };
            let blur_ns = APART_NS * self.from_rate.blocks + APART * self.from_rate.ns;
            let is_sharp = blur_ns <= MOST_BLUR * (self.all.ns - self.from_rate.ns);
            (is_sharp && of_band.blocks >= OF_ONE_BAND * below).then_some(measured)
        } else {
            let measured = Measured { of: self.all, recorded_blocks: reported.blocks, expected_blocks, reported };
            (of_band.blocks >= OF_ONE_BAND * self.all.blocks).then_some(measured)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bias::{Bands, Block};
    use crate::call::Frame;
    use crate::pprof::ProfiledStack;

    const MS: u64 = 1_000_000;

    fn frames(operation: &str, line: u32) -> Vec<Frame> {
        let frame = |function: &str, line| Frame { function: function.to_owned(), file: "main.go".to_owned(), line };
        vec![frame(operation, 1), frame("main.work", line), frame("runtime.goexit", 9)]
    }

    fn truth(rate_ns: u64, blocks: &[(&str, u64, u32)]) -> Truth {
        let mut truth = Truth::new(Bands::of_rates(&[1, MS]), rate_ns);
        for &(reason, blocked_ns, line) in blocks {
            let operation = if reason == "IO wait" { "runtime.netpollblock" } else { "runtime.chanrecv1" };
            truth.add(&Block { reason, blocked_ns, runnable_ns: 7, frames: &frames(operation, line) });
        }
        truth
    }

    fn profile(stacks: &[(u64, u64, u32)]) -> BlockProfile {
        let stack = |&(count, delay_ns, line): &(u64, u64, u32)| ProfiledStack {
            frames: frames("runtime.chanrecv1", line),
            count,
            delay_ns,
        };
        BlockProfile { stacks: stacks.iter().map(stack).collect() }
    }

    #[test]
    fn at_rate_1_all_is_recorded_and_the_network_is_not() {
        let happened = [("chan receive", 5_000, 1), ("chan receive", 6_000, 1), ("IO wait", 3 * MS, 2)];
        let seen = compare(&truth(1, &happened), &profile(&[(2, 11_000, 1), (1, 50, 77)]));
        assert_eq!((seen.happened.blocks, seen.seeable.blocks, seen.reported.blocks), (3.0, 2.0, 3.0));
        assert_eq!(seen.unmatched, Amount { blocks: 1.0, ns: 50.0 });
        assert_eq!((seen.stacks, seen.stacks_reported, seen.runnable_ns), (1, 1, 21.0));
        assert_eq!((seen.bands[0].measurable.blocks, seen.bands[0].recorded_blocks), (2.0, 2.0));
        assert_eq!(seen.bands[0].expected.blocks, 2.0);
        assert_eq!(seen.reasons["chan receive"].reported, Amount { blocks: 2.0, ns: 11_000.0 });
        assert_eq!(seen.reasons["IO wait"].reported, Amount::default());
        assert_eq!(seen.reasons["IO wait"].seeable, Amount::default());
    }

    #[test]
    fn below_the_rate_what_was_recorded_follows_from_the_time_that_is_reported() {
        // 1,000 blocks of 50 us and a stray one of 3 ms in one stack; two of the short ones were recorded, as 20 each.
        let mut happened = vec![("chan receive", 50_000, 1); 1_000];
        happened.push(("chan receive", 3 * MS, 1));
        let seen = compare(&truth(MS, &happened), &profile(&[(41, 5 * MS, 1)]));
        let band = seen.bands[1];
        assert_eq!((band.measurable.blocks, band.recorded_blocks, band.reported.blocks), (1_000.0, 2.0, 40.0));
        assert!((band.expected.blocks - 50.0).abs() < 1e-6 && (band.expected_blocks - 50.0).abs() < 1e-6, "{band:?}");
        // One of 1,001 is too few to measure the band of the long ones.
        assert_eq!((seen.bands[3].happened.blocks, seen.bands[3].measurable.blocks), (1.0, 0.0));
    }

    #[test]
    fn short_blocks_of_a_stack_of_many_long_ones_cannot_be_told_from_the_time() {
        let mut happened = vec![("chan receive", 50_000, 1); 100];
        happened.extend(vec![("chan receive", 300 * MS, 1); 100]);
        let seen = compare(&truth(MS, &happened), &profile(&[(120, 30_005 * MS, 1)]));
        assert_eq!((seen.bands[1].happened.blocks, seen.bands[1].measurable.blocks), (100.0, 0.0));
    }

    #[test]
    fn stacks_of_several_bands_measure_none() {
        let happened = [("chan receive", 5_000, 1), ("chan receive", 50_000, 1)];
        let seen = compare(&truth(MS, &happened), &profile(&[]));
        assert!(seen.bands.iter().all(|band| band.measurable == Amount::default()));
        assert_eq!((seen.stacks, seen.stacks_reported), (1, 0));
        assert_eq!((seen.bands[0].happened.blocks, seen.bands[1].happened.blocks), (1.0, 1.0));
    }

    #[test]
    fn what_go_1_21_wraps_a_go_statement_in_is_not_in_its_profiles() {
        let mut truth = Truth::new(Bands::of_rates(&[1]), 1);
        let mut add = |wrapper: &str| {
            let mut frames = frames("runtime.chanrecv1", 1);
            frames.insert(2, Frame { function: wrapper.to_owned(), file: "main.go".to_owned(), line: 8 });
            truth.add(&Block { reason: "chan receive", blocked_ns: 5, runnable_ns: 0, frames: &frames });
        };
        add("main.main.func1");
        add("main.main.func2");
        let seen = compare(&truth, &profile(&[(2, 10, 1)]));
        assert_eq!((seen.stacks, seen.stacks_reported, seen.unmatched.blocks), (1, 1, 0.0));
        assert_eq!(seen.bands[0].recorded_blocks, 2.0);
    }

    #[test]
    fn a_profile_of_another_rate_is_found_out() {
        let short = profile(&[(3, 40_000, 1), (1, 9 * MS, 2)]);
        assert!(
            is_of_another_rate(&short, MS) && !is_of_another_rate(&short, 1) && !is_of_another_rate(&short, 10_000)
        );
        assert!(!is_of_another_rate(&profile(&[(20, 999_000, 1)]), MS));
    }
}
