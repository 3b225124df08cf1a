//! What is known of the nodes' clocks at a moment, for whoever watches the aggregator.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use syncline_clock::Status;
use syncline_timebase::{NodeName, Span};

use super::nodes::{Nodes, SharedNode};

/// A node's clock now.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NodeLook {
    /// Its name.
    pub(crate) node: NodeName,
    /// Since its last batch.
    pub(crate) silent: Duration,
    /// How far the estimate can be trusted.
    pub(crate) status: Status,
    /// WALL - REF, and how far off that may be, ns; none while nothing is known.
    pub(crate) skew_ns: Option<(i64, u64)>,
    /// Frequency error of its oscillator, ppb: positive where it is fast.
    pub(crate) frequency_ppb: Option<f64>,
    /// How fast its wall clock leaves REF; none where it was not known long enough.
    pub(crate) drift_ratio: Option<f64>,
    /// Since its last probe that was used.
    pub(crate) probe_age: Option<Duration>,
}

impl Nodes {
    /// The first `most` nodes by name, each as the boot heard of last, and how many nodes there are.
    pub(crate) fn look(&self, most: usize, now: Instant) -> (Vec<NodeLook>, usize) {
        let mut newest: BTreeMap<NodeName, (Instant, SharedNode)> = BTreeMap::new();
        for (name, used, node) in self.places() {
            let known = newest.entry(name).or_insert_with(|| (used, node.clone()));
            if used > known.0 {
                *known = (used, node);
            }
        }
        let all = newest.len();
        // Not while all places are locked: whoever has a node may be aligning.
        let looks = newest
            .into_iter()
            .take(most)
            .map(|(name, (used, node))| look(name, &node, now.saturating_duration_since(used)));
        (looks.collect(), all)
    }
}

fn look(name: NodeName, node: &SharedNode, silent: Duration) -> NodeLook {
    let node = node.lock();
    // MONO has gone on since the newest batch.
    let silent_span = Span::from_ns(i64::try_from(silent.as_nanos()).unwrap_or(i64::MAX));
    let at = node.segment_end().map(|end| end + silent_span);
    let estimate = at.map(|at| node.clock.estimate(at)).filter(|estimate| estimate.status != Status::Unknown);
    let probe_age = at
        .zip(node.clock.last_probe())
        .map(|(at, probe)| Duration::from_nanos(u64::try_from((at - probe).ns()).unwrap_or(0)));
    NodeLook {
        node: name,
        silent,
        status: estimate.map_or(Status::Unknown, |estimate| estimate.status),
        skew_ns: at.and_then(|at| node.skew_ns(at)),
        drift_ratio: at.and_then(|at| node.drift_ratio(at)),
        frequency_ppb: estimate.map(|estimate| -estimate.rate.ppb()),
        probe_age,
    }
}
