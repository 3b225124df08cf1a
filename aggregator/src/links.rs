//! What this aggregator's reference and those of others are to one another, for nodes that come from there.
//!
//! `region_clock` measures, and leaves its newest model here; a node whose probes begin to speak of this reference has its own
//! model handed over along it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use syncline_clock::NodeClock;

/// References kept: those that are gone stay for the nodes that have not come over yet.
const KEPT: usize = 32;

/// Models of other references by this one, the one least lately measured first.
#[derive(Debug, Default)]
pub(crate) struct Links(Mutex<Vec<Link>>);

#[derive(Debug)]
struct Link {
    run: u64,
    /// The other reference as REF, this one as MONO.
    model: NodeClock,
}

impl Links {
    /// The newest model of the reference of `run`.
    pub(crate) fn put(&self, run: u64, model: NodeClock) {
        let mut links = self.lock();
        links.retain(|link| link.run != run);
        links.push(Link { run, model });
        let surplus = links.len().saturating_sub(KEPT);
        links.drain(..surplus);
    }

    /// The model of a node by the reference of `run`, as it goes on by this one; `None` where nothing leads there.
    pub(crate) fn hand_over(&self, clock: &NodeClock, run: u64) -> Option<NodeClock> {
        let links = self.lock();
        let link = links.iter().find(|link| link.run == run)?;
        clock.handed_over(&link.model)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Link>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_clock::Tolerance;

    #[test]
    fn the_least_lately_measured_gives_way() {
        let (links, model) = (Links::default(), || NodeClock::of_oscillator(Tolerance::default()));
        links.put(1_000, model());
        for run in 0..KEPT as u64 - 1 {
            links.put(run, model());
        }
        links.put(1_000, model());
        links.put(2_000, model());
        let runs: Vec<u64> = links.lock().iter().map(|link| link.run).collect();
        assert_eq!(runs.len(), KEPT);
        assert!(runs.contains(&1_000) && runs.contains(&2_000) && !runs.contains(&0), "{runs:?}");
        assert!(links.hand_over(&model(), 0).is_none());
    }
}
