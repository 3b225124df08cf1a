//! What this aggregator's reference and those of others are to one another, for nodes that come from there.
//!
//! `region_clock` measures, and leaves its newest model here; a node whose probes begin to speak of this reference has its own
//! model handed over along it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use syncline_clock::NodeClock;

/// References kept: those that are gone stay for the nodes that have not come over yet.
const KEPT: usize = 32;

/// Models of other references by this one.
#[derive(Debug)]
pub(crate) struct Links {
    /// The run of this reference.
    own: u64,
    /// The one least lately measured first.
    links: Mutex<Vec<Link>>,
}

#[derive(Debug)]
struct Link {
    run: u64,
    /// The other reference as REF, this one as MONO.
    model: Arc<NodeClock>,
}

impl Links {
    /// None yet that lead to the reference of run `own`.
    pub(crate) fn to(own: u64) -> Self {
        Self { own, links: Mutex::default() }
    }

    /// The newest model of the reference of `run`.
    pub(crate) fn put(&self, run: u64, model: NodeClock) {
        let mut links = self.lock();
        links.retain(|link| link.run != run);
        links.push(Link { run, model: Arc::new(model) });
        let surplus = links.len().saturating_sub(KEPT);
        links.drain(..surplus);
    }

    /// The model of a node by the reference of run `from`, as it goes on by that of run `to`; `None` where nothing leads there. (Batches
    /// that were not acknowledged by yet another aggregator speak of that one's reference, and links lead to this one's alone.)
    pub(crate) fn hand_over(&self, clock: &NodeClock, [from, to]: [u64; 2]) -> Option<NodeClock> {
        if to != self.own {
            return None;
        }
        // Whoever measures does not wait for it.
        let link = self.lock().iter().find(|link| link.run == from).map(|link| Arc::clone(&link.model))?;
        clock.handed_over(&link)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_clock::Tolerance;

    #[test]
    fn the_least_lately_measured_gives_way() {
        let (links, model) = (Links::to(7), || NodeClock::of_oscillator(Tolerance::default()));
        links.put(1_000, model());
        for run in 0..KEPT as u64 - 1 {
            links.put(run, model());
        }
        links.put(1_000, model());
        links.put(2_000, model());
        let runs: Vec<u64> = links.lock().iter().map(|link| link.run).collect();
        assert_eq!(runs.len(), KEPT);
        assert!(runs.contains(&1_000) && runs.contains(&2_000) && !runs.contains(&0), "{runs:?}");
        assert!(links.hand_over(&model(), [0, 7]).is_none());
    }
}
