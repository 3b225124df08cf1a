//! How fast the clocks of regions and of the fleet have been drifting for some minutes: too short for a rule, and enough to tell a leap smear
//! by its rate while something else shows first.

use std::collections::BTreeMap;

use crate::common::Node;
use crate::{Interval, Subject};

/// Drifts that most nodes have, ppb.
pub(crate) struct Drifts<'a> {
    regions: BTreeMap<&'a str, i64>,
    fleet: Option<i64>,
}

impl<'a> Drifts<'a> {
    pub(crate) fn of(nodes: &[Node<'a>]) -> Self {
        let mut by_region: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        for (seen, reading) in nodes {
            by_region.entry(&seen.region).or_default().extend(reading.recent_ppb);
        }
        let fleet = common(by_region.values().flatten().copied());
        let regions = by_region.into_iter().filter_map(|(region, all)| Some((region, common(all.into_iter())?)));
        Self { regions: regions.collect(), fleet }
    }

    /// Of what is common to several; none of a single node's.
    pub(crate) fn of_subject(&self, subject: &Subject) -> Option<i64> {
        match subject {
            Subject::Fleet => self.fleet,
            Subject::Region(region) => self.regions.get(region.as_str()).copied(),
            _ => None,
        }
    }
}

/// What half of them do is not what most do.
fn common(all: impl Iterator<Item = i64>) -> Option<i64> {
    Interval::common(all.map(Interval::exactly)).map(Interval::at_least)
}
