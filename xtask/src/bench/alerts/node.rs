//! One node over the day: clocks, daemon, probes, and what the clock model makes of them at the end of each round.

use syncline_alerts::Interval;
use syncline_alerts::round::{ClaimSeen, Contradiction, NodeSeen, Step};
use syncline_clock::{Claim, ClaimVerdict, NodeClock, Observed, Tolerance};
use syncline_exchange::{Pacer, Pacing};
use syncline_sim::{
    CounterJump, Daemon, DaemonSettings, NodeSettings, OscillatorSettings, Random, Said, SimulatedNode,
};
use syncline_timebase::{ErrorBound, Instant, Knot, Mono, Offset, Probe, Span};

use super::peer::Timex;
use super::plan::{Act, DAY, Day, Plan, REGIONS, SECOND, lan, name, region};
use super::region::Region;

/// From probe to probe, as the aggregator paces agents that have something to align.
pub(super) const PROBE_EVERY: Span = Span::from_s(2);
/// An agent asks its daemon so often.
const CLAIM_EVERY_NS: i64 = 16 * SECOND;
/// An oscillator that creeps gains so much so often, for as long as it takes to be 130 ppm off further; within the model's tolerance of
/// wander.
const CREEPS_EVERY_NS: i64 = 30 * SECOND;
const CREEPS_PPB: f64 = 100.0;
const CREEPS: i64 = 1_300;
/// A kernel that nobody disciplines takes its clock to be off by this more and more, ppb, and for lost at so much, ns (NTP_PHASE_LIMIT).
const MAX_ERROR_PPB: i64 = 500_000;
const LOST_NS: i64 = 16 * SECOND;

/// What is known of a node at the end of a round, and what only the simulation knows.
#[derive(Debug, Default)]
pub(super) struct Seen {
    boot: u64,
    epoch: u32,
    silent_ns: u64,
    pub(super) skew_ns: Option<Interval>,
    pub(super) frequency_ppb: Option<i64>,
    pub(super) round_trip_ns: Option<u64>,
    pub(super) steps: Vec<Step>,
    pub(super) is_disrupted: bool,
    claims: Vec<ClaimSeen>,
    /// Where the model places this moment - where it is, on REF.
    pub(super) aligned_ns: Option<Interval>,
    /// What node_exporter would show.
    pub(super) timex: Timex,
}

impl Seen {
    pub(super) fn gap_ns(&self) -> i64 {
        let gaps = self.claims.iter().filter_map(|claim| claim.contradiction).map(Contradiction::gap_ns);
        gaps.max_by_key(|gap| gap.unsigned_abs()).unwrap_or_default()
    }

    pub(super) fn as_node(&self, node: usize) -> NodeSeen {
        NodeSeen {
            region: REGIONS[region(node)].to_owned(),
            node: name(node),
            boot: self.boot,
            run: 0,
            epoch: self.epoch,
            silent_ns: self.silent_ns,
            skew_ns: self.skew_ns,
            frequency_ppb: self.frequency_ppb,
            round_trip_ns: self.round_trip_ns,
            steps: self.steps.clone(),
            claims: self.claims.clone(),
        }
    }
}

/// A node as it runs.
struct Running<'a> {
    plan: &'a Plan,
    region: &'a Region,
    node: SimulatedNode,
    daemon: Option<Daemon>,
    /// The daemon no longer steers; it says what it said.
    is_runaway: bool,
    daemon_ended_ns: i64,
    source_ns: i64,
    stamps_ns: i64,
    clock: NodeClock,
    pacer: Pacer,
    boot: u64,
    next_probe_ns: i64,
    next_claim_ns: i64,
    heard_ns: i64,
    hushed_until_ns: i64,
    last_knot: Option<Knot>,
    seen: Seen,
}

/// All rounds of a node's day.
pub(super) fn rounds(number: usize, plan: &Plan, regions: &[Region], every_ns: i64) -> Vec<Seen> {
    let day = &plan.nodes[number];
    let mut running = Running::new(number, day, plan, &regions[region(number)]);
    let mut acts = day.acts.iter().peekable();
    let mut seen = Vec::with_capacity((DAY / every_ns) as usize);
    for round in 1..=DAY / every_ns {
        let until_ns = round * every_ns;
        while let Some((at_ns, act)) = acts.next_if(|(at_ns, _)| *at_ns < until_ns) {
            running.run_until(*at_ns);
            running.act(*at_ns, *act);
        }
        running.run_until(until_ns);
        seen.push(running.round(until_ns));
    }
    seen
}

impl<'a> Running<'a> {
    fn new(number: usize, day: &Day, plan: &'a Plan, region: &'a Region) -> Self {
        let seed = plan.seed.wrapping_mul(1_000_003).wrapping_add(number as u64);
        let mut random = Random::seeded(seed ^ 0x0DE5);
        let creeps = day.creeps_from_ns.into_iter().flat_map(|from_ns| {
            let frequency_ppb = CREEPS_PPB * day.oscillator_ppb.signum();
            (0..CREEPS).map(move |step| CounterJump {
                at_ns: from_ns + step * CREEPS_EVERY_NS,
                frequency_ppb,
                ..CounterJump::default()
            })
        });
        let oscillator = OscillatorSettings {
            frequency_ppb: day.oscillator_ppb,
            swing_ppb: random.between(20.0, 100.0),
            swing_period_s: random.between(900.0, 7_200.0),
            walk_ppb: 1.0,
        };
        let settings = NodeSettings {
            oscillator,
            path: lan(&mut random),
            steering: vec![(0, -day.oscillator_ppb)],
            pauses: day.pauses.clone(),
            jumps: creeps.collect(),
            wall_at_zero_ns: SimulatedNode::reference(0).ns() + random.normal(200_000.0) as i64,
            ..NodeSettings::default()
        };
        let daemon = DaemonSettings {
            poll_s: random.between(32.0, 128.0),
            noise_ns: random.log_between(20_000.0, 150_000.0),
            bound_ns: random.log_between(1e6, 5e6) as u64,
        };
        Self {
            plan,
            region,
            node: SimulatedNode::new(settings, seed),
            daemon: Some(Daemon::new(daemon, day.oscillator_ppb, seed ^ 0xDAE)),
            is_runaway: false,
            daemon_ended_ns: 0,
            source_ns: 0,
            stamps_ns: 0,
            clock: NodeClock::new(Tolerance::default()),
            pacer: Pacer::new(Pacing::every(PROBE_EVERY)),
            boot: 1,
            next_probe_ns: (random.uniform() * 2e9) as i64,
            next_claim_ns: (random.uniform() * CLAIM_EVERY_NS as f64) as i64,
            heard_ns: 0,
            hushed_until_ns: 0,
            last_knot: None,
            seen: Seen::default(),
        }
    }

    fn act(&mut self, at_ns: i64, act: Act) {
        match act {
            Act::SetWall(size_ns) => self.node.set_wall(at_ns, size_ns),
            Act::EndDaemon => {
                (self.daemon, self.daemon_ended_ns) = (None, at_ns);
                self.node.steer(at_ns, 0.0);
            }
            Act::Steer(ppb) => {
                self.is_runaway = true;
                let oscillator_ppb = self.oscillator_ppb(at_ns);
                self.node.steer(at_ns, ppb - oscillator_ppb);
            }
            Act::Source(off_ns) => self.source_ns = off_ns,
            Act::Stamps(by_ns) => self.stamps_ns = by_ns,
            Act::Route(path) => self.node.path().reroute(path),
            Act::Hush(for_ns) => self.hushed_until_ns = at_ns + for_ns,
            Act::Boot(for_ns) => {
                self.hushed_until_ns = at_ns + for_ns;
                self.boot += 1;
                self.clock = NodeClock::new(Tolerance::default());
                self.pacer = Pacer::new(Pacing::every(PROBE_EVERY));
                self.last_knot = None;
            }
        }
    }

    /// What the oscillator is off by at `at_ns`, ppb.
    fn oscillator_ppb(&mut self, at_ns: i64) -> f64 {
        (self.node.raw(at_ns + SECOND) - self.node.raw(at_ns)).ns() as f64 - SECOND as f64
    }

    fn run_until(&mut self, until_ns: i64) {
        loop {
            let poll_ns = self.daemon.as_ref().filter(|_| !self.is_runaway).map_or(i64::MAX, Daemon::next_ns);
            let next_ns = poll_ns.min(self.next_probe_ns).min(self.next_claim_ns);
            match () {
                () if next_ns >= until_ns => return,
                () if next_ns == poll_ns => self.poll(next_ns),
                () if next_ns == self.next_claim_ns => self.claim(),
                () => self.probe(),
            }
        }
    }

    fn poll(&mut self, at_ns: i64) {
        let source_ns = self.source_ns + self.plan.smeared_ns(at_ns);
        if let Some(daemon) = &mut self.daemon {
            daemon.poll(&mut self.node, source_ns);
        }
    }

    /// Probes, with the knots around it that agents read ten times a second.
    fn probe(&mut self) {
        let sent_ns = self.node.awake_ns(self.next_probe_ns);
        if sent_ns < self.hushed_until_ns {
            self.next_probe_ns = self.hushed_until_ns;
            return;
        }
        let before = self.node.knot(sent_ns - 1_000);
        self.pacer.sent();
        let (probe, ended_ns) = self.node.probe_of(&self.region.clock, sent_ns);
        let probe = probe.map(|probe| self.as_stamped(probe));
        let after = self.node.knot(ended_ns + 1_000);
        let observed = self.clock.observe(&[before, after], probe.as_slice());
        self.observed(&observed, &after, ended_ns);
        if let Some(probe) = probe {
            self.pacer.exchanged(&probe);
            let round_trip_ns = u64::try_from(probe.round_trip().ns()).unwrap_or(0);
            let least = self.seen.round_trip_ns.map_or(round_trip_ns, |least| least.min(round_trip_ns));
            self.seen.round_trip_ns = Some(least);
            self.heard_ns = ended_ns;
        }
        self.last_knot = Some(after);
        let pause = self.pacer.pause(after.mono, true);
        self.next_probe_ns = (sent_ns + pause.ns()).max(ended_ns + 2_000);
    }

    /// Stamps that are ahead of MONO name each moment too late.
    fn as_stamped(&self, probe: Probe) -> Probe {
        let by = Span::from_ns(self.stamps_ns);
        Probe { sent: probe.sent + by, returned: probe.returned + by, ..probe }
    }

    fn observed(&mut self, observed: &Observed, knot: &Knot, at_ns: i64) {
        let reference_ns = self.region.clock.at(at_ns).ns();
        let step = |step: &syncline_clock::WallStep| Step {
            at_ns: reference_ns - (knot.mono - step.at).ns(),
            size_ns: step.size.ns(),
            ago_ns: 0,
        };
        self.seen.steps.extend(observed.wall_steps.iter().map(step));
        self.seen.is_disrupted |= !observed.disruptions.is_empty();
    }

    /// What the daemon says, or without one the kernel, held against the probes by what the region's aggregator claims.
    fn claim(&mut self) {
        let at_ns = self.node.awake_ns(self.next_claim_ns);
        self.next_claim_ns = at_ns + CLAIM_EVERY_NS;
        if at_ns < self.hushed_until_ns {
            return;
        }
        let timex = self.timex(at_ns);
        let (source, said) = match (self.said(at_ns), timex) {
            (Some(said), _) => ("chrony", said),
            (None, Timex { is_synchronized: true, offset_ns, max_error_ns }) => {
                ("kernel", Said { utc_minus_wall_ns: offset_ns, bound_ns: max_error_ns.unsigned_abs() })
            }
            (None, _) => return,
        };
        let utc = self.region.claims(at_ns);
        let claim = Claim {
            at: self.node.mono(at_ns),
            offset: Offset::from_ns(said.utc_minus_wall_ns + utc.ref_minus_utc_ns),
            bound: ErrorBound::from_ns(said.bound_ns + utc.bound_ns),
        };
        let contradiction = match self.clock.judge(&claim) {
            ClaimVerdict::Unknown => return,
            ClaimVerdict::Consistent => None,
            ClaimVerdict::Contradicted { claimed_ns, measured_ns } => {
                let interval = |(low, high): (i64, i64)| Interval { low, high };
                Some(Contradiction { claimed_ns: interval(claimed_ns), measured_ns: interval(measured_ns) })
            }
        };
        self.seen.claims.push(ClaimSeen { source: source.to_owned(), contradiction });
    }

    fn said(&self, at_ns: i64) -> Option<Said> {
        let said = self.daemon.as_ref()?.says(at_ns)?;
        // One that steers away believes that it steers right.
        let well = Said { utc_minus_wall_ns: 0, bound_ns: 2_000_000 };
        Some(if self.is_runaway { well } else { said })
    }

    fn timex(&self, at_ns: i64) -> Timex {
        match (self.said(at_ns), &self.daemon) {
            (Some(Said { utc_minus_wall_ns, bound_ns }), _) => {
                let max_error_ns = i64::try_from(bound_ns).unwrap_or(i64::MAX);
                Timex { offset_ns: utc_minus_wall_ns, max_error_ns, is_synchronized: true }
            }
            (None, Some(_)) => Timex::default(),
            (None, None) => {
                let alone_ns = at_ns - self.daemon_ended_ns;
                let max_error_ns = (alone_ns / 1_000 * MAX_ERROR_PPB / 1_000_000).min(LOST_NS);
                Timex { offset_ns: 0, max_error_ns, is_synchronized: max_error_ns < LOST_NS }
            }
        }
    }

    /// What is known at the end of a round, which begins the next.
    fn round(&mut self, at_ns: i64) -> Seen {
        let mut seen = std::mem::take(&mut self.seen);
        seen.boot = self.boot;
        seen.silent_ns = (at_ns - self.heard_ns).unsigned_abs();
        seen.timex = self.timex(at_ns);
        let reference_ns = self.region.clock.at(at_ns).ns();
        for step in &mut seen.steps {
            step.ago_ns = u64::try_from(reference_ns - step.at_ns).unwrap_or(0);
        }
        let is_heard = seen.round_trip_ns.is_some();
        let Some(knot) = self.last_knot.filter(|_| is_heard) else { return seen };
        let Some(bounds) = self.clock.bounds(knot.mono) else { return seen };
        let hard = Interval { low: bounds.hard.low.ns(), high: bounds.hard.high.ns() };
        seen.skew_ns = self.clock.wall_offset().map(|wall| Interval::exactly(wall.ns()).minus(hard));
        let estimate = self.clock.estimate(knot.mono);
        (seen.frequency_ppb, seen.epoch) = (Some(-estimate.rate.ppb().round() as i64), estimate.epoch);
        seen.aligned_ns = Some(self.aligned(at_ns));
        seen
    }

    /// Where the model places this moment on REF, less where it is.
    fn aligned(&mut self, at_ns: i64) -> Interval {
        let now: Instant<Mono> = self.node.mono(at_ns);
        let truth = now.offset_to(self.region.clock.at(at_ns)).ns();
        let everything = Interval { low: i64::MIN, high: i64::MAX };
        self.clock.bounds(now).map_or(everything, |bounds| {
            Interval { low: bounds.hard.low.ns(), high: bounds.hard.high.ns() }.against(truth)
        })
    }
}
