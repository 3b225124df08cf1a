//! When the data of a day show a planted fault for the first time: an interval that leaves out the limit. Written beside the rules and not
//! by them, from single rounds and without any state, so that a rule that is late shows.

use syncline_alerts::{Interval, Limits};

use super::day::{Day, EVERY_NS, rounds};
use super::node::Seen;
use super::plan::{NODES_PER_REGION, Planted, REGIONS, SECOND, Whom, name, region};

/// Rounds that drift is measured over.
const WINDOW: usize = (600 * SECOND / EVERY_NS) as usize;
/// What a clock may be slewed by in a round, ns.
const SLEWED_NS: u64 = (EVERY_NS / 2_000).unsigned_abs();
/// What an oscillator may wander by, ppb.
const WANDER_PPB: u64 = 1_000;

/// The first round in which `planted` shows, if it ever does: something that happened in one round, or something that lasts for two on end.
pub(super) fn first_round(day: &Day, planted: &Planted) -> Option<usize> {
    let from = (planted.at_ns / EVERY_NS) as usize;
    let until = ((planted.until_ns / EVERY_NS) as usize).min(rounds());
    let looked = Looked { day, limits: Limits::default() };
    let happens = |round: usize| match &planted.whom {
        Whom::Nodes(nodes) => nodes.iter().any(|node| looked.happens(*node, round)),
        Whom::Region(region) => looked.region(*region, round),
        Whom::Fleet => false,
    };
    let lasts = |round: usize| match &planted.whom {
        Whom::Nodes(nodes) => nodes.iter().any(|node| looked.lasts(*node, round)),
        Whom::Region(_) => false,
        Whom::Fleet => 2 * (0..REGIONS.len()).filter(|region| looked.most(*region, round)).count() > REGIONS.len(),
    };
    (from..until).find(|round| happens(*round) || lasts(*round) && round + 1 < until && lasts(round + 1))
}

struct Looked<'a> {
    day: &'a Day,
    limits: Limits,
}

impl Looked<'_> {
    fn happens(&self, node: usize, round: usize) -> bool {
        let (seen, limits) = (&self.day.nodes[node][round], &self.limits);
        seen.steps.iter().any(|step| step.size_ns.unsigned_abs() > limits.step_ns)
            || self.jump(node, round).is_some_and(|jump| jump.is_beyond(limits.pause_ns))
                && !self.is_of_region(node, round)
    }

    /// Most of its region jumped in this round or one beside it: what they are measured against did.
    fn is_of_region(&self, node: usize, round: usize) -> bool {
        let around = round.saturating_sub(1)..(round + 2).min(rounds());
        let jumped = |node: &usize| around.clone().any(|round| self.day.nodes[*node][round].is_disrupted);
        2 * nodes_of(region(node)).filter(jumped).count() > NODES_PER_REGION
    }

    fn lasts(&self, node: usize, round: usize) -> bool {
        let (seen, limits) = (&self.day.nodes[node][round], &self.limits);
        let bound = seen.skew_ns.map(Interval::half_width).max(seen.round_trip_ns.map(|round_trip| round_trip / 2));
        bound.is_some_and(|bound| bound > limits.bound_ns)
            || self.is_off(node, round)
            || self.drifts(node, round)
            || self.is_at_the_edge(node, round)
            || self.claims_falsely(node, round)
            || self.is_contradicted(node, round)
    }

    /// Of most of its nodes, or by what others say of it.
    fn region(&self, region: usize, round: usize) -> bool {
        let is_false =
            self.day.regions[round].regions[region].false_by_ns.is_some_and(|by| by > self.limits.reference_ns);
        let jumped =
            |node: &usize| self.jump(*node, round).is_some_and(|jump| jump.is_beyond(self.limits.reference_ns));
        is_false || 2 * nodes_of(region).filter(jumped).count() > NODES_PER_REGION
    }

    /// Most nodes of a region are off, or drift, or say what is not true.
    fn most(&self, region: usize, round: usize) -> bool {
        let count =
            |is: &dyn Fn(usize) -> bool| 2 * nodes_of(region).filter(|node| is(*node)).count() > NODES_PER_REGION;
        let is_off =
            |node: usize| self.offset(node, round).is_some_and(|offset| offset.is_beyond(self.limits.offset_ns));
        let drifts = |node: usize| self.drift(node, round).is_some_and(|drift| drift.is_beyond(self.limits.drift_ppb));
        let is_doubted = self.day.regions[round].regions[region].false_by_ns.is_some();
        let claims = |node: usize| !is_doubted && self.day.nodes[node][round].gap_ns() != 0;
        count(&is_off) || count(&drifts) || count(&claims)
    }

    /// WALL - UTC.
    fn offset(&self, node: usize, round: usize) -> Option<Interval> {
        let utc = self.day.regions[round].regions[region(node)].utc_ns?;
        Some(self.day.nodes[node][round].skew_ns?.plus(utc))
    }

    /// The middle of all offsets of the region.
    fn common_ns(&self, region: usize, round: usize) -> i64 {
        let mut middles: Vec<i64> =
            nodes_of(region).filter_map(|node| Some(self.offset(node, round)?.middle())).collect();
        middles.sort_unstable();
        middles.get(middles.len() / 2).copied().unwrap_or_default()
    }

    fn is_off(&self, node: usize, round: usize) -> bool {
        let Some(offset) = self.offset(node, round).filter(|offset| offset.is_beyond(self.limits.offset_ns)) else {
            return false;
        };
        offset.against(self.common_ns(region(node), round)).is_beyond(self.limits.offset_ns)
    }

    /// How fast its offset grew over the window before; none over steps and disruptions.
    fn drift(&self, node: usize, round: usize) -> Option<Interval> {
        let from = round.checked_sub(WINDOW)?;
        let is_whole = |seen: &Seen| seen.steps.is_empty() && !seen.is_disrupted;
        if !self.day.nodes[node][from + 1..=round].iter().all(is_whole) {
            return None;
        }
        let grown = self.offset(node, round)?.minus(self.offset(node, from)?);
        let ppb = |ns: i64| ns / (WINDOW as i64 * EVERY_NS / SECOND);
        Some(Interval { low: ppb(grown.low), high: ppb(grown.high) })
    }

    fn drifts(&self, node: usize, round: usize) -> bool {
        let Some(drift) = self.drift(node, round).filter(|drift| drift.is_beyond(self.limits.drift_ppb)) else {
            return false;
        };
        let [common, before] = [round, round - WINDOW].map(|round| self.common_ns(region(node), round));
        let own = drift.against((common - before) / (WINDOW as i64 * EVERY_NS / SECOND));
        let off = |round: usize, common: i64| self.offset(node, round).map(|offset| (offset.middle() - common).abs());
        own.is_beyond(self.limits.drift_ppb) && off(round, common) > off(round - WINDOW, before)
    }

    /// By a model that has settled.
    fn is_at_the_edge(&self, node: usize, round: usize) -> bool {
        let limit = self.limits.frequency_ppb + WANDER_PPB;
        let seen = &self.day.nodes[node];
        let is_settled = |from: usize| seen[from..=round].iter().all(|seen| !seen.is_disrupted);
        let is_far = seen[round].frequency_ppb.is_some_and(|ppb| ppb.unsigned_abs() > limit);
        is_far && round.checked_sub(WINDOW).is_some_and(is_settled)
    }

    /// And what its region is off by does not explain it.
    fn claims_falsely(&self, node: usize, round: usize) -> bool {
        let word = &self.day.regions[round].regions[region(node)];
        let is_doubted = word.false_by_ns.is_some_and(|by| !word.is_doubted || by > self.limits.reference_ns);
        let gap = self.day.nodes[node][round].gap_ns();
        let own = gap - self.common_ns(region(node), round);
        gap != 0 && !is_doubted && own.signum() == gap.signum()
    }

    /// By messages with two others or more.
    fn is_contradicted(&self, node: usize, round: usize) -> bool {
        let name = name(node);
        let with = |violation: &&syncline_alerts::round::Violation| violation.from.1 == name || violation.to.1 == name;
        self.day.violations[round].iter().filter(with).count() >= 2
    }

    fn jump(&self, node: usize, round: usize) -> Option<Interval> {
        let seen = &self.day.nodes[node][round];
        if !seen.is_disrupted {
            return None;
        }
        let before = self.day.nodes[node][..round].iter().rev().find_map(|seen| seen.skew_ns)?;
        let stepped: i64 = seen.steps.iter().map(|step| step.size_ns).sum();
        Some(seen.skew_ns?.minus(before).against(stepped).widened(SLEWED_NS))
    }
}

fn nodes_of(region: usize) -> std::ops::Range<usize> {
    region * NODES_PER_REGION..(region + 1) * NODES_PER_REGION
}
