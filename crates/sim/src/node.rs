//! A simulated node: three clocks, a path, and the truth.

use syncline_timebase::{Instant, Knot, Mono, Probe, Raw, Reference, Span, Wall};

use crate::reference::{REFERENCE_AT_ZERO_NS, alive_ns, awake_ns};
use crate::{Oscillator, OscillatorSettings, Path, PathSettings, Random, ReferenceClock};

/// Someone sets the node's wall clock.
#[derive(Clone, Copy, Debug)]
pub struct WallStep {
    /// When, true time.
    pub at_ns: i64,
    /// By how much.
    pub size_ns: i64,
}

/// The counter behind a node's clocks does not run on as it did: another host, another clock source.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CounterJump {
    /// When, true time, ns.
    pub at_ns: i64,
    /// What MONO, RAW and WALL gain at once, ns; not negative, MONO never goes back.
    pub all_ns: i64,
    /// What RAW alone gains at once, ns.
    pub raw_ns: i64,
    /// How much faster all three run from then on, ppb.
    pub frequency_ppb: f64,
}

/// What a simulated node is made of.
#[derive(Clone, Debug)]
pub struct NodeSettings {
    /// MONO and RAW at true time zero, ns. They are counters of 64 bits and wrap where those do.
    pub uptime_ns: i64,
    /// WALL at true time zero, ns since 1970.
    pub wall_at_zero_ns: i64,
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
    /// Jumps of the counter behind the clocks, in order.
    pub jumps: Vec<CounterJump>,
    /// What RAW counts to before it begins at zero again, ns; `None` where it never does.
    pub raw_wraps_at_ns: Option<i64>,
    /// Longest time between the two MONO reads of a knot.
    pub bracket_ns: f64,
    /// The reference's own processing time at most.
    pub turnaround_ns: f64,
}

impl Default for NodeSettings {
    fn default() -> Self {
        Self {
            uptime_ns: UPTIME_AT_ZERO_NS,
            wall_at_zero_ns: REFERENCE_AT_ZERO_NS,
            oscillator: OscillatorSettings::default(),
            path: PathSettings::lan(),
            steering: Vec::new(),
            wall_steps: Vec::new(),
            pauses: Vec::new(),
            jumps: Vec::new(),
            raw_wraps_at_ns: None,
            bracket_ns: 200.0,
            turnaround_ns: 20_000.0,
        }
    }
}

/// MONO and RAW at true time zero: the node has been up for a while.
const UPTIME_AT_ZERO_NS: i64 = 86_400_000_000_000;

/// A node whose true time is known at every instant. True time counts ns from the start of the run.
pub struct SimulatedNode {
    settings: NodeSettings,
    oscillator: Oscillator,
    path: Path,
    random: Random,
    steered: Vec<Steered>,
}

/// A stretch in which MONO and WALL are steered alike.
struct Steered {
    /// Time lived through.
    from_ns: i64,
    ppb: f64,
    /// What all before it have added.
    gained_ns: f64,
}

impl Steered {
    fn gained_ns(&self, alive_ns: i64) -> f64 {
        self.gained_ns + (alive_ns - self.from_ns).max(0) as f64 * self.ppb * 1e-9
    }
}

impl SimulatedNode {
    /// The node that `seed` names.
    pub fn new(settings: NodeSettings, seed: u64) -> Self {
        let oscillator = Oscillator::new(settings.oscillator, seed ^ 0x05C1);
        let path = Path::new(settings.path, seed ^ 0x9A7B);
        let mut node = Self { oscillator, path, random: Random::seeded(seed), steered: Vec::new(), settings };
        for (from_ns, ppb) in std::mem::take(&mut node.settings.steering) {
            node.steer_from(from_ns, ppb);
        }
        node
    }

    /// From `true_ns` on MONO and WALL run faster by `ppb`, until they are steered otherwise. What was said of later times is
    /// forgotten.
    pub fn steer(&mut self, true_ns: i64, ppb: f64) {
        let alive_ns = alive_ns(&self.settings.pauses, true_ns);
        self.steered.retain(|steered| steered.from_ns < alive_ns);
        self.steer_from(alive_ns, ppb);
    }

    /// WALL is set, by so much, at `true_ns`; not before an earlier step.
    pub fn set_wall(&mut self, true_ns: i64, size_ns: i64) {
        self.settings.wall_steps.push(WallStep { at_ns: true_ns, size_ns });
    }

    fn steer_from(&mut self, from_ns: i64, ppb: f64) {
        let gained_ns = self.steered.last().map_or(0.0, |last| last.gained_ns(from_ns));
        self.steered.push(Steered { from_ns, ppb, gained_ns });
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
        let jumped: i64 = self.jumps_until(true_ns).map(|jump| jump.raw_ns).sum();
        let raw_ns = self.settings.uptime_ns.wrapping_add(self.counted_ns(true_ns) + jumped);
        Instant::from_ns(self.settings.raw_wraps_at_ns.map_or(raw_ns, |wraps_at| raw_ns.rem_euclid(wraps_at)))
    }

    /// `CLOCK_MONOTONIC` at `true_ns`.
    pub fn mono(&mut self, true_ns: i64) -> Instant<Mono> {
        Instant::from_ns(self.settings.uptime_ns.wrapping_add(self.disciplined_ns(true_ns)))
    }

    /// `CLOCK_REALTIME` at `true_ns`; it stays at the edges of `i64`.
    pub fn wall(&mut self, true_ns: i64) -> Instant<Wall> {
        let steps = self.settings.wall_steps.iter().filter(|step| step.at_ns <= true_ns);
        let stepped = steps.fold(0i64, |sum, step| sum.saturating_add(step.size_ns));
        let unstepped = self.settings.wall_at_zero_ns.saturating_add(self.disciplined_ns(true_ns));
        Instant::from_ns(unstepped.saturating_add(stepped))
    }

    /// The node reads its clocks.
    pub fn knot(&mut self, true_ns: i64) -> Knot {
        let bracket = self.random.between(40.0, self.settings.bracket_ns) as i64;
        self.knot_within(true_ns, bracket)
    }

    /// The node reads its clocks and takes `bracket_ns` to do so.
    pub fn knot_within(&mut self, true_ns: i64, bracket_ns: i64) -> Knot {
        let late = |random: &mut Random| random.between(0.0, bracket_ns as f64) as i64;
        let (raw_at, wall_at) = (true_ns + late(&mut self.random), true_ns + late(&mut self.random));
        let (first, second) = (self.mono(true_ns), self.mono(true_ns + bracket_ns));
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
        self.probe_of(&ReferenceClock::default(), true_ns)
    }

    /// The node probes this reference: the exchange, or `None` where it is lost, and when it ends, true ns.
    pub fn probe_of(&mut self, reference: &ReferenceClock, true_ns: i64) -> (Option<Probe>, i64) {
        let Some((forward, backward)) = self.path.exchange_ns() else {
            return (None, true_ns);
        };
        let received = reference.awake_ns(true_ns + forward);
        let turnaround = self.random.between(1_000.0, self.settings.turnaround_ns) as i64;
        let replied = reference.awake_ns(received + turnaround);
        // A frozen guest stamps nothing: the reply waits for it.
        let returned = self.awake_ns(replied + backward);
        let probe = Probe {
            sent: self.mono(true_ns),
            received: reference.at(received),
            replied: reference.at(replied),
            returned: self.mono(returned),
        };
        (Some(probe), returned)
    }

    /// The first true time from `true_ns` on at which the node runs, ns.
    pub fn awake_ns(&self, true_ns: i64) -> i64 {
        awake_ns(&self.settings.pauses, true_ns)
    }

    /// What NTP makes of the oscillator's count: how far MONO and WALL have come, steps aside.
    fn disciplined_ns(&mut self, true_ns: i64) -> i64 {
        self.counted_ns(true_ns) + self.steered_ns(alive_ns(&self.settings.pauses, true_ns))
    }

    /// What the counter behind the clocks has counted.
    fn counted_ns(&mut self, true_ns: i64) -> i64 {
        let alive = alive_ns(&self.settings.pauses, true_ns);
        let counted = alive + self.oscillator.gained_ns(alive).round() as i64;
        let pauses = &self.settings.pauses;
        let faster = |jump: &CounterJump| (alive - alive_ns(pauses, jump.at_ns)) as f64 * jump.frequency_ppb * 1e-9;
        counted + self.jumps_until(true_ns).map(|jump| jump.all_ns + faster(jump).round() as i64).sum::<i64>()
    }

    fn jumps_until(&self, true_ns: i64) -> impl Iterator<Item = &CounterJump> {
        self.settings.jumps.iter().take_while(move |jump| jump.at_ns <= true_ns)
    }

    /// What NTP's steering has added to it.
    fn steered_ns(&self, alive_ns: i64) -> i64 {
        let begun = self.steered.partition_point(|steered| steered.from_ns <= alive_ns);
        let newest = begun.checked_sub(1).and_then(|newest| self.steered.get(newest));
        newest.map_or(0, |steered| steered.gained_ns(alive_ns).round() as i64)
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

    #[test]
    fn a_daemon_may_steer_and_step_as_time_goes_on() {
        let steering = vec![(0, 5_000.0), (SECOND, 100_000.0), (9 * SECOND, -1.0)];
        let settings = NodeSettings { steering, pauses: vec![(2 * SECOND, SECOND)], ..NodeSettings::default() };
        let mut node = SimulatedNode::new(settings, 1);
        node.steer(4 * SECOND, -20_000.0);
        node.set_wall(5 * SECOND, SECOND);
        let mut ahead = |at| node.mono(at).ns() - node.raw(at).ns();
        assert_eq!([1, 2, 3, 4, 6].map(|s| ahead(s * SECOND)), [5_000, 105_000, 105_000, 205_000, 165_000]);
        let gained = node.wall(5 * SECOND) - node.wall(5 * SECOND - 1);
        assert!((gained.ns() - SECOND).abs() <= 2, "{gained:?}");
    }

    #[test]
    fn a_counter_may_jump_change_its_rate_and_wrap() {
        let quiet = OscillatorSettings { frequency_ppb: 0.0, swing_ppb: 0.0, walk_ppb: 0.0, ..Default::default() };
        let jump = CounterJump { at_ns: 2 * SECOND, all_ns: 700, raw_ns: 30, frequency_ppb: 1_000.0 };
        let settings = NodeSettings {
            uptime_ns: 0,
            oscillator: quiet,
            jumps: vec![jump],
            raw_wraps_at_ns: Some(4 * SECOND),
            ..NodeSettings::default()
        };
        let mut node = SimulatedNode::new(settings, 1);
        assert_eq!([2 * SECOND - 1, 2 * SECOND].map(|at| node.mono(at).ns()), [2 * SECOND - 1, 2 * SECOND + 700]);
        assert_eq!([3, 5].map(|s| node.raw(s * SECOND).ns()), [3 * SECOND + 730 + 1_000, SECOND + 730 + 3_000]);
    }

    #[test]
    fn a_reply_waits_for_a_frozen_guest() {
        let settings = NodeSettings { pauses: vec![(SECOND + 30_000, SECOND)], ..NodeSettings::default() };
        let mut node = SimulatedNode::new(settings, 1);
        let (probe, returned) = node.probe(SECOND);
        assert_eq!(returned, 2 * SECOND + 30_000);
        let seen = probe.unwrap().round_trip();
        assert!(seen < Span::from_ns(30_000), "its clocks stood still for the most of the way: {seen:?}");
    }
}
