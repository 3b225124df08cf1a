//! What leads away from UTC, and what is claimed of it: rules in which what all wall clocks do alike explains more than itself.

use crate::common::{Common, Node};
use crate::conditions::{Found, Reason, Standing, Standings};
use crate::{Interval, Key, Rule, Subject};

impl Found<'_> {
    /// A claim of a node's is held against what its region's aggregator claims. Where all wall clocks are off alike, that is why claims
    /// are false.
    pub(crate) fn claims(&mut self, nodes: &[Node<'_>], (offsets, leaving): (&Standings<'_>, &Standings<'_>)) {
        let gaps = self.before.values(Rule::Claim, nodes, |_, reading| reading.gap_ns.map(Interval::exactly));
        let common = Common::of(Rule::Claim, &gaps, self.before.left_out);
        let is_told = [Rule::Offset, Rule::Drift].map(|rule| self.is_told(&Key { rule, subject: Subject::Fleet }));
        let is_told = is_told.contains(&true) || common.of_most(0).is_some();
        let of_fleet = offsets.common.fleet.or_else(|| offsets.common.of_most(0));
        let told = |is_told: bool| if is_told { Standing::Told } else { Standing::AboutToBe };
        let of_fleet: Vec<Reason> = of_fleet.into_iter().map(|value| (value, told(is_told))).collect();
        let claims = self.commons(Rule::Claim, common, &of_fleet);
        for gap in &gaps {
            let stands = [&claims, offsets, leaving].map(|of| of.regions.get(gap.region).copied());
            let is_told = stands.contains(&Some(Standing::Told));
            let offset = offsets.common.regions.get(gap.region).map(|value| (*value, told(is_told)));
            let reasons: Vec<Reason> = claims.of(gap.region).into_iter().chain(offset).collect();
            self.hold(gap.key(Rule::Claim), (gap.value, gap.against), &reasons);
        }
    }

    /// Drift counts where it has led away from UTC, and a node's own from where its region is, if that is told. Towards it is what daemons are for.
    pub(crate) fn drifts<'n>(&mut self, nodes: &[Node<'n>], offsets: &Standings<'n>) -> Standings<'n> {
        let window_s = (self.before.policy.drift_window_ns / 1_000_000_000).cast_signed();
        let has_left = |drift_ppb: i64, offset_ns: i64| {
            let before_ns = offset_ns.saturating_sub(drift_ppb.saturating_mul(window_s));
            offset_ns.unsigned_abs() > before_ns.unsigned_abs()
        };
        let mut drifts = self.before.values(Rule::Drift, nodes, |_, reading| reading.drift_ppb);
        let all = Common::of(Rule::Drift, &drifts, self.before.left_out);
        let middle = |of: &Common<'_>, region: &str| of.regions.get(region).map_or(0, |common| common.middle());
        let mut common = Common::of(Rule::Drift, &drifts, self.before.left_out);
        common.keep(|region, drift| {
            let offset = offsets.common.regions.get(region);
            offset.is_some_and(|offset| has_left(drift.middle(), offset.middle()))
        });
        let leaving = self.commons(Rule::Drift, common, &[]);
        let with_drift = nodes.iter().filter(|(_, reading)| reading.drift_ppb.is_some());
        for (drift, (_, reading)) in drifts.iter_mut().zip(with_drift) {
            let is_told = [&leaving, offsets].map(|of| of.regions.get(drift.region) == Some(&Standing::Told));
            let common = |of: &Common<'_>| if is_told.contains(&true) { middle(of, drift.region) } else { 0 };
            let own_ppb = drift.value.middle().saturating_sub(common(&all));
            let own_ns = reading.offset_ns.map(|offset| offset.middle().saturating_sub(common(&offsets.common)));
            drift.counts = own_ns.is_some_and(|own_ns| has_left(own_ppb, own_ns));
        }
        self.own(Rule::Drift, &drifts, &leaving);
        leaving
    }
}
