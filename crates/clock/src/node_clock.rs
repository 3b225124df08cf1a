//! The clock model of one node in one boot.

use std::collections::BTreeMap;

use syncline_timebase::{ErrorBound, FrequencyError, Instant, Knot, Mono, Offset, Probe, Raw, Reference, Span, Wall};

use crate::hull::{BadExchange, Exchange, Hull, Known, Verdict};
use crate::mono_raw::{KnotVerdict, MonoToRaw};
use crate::offset_bounds::OffsetBounds;
use crate::wall_steps::WallSteps;
use crate::{Disruption, DisruptionCause, Tolerance, WallStep};

/// How much an estimate is worth, in the words of AWS ClockBound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Status {
    /// No probe yet: nothing is known.
    Unknown,
    /// Probes around or shortly before this instant carry it.
    Synchronized,
    /// Carried by the oscillator alone, since the last probe or back from the first.
    FreeRunning,
    /// The clocks were disrupted around this instant; the bound covers both sides.
    Disrupted,
}

/// A node's clock at one instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// REF - MONO: the middle of what the samples allow.
    pub offset: Offset<Mono, Reference>,
    /// Rate of REF - RAW: negative where the node's oscillator is fast.
    pub rate: FrequencyError,
    /// The truth is no further away than this (see the crate's assumptions).
    pub hard: ErrorBound,
    /// What carries it.
    pub status: Status,
    /// Disruptions before it in this boot.
    pub epoch: u32,
}

/// Why a sample was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// A knot not after the one before it.
    KnotOutOfOrder,
    /// A probe not after the one before it.
    ProbeOutOfOrder,
    /// A probe that ended before it began, a negative round trip, or stamps beyond what clocks show.
    ProbeImpossible,
    /// A probe before any knot: it cannot be placed on RAW.
    ProbeWithoutKnot,
}

impl Refusal {
    /// The name users see, stable.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KnotOutOfOrder => "knot_out_of_order",
            Self::ProbeOutOfOrder => "probe_out_of_order",
            Self::ProbeImpossible => "probe_impossible",
            Self::ProbeWithoutKnot => "probe_without_knot",
        }
    }
}

/// What a set of samples brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Steps of the wall clock.
    pub wall_steps: Vec<WallStep>,
    /// Disruptions of the oscillator.
    pub disruptions: Vec<Disruption>,
    /// Samples not used, by cause.
    pub refused: BTreeMap<Refusal, u64>,
    /// For each probe given, whether it was used.
    pub used: Vec<bool>,
}

/// The clock model of one node in one boot: samples in, estimates out.
#[derive(Clone, Debug)]
pub struct NodeClock {
    tolerance: Tolerance,
    map: MonoToRaw,
    wall: WallSteps,
    hull: Hull,
    last_probe: Option<Instant<Mono>>,
}

impl NodeClock {
    /// A model that knows nothing yet.
    pub fn new(tolerance: Tolerance) -> Self {
        let (map, wall) = (MonoToRaw::default(), WallSteps::default());
        Self { tolerance, map, wall, hull: Hull::new(tolerance), last_probe: None }
    }

    /// A model of a clock that is an oscillator itself, as a region's reference is: MONO is RAW, and it needs no knots.
    pub fn of_oscillator(tolerance: Tolerance) -> Self {
        Self { map: MonoToRaw::identity(), ..Self::new(tolerance) }
    }

    /// Takes the samples of one batch, both in order of time. Samples not newer than what was taken before are refused
    /// and counted, so a batch that comes twice does no harm.
    pub fn observe(&mut self, knots: &[Knot], probes: &[Probe]) -> Observed {
        let mut observed = Observed::default();
        let mut probes = probes.iter().peekable();
        for knot in knots {
            // A probe must not be carried over a jump that was seen only after it.
            while let Some(probe) = probes.next_if(|probe| probe.returned < knot.mono && self.reaches(probe.returned)) {
                self.observe_probe(probe, &mut observed);
            }
            self.observe_knot(knot, &mut observed);
        }
        probes.for_each(|probe| self.observe_probe(probe, &mut observed));
        observed
    }

    /// The node's clock at `mono`. Between samples it is interpolated, so an answer given once both sides have probes is
    /// better than one given at once.
    pub fn estimate(&self, mono: Instant<Mono>) -> Estimate {
        let Some([earliest, latest]) = self.known(mono) else { return Estimate::unknown() };
        // REF grows with RAW, so the ends of the interval on REF come from the ends of that on RAW.
        let low = mono.offset_to(earliest.0).ns().saturating_add(earliest.1.bounds.hard.low);
        let high = mono.offset_to(latest.0).ns().saturating_add(latest.1.bounds.hard.high);
        let width = high.abs_diff(low);
        let rate = (earliest.1.rates.firm.low + latest.1.rates.firm.high) / 2.0;
        Estimate {
            offset: Offset::from_ns(low.saturating_add_unsigned(width / 2)),
            rate: FrequencyError::from_ppb(rate),
            hard: ErrorBound::from_ns(width / 2 + 1),
            status: self.status(&earliest.1, &latest.1),
            epoch: latest.1.epoch,
        }
    }

    /// REF - MONO at `mono` under each class of assumption; `None` where nothing is known.
    pub fn bounds(&self, mono: Instant<Mono>) -> Option<OffsetBounds> {
        self.known(mono).map(|[earliest, latest]| OffsetBounds::between(mono, &earliest, &latest))
    }

    /// How often the budgeted and the tight bounds contradicted themselves: what they assume of paths did not hold.
    pub fn violations(&self) -> (u32, u32) {
        let violations = self.hull.violations();
        (violations.budgeted, violations.tight)
    }

    /// When the last probe that was used returned.
    pub fn last_probe(&self) -> Option<Instant<Mono>> {
        self.last_probe
    }

    /// WALL - MONO at the newest knot.
    pub fn wall_offset(&self) -> Option<Offset<Mono, Wall>> {
        self.wall.wall_offset()
    }

    /// What is known at the two ends of where `mono` may lie on RAW.
    fn known(&self, mono: Instant<Mono>) -> Option<[(Instant<Raw>, Known); 2]> {
        let point = self.map.at(mono)?;
        let known = |raw: Instant<Raw>| Some((raw, self.hull.at(raw)?));
        Some([known(point.raw - point.slack)?, known(point.raw + point.slack)?])
    }

    /// Whether knots before `mono` are close enough that waiting for the next one brings nothing.
    fn reaches(&self, mono: Instant<Mono>) -> bool {
        self.map.at(mono).is_some_and(|point| point.slack <= Span::from_ns(100))
    }

    fn status(&self, earliest: &Known, latest: &Known) -> Status {
        match () {
            () if earliest.disrupted || latest.disrupted || earliest.epoch != latest.epoch => Status::Disrupted,
            () if earliest.carried.max(latest.carried) > self.tolerance.free_running_after => Status::FreeRunning,
            () => Status::Synchronized,
        }
    }

    fn observe_knot(&mut self, knot: &Knot, observed: &mut Observed) {
        match self.map.observe(knot) {
            KnotVerdict::OutOfOrder => return *observed.refused.entry(Refusal::KnotOutOfOrder).or_default() += 1,
            KnotVerdict::Jumped => {
                self.hull.disrupt();
                let disruption = Disruption { noticed_at: knot.raw, cause: DisruptionCause::ClocksDisagree };
                observed.disruptions.push(disruption);
            }
            KnotVerdict::Taken => {}
        }
        observed.wall_steps.extend(self.wall.observe(knot));
    }

    fn observe_probe(&mut self, probe: &Probe, observed: &mut Observed) {
        let outcome = self.on_raw(probe).and_then(|exchange| match self.hull.observe(&exchange, Verdict::Consistent) {
            Ok(cause) => Ok((exchange, cause)),
            Err(BadExchange::OutOfOrder) => Err(Refusal::ProbeOutOfOrder),
            Err(BadExchange::Impossible) => Err(Refusal::ProbeImpossible),
        });
        observed.used.push(outcome.is_ok());
        match outcome {
            Ok((exchange, cause)) => {
                self.last_probe = Some(probe.returned);
                let disruption = cause.map(|cause| Disruption { noticed_at: exchange.returned, cause });
                observed.disruptions.extend(disruption);
            }
            Err(refusal) => *observed.refused.entry(refusal).or_default() += 1,
        }
    }

    fn on_raw(&self, probe: &Probe) -> Result<Exchange, Refusal> {
        let sent = self.map.at(probe.sent).ok_or(Refusal::ProbeWithoutKnot)?;
        let returned = self.map.at(probe.returned).ok_or(Refusal::ProbeWithoutKnot)?;
        let slack = sent.slack.max(returned.slack);
        let (received, replied) = (probe.received, probe.replied);
        Ok(Exchange { sent: sent.raw, received, replied, returned: returned.raw, slack })
    }
}

impl Estimate {
    const fn unknown() -> Self {
        Self {
            offset: Offset::from_ns(0),
            rate: FrequencyError::ZERO,
            hard: ErrorBound::UNBOUNDED,
            status: Status::Unknown,
            epoch: 0,
        }
    }
}
