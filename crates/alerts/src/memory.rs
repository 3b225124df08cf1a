//! What has to be remembered of a node from round to round.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::events::{Event, furthest};
use crate::round::{Contradiction, NodeSeen};
use crate::{Against, Interval, Policy, Rule};

/// The kernel steers by so much at most, ppb (MAXFREQ).
const STEERED_PPB: i64 = 500_000;
/// Points that drift is measured between are kept so far apart, ns.
const POINT_EVERY_NS: i64 = 60_000_000_000;
/// What is called recent, ns.
const RECENT_NS: i64 = 120_000_000_000;
/// An oscillator's frequency moves by no more in some minutes, ppb (the clock model's tolerance of wander).
const WANDER_PPB: u64 = 1_000;
/// A node that nothing came from for so long is not heard, ns: its clock need not be known. As the usual limit of silence.
const HEARD_NS: u64 = 120_000_000_000;
/// A clock that is not known for so long while its node is heard will not become known by itself, ns: a start, or a disruption, takes seconds.
const UNKNOWN_NS: i64 = 600_000_000_000;
/// What a claim said is true of the next rounds for so long, ns: claims are made each 16 s, and come when a batch does.
const CLAIM_LASTS_NS: i64 = 60_000_000_000;

/// What is remembered of a node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct NodeMemory {
    /// When something last came from the node.
    pub(crate) seen_ns: i64,
    boot: u64,
    /// The run of the reference and the epoch that its clock model was last of.
    model: Option<(u64, u32)>,
    /// The newest skew that was known, and when.
    last: Option<(i64, Interval)>,
    /// Rounds on end that a skew was compared with the one before in, by one model.
    compared: u32,
    /// Steps since then, ns, and whether there was a disruption.
    stepped_ns: i64,
    is_disrupted: bool,
    /// Jumps and steps of the last rounds.
    jumps: VecDeque<Event<Interval>>,
    steps: VecDeque<Event<i64>>,
    /// By how much its claims were last false (see `Contradiction::gap_ns`), and when.
    gap: Option<(i64, i64)>,
    /// How far its wall clock was last off beyond what is common to its region, ns.
    own_ns: Option<i64>,
    /// Offsets, a minute apart, since the last step or disruption.
    points: VecDeque<(i64, Interval)>,
    /// What they are against. A state that does not say it is of offsets from UTC.
    #[serde(default, skip_serializing_if = "Against::is_utc")]
    points_against: Against,
    /// Since when its frequency has been estimated without a disruption.
    settling_ns: Option<i64>,
    /// Since when it has been heard and its clock was not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unknown_ns: Option<i64>,
}

/// A node in a round, with what its past says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reading {
    /// WALL - UTC, or what that is against instead.
    pub(crate) offset_ns: Option<Interval>,
    pub(crate) against: Against,
    /// How fast that grows.
    pub(crate) drift_ppb: Option<Interval>,
    /// The same over some minutes, at best.
    pub(crate) recent_ppb: Option<i64>,
    /// Frequency error of its oscillator, once it has been estimated for long enough.
    pub(crate) frequency_ppb: Option<Interval>,
    /// Jumps against REF that steps do not explain, of the last rounds together.
    pub(crate) jump_ns: Option<Interval>,
    /// The same of a round more, as others may have jumped that much later: none where it cannot be told, zero where it did not jump.
    pub(crate) common_jump_ns: Option<Interval>,
    /// The newest of them, if it is of this round: it was after the one time and until the other.
    pub(crate) jumped_ns: Option<(i64, i64)>,
    /// The furthest that steps of the last rounds moved the clock, but for those that put it right.
    pub(crate) step_ns: i64,
    /// When all these jumps and steps were, each from and until.
    all_jumped_ns: Vec<(i64, i64)>,
    all_stepped_ns: Vec<(i64, i64)>,
    /// When those of this round were, by the clock that rounds are by.
    pub(crate) stepped_at_ns: Vec<i64>,
    /// By how much its claims are false; 0 where they may be true, none where there are none.
    pub(crate) gap_ns: Option<i64>,
    /// What claims are held against is false itself.
    pub(crate) is_doubted: bool,
    /// Nothing has been known of its clock for long, though it is heard.
    pub(crate) is_unknown: bool,
}

impl Reading {
    /// When what a rule tells of happened, of an event that is remembered.
    pub(crate) fn happened(&self, rule: Rule) -> &[(i64, i64)] {
        match rule {
            Rule::Step => &self.all_stepped_ns,
            Rule::Pause => &self.all_jumped_ns,
            _ => &[],
        }
    }
}

impl NodeMemory {
    /// Takes a round. `offset` is WALL - UTC in it, or against what else, `common_ns` what most nodes of the region have of it; `is_doubted`
    /// says that what claims are held against is false itself.
    pub(crate) fn take(
        &mut self,
        at_ns: i64,
        seen: &NodeSeen,
        (offset, common_ns): (Option<(Interval, Against)>, i64),
        (is_doubted, policy): (bool, &Policy),
    ) -> Reading {
        let (offset_ns, against) = offset.map(|(offset_ns, against)| (Some(offset_ns), against)).unwrap_or_default();
        if self.boot != seen.boot {
            *self = Self { boot: seen.boot, ..Self::default() };
        }
        self.seen_ns = at_ns.saturating_sub_unsigned(seen.silent_ns);
        self.pass_round();
        let is_disrupted = self.take_model(seen);
        let compared = self.compared + u32::from(self.last.is_some() && seen.skew_ns.is_some());
        self.compared = compared.min(policy.rounds.saturating_add(1));
        // Of before it was known it cannot say that it did not jump.
        let is_compared = seen.skew_ns.is_some() && self.compared > policy.rounds;
        let jumped_ns = self.take_jump(at_ns, seen, policy.rounds);
        let own_ns = offset_ns.map(|offset| offset.against(common_ns).middle());
        let stepped_at_ns = self.take_steps(at_ns, seen, own_ns, policy.rounds);
        self.take_claims(at_ns, seen, is_doubted);
        let is_against_another = offset_ns.is_some() && self.points_against != against;
        if is_against_another {
            self.points_against = against;
        }
        if is_disrupted || is_against_another || !seen.steps.is_empty() {
            self.points.clear();
        }
        let window_ns = i64::try_from(policy.drift_window_ns).unwrap_or(i64::MAX);
        let drift_ppb = offset_ns.and_then(|offset| self.drift(at_ns, offset, window_ns));
        let recent_ppb = offset_ns.and_then(|offset| self.drift(at_ns, offset, RECENT_NS)).map(Interval::middle);
        self.keep_point(at_ns, offset_ns, window_ns);
        Reading {
            offset_ns,
            against,
            drift_ppb,
            recent_ppb,
            frequency_ppb: self.frequency(at_ns, seen, window_ns),
            jump_ns: self.jumped(1),
            common_jump_ns: self.jumped(0).or(is_compared.then_some(Interval::exactly(0))),
            jumped_ns,
            step_ns: furthest(self.steps.iter().map(|step| step.size)),
            all_jumped_ns: self.jumps.iter().map(|jump| jump.happened_ns).collect(),
            all_stepped_ns: self.steps.iter().map(|step| step.happened_ns).collect(),
            stepped_at_ns,
            gap_ns: self.gap.map(|(_, gap)| gap),
            is_doubted,
            is_unknown: self.take_unknown(at_ns, seen),
        }
    }

    /// As if all of it had been so much earlier.
    pub(crate) fn set_back(&mut self, by_ns: u64) {
        let last = self.last.as_mut().map(|(at_ns, _)| at_ns);
        let gap = self.gap.as_mut().map(|(at_ns, _)| at_ns);
        let since = [self.settling_ns.as_mut(), self.unknown_ns.as_mut()];
        let points = self.points.iter_mut().map(|(at_ns, _)| at_ns);
        let jumps = self.jumps.iter_mut().map(|jump| &mut jump.happened_ns);
        let events = jumps.chain(self.steps.iter_mut().map(|step| &mut step.happened_ns));
        let events = events.flat_map(|(from_ns, until_ns)| [from_ns, until_ns]);
        let all = [last, gap].into_iter().chain(since).flatten().chain(points).chain(events);
        all.chain([&mut self.seen_ns]).for_each(|at_ns| *at_ns = at_ns.saturating_sub_unsigned(by_ns));
    }

    fn pass_round(&mut self) {
        self.jumps.iter_mut().for_each(|jump| jump.left = jump.left.saturating_sub(1));
        self.steps.iter_mut().for_each(|step| step.left = step.left.saturating_sub(1));
        self.jumps.retain(|jump| jump.left > 0);
        self.steps.retain(|step| step.left > 0);
    }

    /// All jumps together that more rounds are left to.
    fn jumped(&self, left: u32) -> Option<Interval> {
        self.jumps.iter().filter(|jump| jump.left > left).map(|jump| jump.size).reduce(Interval::plus)
    }

    /// Whether the model tells of a disruption. Another model, as of another aggregator, cannot be compared with the one before.
    fn take_model(&mut self, seen: &NodeSeen) -> bool {
        if seen.skew_ns.is_none() {
            return false;
        }
        let before = self.model.replace((seen.run, seen.epoch));
        let goes_on = before.is_some_and(|(run, epoch)| run == seen.run && epoch <= seen.epoch);
        if !goes_on {
            (self.last, self.settling_ns, self.compared) = (None, None, 0);
        }
        let is_disrupted = goes_on && before.is_some_and(|(_, epoch)| epoch < seen.epoch);
        if is_disrupted {
            (self.is_disrupted, self.settling_ns) = (true, None);
        }
        is_disrupted
    }

    /// The size of a disruption; between which times it was, if there was one.
    fn take_jump(&mut self, at_ns: i64, seen: &NodeSeen, rounds: u32) -> Option<(i64, i64)> {
        self.stepped_ns = seen.steps.iter().fold(self.stepped_ns, |sum, step| sum.saturating_add(step.size_ns));
        let skew = seen.skew_ns?;
        let mut jumped_ns = None;
        if let Some((then_ns, then)) = self.last.filter(|_| self.is_disrupted) {
            let slewed = i128::from(at_ns.saturating_sub(then_ns)) * i128::from(STEERED_PPB) / 1_000_000_000;
            let slewed = u64::try_from(slewed).unwrap_or(u64::MAX);
            let (size, happened_ns) = (skew.minus(then).against(self.stepped_ns).widened(slewed), (then_ns, at_ns));
            self.jumps.push_back(Event { left: rounds.saturating_add(1), size, happened_ns });
            jumped_ns = Some(happened_ns);
        }
        (self.last, self.stepped_ns, self.is_disrupted) = (Some((at_ns, skew)), 0, false);
        jumped_ns
    }

    /// A step that leaves less than half of the error puts the clock right: it ends what is told already. When those were that do not.
    fn take_steps(&mut self, at_ns: i64, seen: &NodeSeen, own_ns: Option<i64>, rounds: u32) -> Vec<i64> {
        let is_first = self.own_ns.is_none();
        let before_ns = self.own_ns.or_else(|| self.before_steps(seen, own_ns));
        let is_less = |(before, after): (i64, i64)| after.unsigned_abs() < before.unsigned_abs() / 2;
        let puts_right = before_ns.zip(own_ns).is_some_and(is_less);
        self.own_ns = own_ns.or(self.own_ns);
        if puts_right {
            if is_first {
                self.steps.clear();
            }
            return Vec::new();
        }
        let stepped_at_ns: Vec<i64> =
            seen.steps.iter().map(|step| at_ns.saturating_sub_unsigned(step.ago_ns)).collect();
        let steps = seen.steps.iter().zip(&stepped_at_ns);
        let event = |size: i64, at_ns: i64| Event { left: rounds, size, happened_ns: (at_ns, at_ns) };
        self.steps.extend(steps.map(|(step, at_ns)| event(step.size_ns, *at_ns)));
        stepped_at_ns
    }

    /// How far a clock that is known for the first time was off: where its steps came from. So it is after a boot, where a daemon sets it first of all.
    fn before_steps(&self, seen: &NodeSeen, own_ns: Option<i64>) -> Option<i64> {
        let sizes = self.steps.iter().map(|step| step.size).chain(seen.steps.iter().map(|step| step.size_ns));
        Some(sizes.fold(own_ns?, i64::saturating_sub))
    }

    /// Of several sources the one that is off furthest counts.
    fn take_claims(&mut self, at_ns: i64, seen: &NodeSeen, is_doubted: bool) {
        let gaps = seen.claims.iter().map(|claim| claim.contradiction.map_or(0, Contradiction::gap_ns));
        let newest = gaps.max_by_key(|gap| gap.unsigned_abs()).map(|gap| (at_ns, gap));
        let newest = newest.filter(|_| !is_doubted);
        self.gap =
            newest.or(self.gap.filter(|(then_ns, _)| !is_doubted && at_ns.saturating_sub(*then_ns) < CLAIM_LASTS_NS));
    }

    /// Against the newest point that is old enough.
    fn drift(&self, at_ns: i64, offset: Interval, window_ns: i64) -> Option<Interval> {
        let is_old = |then_ns: i64| at_ns.saturating_sub(then_ns) >= window_ns;
        let (then_ns, then) = self.points.iter().rev().find(|(then_ns, _)| is_old(*then_ns))?;
        let (grown, elapsed_ns) = (offset.minus(*then), i128::from(at_ns) - i128::from(*then_ns));
        let ppb = |ns: i64| {
            let ppb = i128::from(ns) * 1_000_000_000 / elapsed_ns.max(1);
            i64::try_from(ppb).unwrap_or(if ppb < 0 { i64::MIN } else { i64::MAX })
        };
        Some(Interval { low: ppb(grown.low), high: ppb(grown.high) })
    }

    fn take_unknown(&mut self, at_ns: i64, seen: &NodeSeen) -> bool {
        let is_unknown = seen.silent_ns < HEARD_NS && seen.skew_ns.is_none();
        self.unknown_ns = is_unknown.then_some(self.unknown_ns.unwrap_or(at_ns));
        self.unknown_ns.is_some_and(|since_ns| at_ns.saturating_sub(since_ns) >= UNKNOWN_NS)
    }

    /// As estimated, and what an oscillator wanders by; a model that begins may say anything.
    fn frequency(&mut self, at_ns: i64, seen: &NodeSeen, window_ns: i64) -> Option<Interval> {
        let frequency_ppb = seen.frequency_ppb?;
        let since_ns = *self.settling_ns.get_or_insert(at_ns);
        let is_settled = at_ns.saturating_sub(since_ns) >= window_ns;
        is_settled.then(|| Interval::around(frequency_ppb, WANDER_PPB))
    }

    /// One a minute, for the window and a minute or two.
    fn keep_point(&mut self, at_ns: i64, offset_ns: Option<Interval>, window_ns: i64) {
        let age_ns = |(then_ns, _): &(i64, Interval)| at_ns.saturating_sub(*then_ns);
        let is_due = self.points.back().is_none_or(|last| age_ns(last) >= POINT_EVERY_NS);
        self.points.extend(offset_ns.filter(|_| is_due).map(|offset| (at_ns, offset)));
        let lasts_ns = window_ns.saturating_add(2 * POINT_EVERY_NS);
        while self.points.front().is_some_and(|first| age_ns(first) > lasts_ns) {
            self.points.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::round::Step;

    const SECOND: i64 = 1_000_000_000;
    const MS: i64 = 1_000_000;

    fn take(memory: &mut NodeMemory, at_s: i64, skew_ms: Option<i64>, change: impl FnOnce(&mut NodeSeen)) -> Reading {
        let skew_ns = skew_ms.map(|ms| Interval::around(ms * MS, 100_000));
        let mut seen = NodeSeen { skew_ns, ..NodeSeen::default() };
        change(&mut seen);
        memory.take(
            at_s * SECOND,
            &seen,
            (skew_ns.map(|skew_ns| (skew_ns, Against::Utc)), 0),
            (false, &Policy::default()),
        )
    }

    #[test]
    fn a_pause_is_as_long_as_the_skew_jumped_but_for_steps_and_slews() {
        let mut memory = NodeMemory::default();
        take(&mut memory, 0, Some(1), |_| ());
        let step = |seen: &mut NodeSeen| seen.steps.push(Step { size_ns: 200 * MS, ..Step::default() });
        assert_eq!(take(&mut memory, 15, None, step).jump_ns, None, "nothing is known yet");
        let jump = take(&mut memory, 30, Some(-799), |seen| seen.epoch = 1).jump_ns.unwrap();
        assert_eq!(jump, Interval::around(-1_000 * MS, (15 * MS + 200_000) as u64));
        assert_eq!(take(&mut memory, 45, Some(-799), |seen| seen.epoch = 1).jump_ns, Some(jump), "for two rounds");
        assert_eq!(take(&mut memory, 60, Some(-799), |seen| seen.epoch = 1).jump_ns, None);
    }

    #[test]
    fn another_model_is_not_compared_with_the_one_before() {
        let mut memory = NodeMemory::default();
        let model = |run: u64, epoch: u32| move |seen: &mut NodeSeen| (seen.run, seen.epoch) = (run, epoch);
        for (second, (run, epoch)) in [(7, 3), (8, 4), (8, 0), (9, 2)].into_iter().enumerate() {
            let skew_ms = 900 * second as i64;
            assert_eq!(take(&mut memory, 15 * second as i64, Some(skew_ms), model(run, epoch)).jump_ns, None);
        }
        assert!(take(&mut memory, 90, Some(0), model(9, 3)).jump_ns.is_some());
    }

    #[test]
    fn a_step_that_puts_the_clock_right_is_none() {
        let mut memory = NodeMemory::default();
        let step = |size_ms: i64| {
            move |seen: &mut NodeSeen| seen.steps.push(Step { size_ns: size_ms * MS, ..Step::default() })
        };
        take(&mut memory, 0, Some(1), |_| ());
        assert_eq!(take(&mut memory, 15, Some(301), step(300)).step_ns, 300 * MS);
        take(&mut memory, 90, Some(300), |_| ());
        assert_eq!(take(&mut memory, 150, Some(1), step(-299)).step_ns, 0);
    }

    #[test]
    fn a_step_that_puts_a_clock_right_of_which_nothing_was_known_is_none() {
        let step = |size_ms: i64| {
            move |seen: &mut NodeSeen| {
                seen.boot = 2;
                seen.steps.push(Step { size_ns: size_ms * MS, ..Step::default() });
            }
        };
        for (known_after, told_ms) in [(Some(1), 0), (Some(2_001), 2_000), (None, 2_000)] {
            let mut new = NodeMemory::default();
            assert_eq!(take(&mut new, 0, known_after, step(2_000)).step_ns, told_ms * MS, "{known_after:?}");
            let mut booted = NodeMemory::default();
            take(&mut booted, 0, Some(1_900), |seen| seen.boot = 1);
            assert_eq!(take(&mut booted, 15, known_after, step(2_000)).step_ns, told_ms * MS, "{known_after:?}");
        }
    }

    #[test]
    fn a_step_is_right_or_wrong_by_what_becomes_known_after_it_where_nothing_was_before() {
        for (known_ms, told_ms) in [(1, 0), (2_001, 2_000)] {
            let mut memory = NodeMemory::default();
            take(&mut memory, 0, None, |seen| seen.steps.push(Step { size_ns: 2_000 * MS, ..Step::default() }));
            assert_eq!(take(&mut memory, 15, Some(known_ms), |_| ()).step_ns, told_ms * MS, "{known_ms} ms");
        }
    }

    #[test]
    fn drift_is_measured_over_the_window_and_not_over_a_step() {
        let mut memory = NodeMemory::default();
        let mut drift = None;
        for second in (0..=600).step_by(15) {
            assert_eq!(drift, None);
            drift = take(&mut memory, second, Some(second / 20), |_| ()).drift_ppb;
        }
        let drift = drift.unwrap();
        assert!(drift.middle().abs_diff(50_000) <= 1 && drift.half_width() == 334, "{drift:?}");
        let step = |seen: &mut NodeSeen| seen.steps.push(Step { size_ns: MS, ..Step::default() });
        assert_eq!(take(&mut memory, 615, Some(0), step).drift_ppb, None);
        assert_eq!(take(&mut memory, 1_200, Some(0), |_| ()).drift_ppb, None);
        assert!(take(&mut memory, 1_215, Some(0), |_| ()).drift_ppb.is_some());
    }

    #[test]
    fn it_remembers_no_more_than_the_window() {
        let mut memory = NodeMemory::default();
        for second in (0..100_000).step_by(15) {
            take(&mut memory, second, Some(0), |_| ());
        }
        assert!(memory.points.len() <= 13, "{}", memory.points.len());
    }

    #[test]
    fn offsets_from_utc_are_not_compared_with_those_from_the_region() {
        let mut memory = NodeMemory::default();
        let mut take = |second: i64, offset_ms: i64, against: Against| {
            let seen = NodeSeen::default();
            let offset = Some((Interval::around(offset_ms * MS, 100_000), against));
            memory.take(second * SECOND, &seen, (offset, 0), (false, &Policy::default())).drift_ppb
        };
        // 40 ms from UTC, as all of the region: for two minutes nobody knows of UTC.
        let utc_is_known = |second: i64| !(300..420).contains(&second);
        for second in (0..1_020).step_by(15) {
            let (offset_ms, against) = if utc_is_known(second) { (40, Against::Utc) } else { (0, Against::Region) };
            assert_eq!(take(second, offset_ms, against), None, "{second}");
        }
        assert_eq!(take(1_020, 40, Against::Utc).unwrap().middle(), 0);
    }
}
