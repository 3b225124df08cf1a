//! A simulated node: three clocks, a path, and the truth.

use syncline_timebase::{Instant, Knot, Mono, Probe, Raw, Reference, Span, Wall};

use crate::{Oscillator, OscillatorSettings, Path, PathSettings, Random};

/// Someone sets the node's wall clock.
#[derive(Clone, Copy, Debug)]
pub struct WallStep {
    /// When, true time.
    pub at_ns: i64,
    /// By how much.
    pub size_ns: i64,
}

/// What a simulated node is made of.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// Its oscillator.
    pub oscillator: OscillatorSettings,
    /// Its path to the reference.
    pub path: PathSettings,
    /// How fast NTP steers MONO and WALL against RAW, from when on (time lived through,
    /// without pauses): (ns, ppb), in order.
    pub steering: Vec<(i64, f64)>,
    /// Steps of the wall clock, in order.
    pub wall_steps: Vec<WallStep>,
    /// The guest is frozen with all its clocks: (from, length), true ns, in order.
    pub pauses: Vec<(i64, i64)>,
    /// Longest time between the two MONO reads of a knot.
    pub bracket_ns: f64,
    /// The reference's own processing time at most.
    pub turnaround_ns: f64,
}

impl Default for NodeSettings {
    fn default() -> Self {
        Self {
            oscillator: OscillatorSettings::default(),
            path: PathSettings::lan(),
            steering: Vec::new(),
            wall_steps: Vec::new(),
            pauses: Vec::new(),
            bracket_ns: 200.0,
            turnaround_ns: 20_000.0,
        }
    }
}

/// Reference time at true time zero: some day in 2026.
const REFERENCE_AT_ZERO_NS: i64 = 1_790_000_000_000_000_000;
/// MONO and RAW at true time zero: the node has been up for a while.
const UPTIME_AT_ZERO_NS: i64 = 86_400_000_000_000;

/// A node whose true time is known at every instant. True time counts ns from the start of the run.
pub struct SimulatedNode {
    settings: NodeSettings,
    oscillator: Oscillator,
    path: Path,
    random: Random,
}

impl SimulatedNode {
    /// The node that `seed` names.
    pub fn new(settings: NodeSettings, seed: u64) -> Self {
        let oscillator = Oscillator::new(settings.oscillator, seed ^ 0x05C1);
        let path = Path::new(settings.path, seed ^ 0x9A7B);
        Self { settings, oscillator, path, random: Random::seeded(seed) }
    }

    /// The path, to change its route.
    pub fn path(&mut self) -> &mut Path {
        &mut self.path
    }

    /// The truth: reference time at true time `true_ns`.
    pub fn reference(true_ns: i64) -> Instant<Reference> {
        Instant::from_ns(REFERENCE_AT_ZERO_NS + true_ns)
    }

    /// `CLOCK_MONOTONIC_RAW` at `true_ns`.
    pub fn raw(&mut self, true_ns: i64) -> Instant<Raw> {
        let alive = self.alive_ns(true_ns);
        Instant::from_ns(UPTIME_AT_ZERO_NS + self.counted_ns(alive))
    }

    /// `CLOCK_MONOTONIC` at `true_ns`.
    pub fn mono(&mut self, true_ns: i64) -> Instant<Mono> {
        let alive = self.alive_ns(true_ns);
        Instant::from_ns(UPTIME_AT_ZERO_NS + self.counted_ns(alive) + self.steered_ns(alive))
    }

    /// `CLOCK_REALTIME` at `true_ns`.
    pub fn wall(&mut self, true_ns: i64) -> Instant<Wall> {
        let steps = self.settings.wall_steps.iter().filter(|step| step.at_ns <= true_ns);
        let stepped: i64 = steps.map(|step| step.size_ns).sum();
        Instant::from_ns(REFERENCE_AT_ZERO_NS - UPTIME_AT_ZERO_NS + self.mono(true_ns).ns() + stepped)
    }

    /// The node reads its clocks.
    pub fn knot(&mut self, true_ns: i64) -> Knot {
        let bracket = self.random.between(40.0, self.settings.bracket_ns) as i64;
        let late = |random: &mut Random| random.between(0.0, bracket as f64) as i64;
        let (raw_at, wall_at) = (true_ns + late(&mut self.random), true_ns + late(&mut self.random));
        let (first, second) = (self.mono(true_ns), self.mono(true_ns + bracket));
        let span = second - first;
        Knot {
            mono: first + Span::from_ns(span.ns() / 2),
            raw: self.raw(raw_at),
            wall: self.wall(wall_at),
            bracket: span,
        }
    }

    /// The node probes the reference: the exchange, or `None` where it is lost, and when it ends.
    pub fn probe(&mut self, true_ns: i64) -> (Option<Probe>, i64) {
        let Some((forward, backward)) = self.path.exchange_ns() else {
            return (None, true_ns);
        };
        let received = true_ns + forward;
        let replied = received + self.random.between(1_000.0, self.settings.turnaround_ns) as i64;
        let returned = replied + backward;
        let probe = Probe {
            sent: self.mono(true_ns),
            received: Self::reference(received),
            replied: Self::reference(replied),
            returned: self.mono(returned),
        };
        (Some(probe), returned)
    }

    /// True time less the pauses: what the guest has lived through.
    fn alive_ns(&self, true_ns: i64) -> i64 {
        let frozen = |(from, length): &(i64, i64)| (true_ns - from).clamp(0, *length);
        true_ns - self.settings.pauses.iter().map(frozen).sum::<i64>()
    }

    /// What the oscillator counts in that time.
    fn counted_ns(&mut self, alive_ns: i64) -> i64 {
        alive_ns + self.oscillator.gained_ns(alive_ns).round() as i64
    }

    /// What NTP's steering has added to it.
    fn steered_ns(&self, alive_ns: i64) -> i64 {
        let starts = self.settings.steering.iter();
        let ends = starts.clone().skip(1).map(|(from, _)| *from).chain([i64::MAX]);
        let gained = |((from, ppb), end): (&(i64, f64), i64)| (alive_ns.min(end) - from).max(0) as f64 * ppb * 1e-9;
        starts.zip(ends).map(gained).sum::<f64>().round() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn a_seed_names_a_run() {
        let mut runs = [0, 1].map(|_| SimulatedNode::new(NodeSettings::default(), 7));
        let [first, second] = runs.each_mut().map(|node| (node.knot(5 * SECOND), node.probe(6 * SECOND)));
        assert_eq!(first, second);
    }

    #[test]
    fn a_pause_freezes_every_clock_and_a_step_moves_only_the_wall() {
        let settings = NodeSettings {
            pauses: vec![(10 * SECOND, 2 * SECOND)],
            wall_steps: vec![WallStep { at_ns: 20 * SECOND, size_ns: -SECOND }],
            ..NodeSettings::default()
        };
        let mut node = SimulatedNode::new(settings, 1);
        assert_eq!(node.mono(10 * SECOND), node.mono(12 * SECOND));
        assert_eq!(node.raw(10 * SECOND), node.raw(12 * SECOND));
        let (mono, wall) =
            (node.mono(21 * SECOND) - node.mono(19 * SECOND), node.wall(21 * SECOND) - node.wall(19 * SECOND));
        assert_eq!(wall, mono - Span::from_s(1));
    }

    #[test]
    fn steering_moves_mono_against_raw() {
        let settings = NodeSettings {
            steering: vec![(0, 0.0), (SECOND, 500_000.0), (2 * SECOND, 0.0)],
            ..NodeSettings::default()
        };
        let mut node = SimulatedNode::new(settings, 1);
        let ahead = node.mono(5 * SECOND).ns() - node.raw(5 * SECOND).ns();
        assert_eq!(ahead, 500_000);
    }
}
