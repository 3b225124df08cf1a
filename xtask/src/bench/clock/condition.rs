//! Under which conditions estimators are compared, and what ours is to reach there.

use syncline_sim::profile::{Burst, Network, Profile};

/// A network, its paths and its disturbances.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Condition {
    pub(super) network: Network,
    pub(super) asymmetric: bool,
    pub(super) stress: bool,
    /// Eight probes in addition, 100 ms apart, after each disruption.
    pub(super) burst: bool,
}

/// What the errors are to be at most, us.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Target {
    pub(super) p99_us: f64,
    pub(super) p999_us: f64,
    /// 99th percentile in hindsight.
    pub(super) smoothed_p99_us: Option<f64>,
}

/// The probes after a disruption.
const BURST: Burst = Burst { probes: 8, interval_s: 0.1 };

impl Condition {
    /// All that are tabled, without bursts.
    pub(super) fn all() -> Vec<Self> {
        let both = [(false, false), (false, true), (true, false), (true, true)];
        let of = |network, kinds: &[(bool, bool)]| {
            let condition = |&(stress, asymmetric): &(bool, bool)| Self { network, asymmetric, stress, burst: false };
            kinds.iter().map(condition).collect::<Vec<_>>()
        };
        let symmetric = [(false, false), (true, false)];
        [
            of(Network::Lan, &both),
            of(Network::LanUser, &symmetric),
            of(Network::Lan10, &symmetric),
            of(Network::Wan, &both),
        ]
        .concat()
    }

    /// The same with a burst after each disruption.
    pub(super) fn with_burst(self) -> Self {
        Self { burst: true, ..self }
    }

    /// What its runs are drawn from.
    pub(super) fn profile(self) -> Profile {
        let burst = self.burst.then_some(BURST);
        Profile { burst, ..Profile::new(self.network, self.asymmetric, self.stress) }
    }

    /// As in the heading of a column.
    pub(super) fn name(self) -> String {
        let disturbed = if self.stress { "stress" } else { "quiet" };
        let paths = if self.asymmetric { ", asymmetric" } else { "" };
        format!("{} {disturbed}{paths}", self.network.name())
    }

    /// The share that the budgeted bounds allow for asymmetry.
    pub(super) fn asymmetry_share(self) -> f64 {
        match self.network {
            Network::Lan | Network::LanUser | Network::Lan10 => 0.30,
            Network::Wan | Network::Wan10 => 0.40,
        }
    }

    /// Probes come so often that the heavier peers run on fewer seeds.
    pub(super) fn is_dense(self) -> bool {
        matches!(self.network, Network::Lan10 | Network::Wan10)
    }

    /// What ours is to reach; `None` where nothing is set.
    pub(super) fn target(self) -> Option<Target> {
        let (p99_us, p999_us) = match (self.network, self.stress, self.asymmetric) {
            (Network::Lan, false, _) => (1.3, 2.0),
            (Network::Lan, true, false) => (2.5, 6.0),
            (Network::Lan, true, true) => (4.0, 55.0),
            (Network::LanUser, false, _) => (8.0, 13.0),
            (Network::LanUser, true, _) => (15.0, 50.0),
            (Network::Lan10, false, _) => (0.8, 1.7),
            (Network::Lan10, true, _) => (2.0, 3.0),
            (Network::Wan, false, false) => (15.0, 35.0),
            (Network::Wan, false, true) => (40.0, 80.0),
            (Network::Wan, true, false) => (60.0, 200.0),
            (Network::Wan, true, true) => (500.0, 1_500.0),
            (Network::Wan10, ..) => return None,
        };
        let smoothed_p99_us = (self.network == Network::Lan && !self.stress).then_some(0.5);
        Some(Target { p99_us, p999_us, smoothed_p99_us })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_has_a_name_and_a_target_of_its_own() {
        let all = Condition::all();
        let mut names: Vec<String> = all.iter().map(|condition| condition.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!((all.len(), names.len()), (12, 12));
        assert!(all.iter().all(|condition| condition.target().is_some()));
    }

    #[test]
    fn a_burst_changes_nothing_else() {
        let condition = Condition::all()[2];
        assert_eq!(condition.profile().burst, None);
        assert_eq!(condition.with_burst().profile().burst, Some(BURST));
        assert_eq!(condition.with_burst().name(), condition.name());
    }
}
