//! A node and two references.

use syncline_clock::{NodeClock, Tolerance};
use syncline_sim::{NodeSettings, OscillatorSettings, PathSettings, SimulatedNode};
use syncline_timebase::{Instant, Knot, Probe, Reference};

pub(crate) const MS: i64 = 1_000_000;
pub(crate) const SECOND: i64 = 1_000 * MS;

/// A node and two references, each an oscillator of its own; the second probes the first, as aggregators of a region do.
pub(crate) struct Run {
    pub(crate) node: SimulatedNode,
    pub(crate) first: SimulatedNode,
    pub(crate) second: SimulatedNode,
    pub(crate) clock: NodeClock,
    pub(crate) link: NodeClock,
}

/// Whose reference a node's probes speak of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Of {
    First,
    Second,
}

impl Run {
    pub(crate) fn new(node: NodeSettings, second: NodeSettings, seed: u64) -> Self {
        let oscillator = OscillatorSettings { frequency_ppb: -7_000.0, ..OscillatorSettings::default() };
        let first = NodeSettings { oscillator, uptime_ns: 40 * SECOND, ..NodeSettings::default() };
        Self {
            node: SimulatedNode::new(node, seed),
            first: SimulatedNode::new(first, seed ^ 1),
            second: SimulatedNode::new(second, seed ^ 2),
            clock: NodeClock::new(Tolerance::default()),
            link: NodeClock::of_oscillator(Tolerance::default()),
        }
    }

    /// REF of one of the two at a true time.
    pub(crate) fn reference(&mut self, of: Of, true_ns: i64) -> Instant<Reference> {
        let clock = if of == Of::First { &mut self.first } else { &mut self.second };
        Instant::from_ns(clock.raw(true_ns).ns())
    }

    /// A probe whose stamps at the other end are `of`'s instead of the truth.
    pub(crate) fn told(&mut self, of: Of, probe: Probe) -> Probe {
        let true_ns = |stamp: Instant<Reference>| (stamp - SimulatedNode::reference(0)).ns();
        let [received, replied] = [probe.received, probe.replied].map(|stamp| self.reference(of, true_ns(stamp)));
        Probe { received, replied, ..probe }
    }

    /// Probes and knots of these seconds, in which nothing happens to the clocks.
    pub(crate) fn observe(&mut self, of: Of, seconds: std::ops::Range<i64>) {
        assert_eq!(self.observe_all(of, seconds.clone()), 0, "disruptions in {seconds:?}");
    }

    /// Probes and knots of these seconds; how many disruptions show.
    pub(crate) fn observe_all(&mut self, of: Of, seconds: std::ops::Range<i64>) -> usize {
        let mut disruptions = 0;
        for second in seconds {
            let start = second * SECOND;
            let asked = start + 950 * MS;
            let other = if of == Of::First { &self.first } else { &self.second };
            if self.node.awake_ns(asked) != asked || is_frozen(other, asked) {
                self.observe_knots(second..second + 1);
                continue;
            }
            let (probe, returned) = self.node.probe(asked);
            let mut at: Vec<i64> = (0..10).map(|tick| start + tick * 100 * MS).collect();
            at.extend(probe.iter().flat_map(|_| [asked - 1_000, returned + 1_000]));
            let knots: Vec<Knot> = at.into_iter().map(|at| self.node.knot(at)).collect();
            let probe: Vec<Probe> = probe.into_iter().map(|probe| self.told(of, probe)).collect();
            disruptions += self.clock.observe(&knots, &probe).disruptions.len();
        }
        disruptions
    }

    /// Knots alone: they are what waits are placed by.
    pub(crate) fn observe_knots(&mut self, seconds: std::ops::Range<i64>) {
        for at in (seconds.start * 10..seconds.end * 10).map(|tick| tick * 100 * MS) {
            if self.node.awake_ns(at) != at {
                continue;
            }
            let knot = self.node.knot(at);
            self.clock.observe(&[knot], &[]);
        }
    }

    /// The second reference probes the first.
    pub(crate) fn link(&mut self, seconds: std::ops::Range<i64>) {
        for second in seconds {
            if [&self.first, &self.second].iter().any(|clock| is_frozen(clock, second * SECOND + 300 * MS)) {
                continue;
            }
            if let (Some(probe), _) = self.second.probe(second * SECOND + 300 * MS) {
                let probe = self.told(Of::First, probe);
                self.link.observe(&[], &[probe]);
            }
        }
    }

    /// The hard bound at a true time; the truth is inside it.
    pub(crate) fn bound(&mut self, of: Of, true_ns: i64) -> u64 {
        let (mono, truth) = (self.node.mono(true_ns), self.reference(of, true_ns));
        let estimate = self.clock.estimate(mono);
        let error = (mono + estimate.offset - truth).abs();
        assert!(error.ns().unsigned_abs() <= estimate.hard.ns(), "at {true_ns} ns: off by {error:?}, {estimate:?}");
        estimate.hard.ns()
    }
}

pub(crate) fn lan_with(frequency_ppb: f64, loss: f64) -> NodeSettings {
    let oscillator = OscillatorSettings { frequency_ppb, ..OscillatorSettings::default() };
    NodeSettings { oscillator, path: PathSettings { loss, ..PathSettings::lan() }, ..NodeSettings::default() }
}

/// Whether a clock stands still while it is probed.
pub(crate) fn is_frozen(clock: &SimulatedNode, at: i64) -> bool {
    [at, at + 50 * MS].iter().any(|at| clock.awake_ns(*at) != *at)
}
