//! The clock model of one node in one boot.

use serde::{Deserialize, Serialize};
use std::iter::Peekable;
use std::sync::OnceLock;

use syncline_timebase::{ErrorBound, FrequencyError, Instant, Knot, Mono, Offset, Probe, Raw, Span, Wall};

use crate::claim::{Claim, ClaimVerdict};
use crate::estimate::{Estimate, Observed, Refusal, Status};
use crate::hull::{BadExchange, Exchange, Known};
use crate::mono_raw::{KnotVerdict, MonoToRaw, RawPoint};
use crate::offset_bounds::OffsetBounds;
use crate::placement::Placement;
use crate::sanity::is_possible;
use crate::segment::Segment;
use crate::theta::Theta;
use crate::waiting::{Due, Held, Waiting, is_far};
use crate::wall_steps::WallSteps;
use crate::{Disruption, DisruptionCause, ToldDisruption, Tolerance};

/// A probe may have begun so long before the first knot.
const BEFORE_KNOTS: Span = Span::from_s(1);

/// The clock model of one node in one boot: samples in, estimates out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeClock {
    tolerance: Tolerance,
    map: MonoToRaw,
    wall: WallSteps,
    theta: Theta,
    last_probe: Option<Instant<Mono>>,
    waiting: Waiting,
    /// This model with all that waits in it, made when it is asked.
    #[serde(skip)]
    preview: OnceLock<Box<Self>>,
}

impl NodeClock {
    /// A model that knows nothing yet.
    pub fn new(tolerance: Tolerance) -> Self {
        let (map, wall) = (MonoToRaw::default(), WallSteps::default());
        let (waiting, preview) = (Waiting::default(), OnceLock::new());
        Self { tolerance, map, wall, theta: Theta::new(tolerance), last_probe: None, waiting, preview }
    }

    /// A model that keeps everything, for a pass over a whole stream: its answers about the past see both sides of it,
    /// and once the stream has ended, [`Self::in_hindsight`] sees all of it.
    pub fn of_whole_stream(tolerance: Tolerance) -> Self {
        Self { map: MonoToRaw::whole(), theta: Theta::whole(tolerance), ..Self::new(tolerance) }
    }

    /// A model of a clock that is an oscillator itself, as a region's reference is: MONO is RAW, and it needs no knots.
    pub fn of_oscillator(tolerance: Tolerance) -> Self {
        Self { map: MonoToRaw::identity(), ..Self::new(tolerance) }
    }

    /// The model as it goes on against another reference, so that a node that changes its aggregator keeps what is known of
    /// its oscillator and of its offset.
    ///
    /// `link` is the model of the reference so far by that other one, which stands in the place of MONO
    /// ([`Self::of_oscillator`]): what aggregators that probe one another have. Bounds are as wide as both together; the classes
    /// of bounds that assume something of paths begin anew, as the estimate inside them does. `None` where nothing is known yet, one of
    /// the three clocks may have been disrupted since, or the link knows nothing of the node's present epoch.
    pub fn handed_over(&self, link: &Self) -> Option<Self> {
        // What waits is of the reference so far.
        let model = self.with_waiting();
        let theta = model.theta.handed_over(&link.with_waiting().theta)?;
        let (waiting, preview) = (Waiting::default(), OnceLock::new());
        Some(Self { theta, waiting, preview, map: model.map.clone(), wall: model.wall.clone(), ..*model })
    }

    /// What its bounds assume.
    pub fn tolerance(&self) -> Tolerance {
        self.tolerance
    }

    /// Takes the samples of one batch, knots in order of time. Samples not newer than what was taken before are refused
    /// and counted, so a batch that comes twice does no harm.
    ///
    /// A probe is taken once no further knot can place it better: when there is one at or after its end, or, where knots
    /// are read badly, 250 ms later. Until then it waits, and answers use it as far as it can be placed. So samples in order
    /// of time lead to the same, in whatever batches they come. At most 32 wait.
    pub fn observe(&mut self, knots: &[Knot], probes: &[Probe]) -> Observed {
        self.observe_told(knots, probes, &[])
    }

    /// The same, with disruptions that somebody tells of, each in its place among the samples. What was known before one does not lead beyond
    /// it, a probe that may have met it is refused, and what probes since then said is taken back where it is told late: from it on nothing
    /// is known until the next probe. One that is told again changes nothing, and one of a time to come is over a minute after the newest knot.
    pub fn observe_told(&mut self, knots: &[Knot], probes: &[Probe], told: &[ToldDisruption]) -> Observed {
        self.preview = OnceLock::new();
        let mut observed = Observed { used: vec![true; probes.len()], ..Observed::default() };
        let mut probes: Vec<(usize, &Probe)> = probes.iter().enumerate().collect();
        probes.sort_by_key(|(_, probe)| probe.returned);
        let mut probes = probes.into_iter().peekable();
        let (mut told, mut knots) = (told.to_vec(), knots);
        told.sort_unstable_by_key(|told| told.since);
        for told in &told {
            let (before, after) = knots.split_at(knots.partition_point(|knot| knot.mono <= told.since));
            self.observe_in_order(before, &mut probes, &mut observed);
            self.admit_until(told.since, &mut probes, &mut observed);
            self.be_told(told, &mut observed);
            knots = after;
        }
        self.observe_in_order(knots, &mut probes, &mut observed);
        probes.for_each(|(place, probe)| self.admit(probe, place, &mut observed));
        self.waiting.forget_places();
        observed
    }

    /// No knot comes any more: takes what waits.
    pub fn settle(&mut self) -> Observed {
        self.preview = OnceLock::new();
        let mut observed = Observed::default();
        while let Some(held) = self.waiting.take() {
            self.take_probe(&held, &mut observed);
        }
        observed
    }

    /// The stream has ended: takes what waits (what that brings, [`Self::settle`] tells before), and answers about all
    /// of a whole stream from all its probes, by a smoother. Samples that are given after all are answered as without it.
    #[must_use]
    pub fn in_hindsight(mut self) -> Self {
        self.settle();
        self.theta.look_back();
        self
    }

    /// The node's clock at `mono`. Between samples it is interpolated, so an answer given once both sides have probes is
    /// better than one given at once.
    pub fn estimate(&self, mono: Instant<Mono>) -> Estimate {
        self.with_waiting().estimate_taken(mono)
    }

    /// REF - MONO at `mono` under each class of assumption; `None` where nothing is known.
    pub fn bounds(&self, mono: Instant<Mono>) -> Option<OffsetBounds> {
        let model = self.with_waiting();
        let known = model.map.at(mono).and_then(|at| model.known(at));
        known.map(|[earliest, latest]| OffsetBounds::between(mono, &earliest, &latest))
    }

    /// The linear piece from one end to the other; `inside` are instants at which the model may bend: knots, probes.
    pub fn segment(&self, ends: [Instant<Mono>; 2], inside: impl Iterator<Item = Instant<Mono>>) -> Segment {
        Segment::of(|mono| self.estimate(mono), &self.tolerance, ends, inside)
    }

    /// Where the piece from one end to the other lies on RAW, by the knots that are remembered now; `inside` are instants
    /// at which MONO may bend: knots. `None` where nothing places an end.
    pub fn placement(
        &self,
        ends: [Instant<Mono>; 2],
        inside: impl Iterator<Item = Instant<Mono>>,
    ) -> Option<Placement> {
        Placement::of(|mono| self.map.at(mono), ends, inside)
    }

    /// The linear piece at `placement`, with what is known of theta by now. The map forgets knots as they grow old, and
    /// places a piece in which MONO bends worse than it did. `None` where the map has become another one since.
    pub fn segment_at(&self, placement: &Placement, inside: impl Iterator<Item = Instant<Mono>>) -> Option<Segment> {
        let is_same = |(mono, kept): &(Instant<Mono>, RawPoint)| {
            self.map.at(*mono).is_some_and(|now| (now.raw - kept.raw).abs() <= now.slack + kept.slack)
        };
        if !placement.ends().iter().all(is_same) {
            return None;
        }
        let (model, ends) = (self.with_waiting(), placement.ends().map(|(mono, _)| mono));
        let estimate = |mono| model.estimate_placed(mono, placement.at(mono));
        Some(Segment::of(estimate, &self.tolerance, ends, inside))
    }

    /// Holds a claim of the node's about its wall clock against the probes.
    pub fn judge(&self, claim: &Claim) -> ClaimVerdict {
        match (self.bounds(claim.at), self.wall.since_last_step(claim.at)) {
            (Some(bounds), Some((wall, bracket))) => claim.judged(bounds.hard, wall, bracket),
            _ => ClaimVerdict::Unknown,
        }
    }

    /// How often the budgeted and the tight bounds contradicted themselves: what they assume of paths did not hold.
    pub fn violations(&self) -> (u32, u32) {
        self.theta.violations()
    }

    /// From the probes that were taken.
    fn estimate_taken(&self, mono: Instant<Mono>) -> Estimate {
        self.map.at(mono).map_or_else(Estimate::unknown, |at| self.estimate_placed(mono, at))
    }

    /// The same of a `mono` that lies `at` on RAW.
    fn estimate_placed(&self, mono: Instant<Mono>, at: RawPoint) -> Estimate {
        let Some([earliest, latest]) = self.known(at) else { return Estimate::unknown() };
        let hard = OffsetBounds::between(mono, &earliest, &latest).hard;
        let point = self.theta.point_at(at.raw).map(|point| (at.raw, point));
        let (low, high) = (hard.low.ns(), hard.high.ns());
        let middle = low.saturating_add_unsigned(high.abs_diff(low) / 2);
        let at_best = point.map_or(middle, |(raw, point)| mono.offset_to(raw).ns().saturating_add(point.theta_ns));
        let offset = at_best.max(low).min(high);
        let rates = [earliest.1.rates.firm.low, latest.1.rates.firm.high];
        let rate = point.map_or((rates[0] + rates[1]) / 2.0, |(_, point)| point.rate_ppb.max(rates[0]).min(rates[1]));
        Estimate {
            offset: Offset::from_ns(offset),
            rate: FrequencyError::from_ppb(rate),
            hard: ErrorBound::from_ns(offset.abs_diff(low).max(offset.abs_diff(high)).saturating_add(1)),
            status: self.status(&earliest.1, &latest.1),
            epoch: latest.1.epoch,
        }
    }

    /// What is known at the two ends of where an instant may lie on RAW.
    fn known(&self, point: RawPoint) -> Option<[(Instant<Raw>, Known); 2]> {
        let known = |raw: Instant<Raw>| Some((raw, self.theta.bounds_at(raw)?));
        Some([known(point.raw - point.slack)?, known(point.raw + point.slack)?])
    }

    /// When the last probe that was used returned, those that wait among them.
    pub fn last_probe(&self) -> Option<Instant<Mono>> {
        self.with_waiting().last_probe
    }

    /// WALL - MONO at the newest knot.
    pub fn wall_offset(&self) -> Option<Offset<Mono, Wall>> {
        self.wall.wall_offset()
    }

    /// The model that answers: with the probes that wait, if they can be placed already.
    fn with_waiting(&self) -> &Self {
        if !self.waiting.is_near(&self.map) {
            return self;
        }
        self.preview.get_or_init(|| {
            let mut preview = Box::new(Self { preview: OnceLock::new(), ..self.clone() });
            preview.settle();
            preview
        })
    }

    fn status(&self, earliest: &Known, latest: &Known) -> Status {
        match () {
            () if earliest.disrupted || latest.disrupted || earliest.epoch != latest.epoch => Status::Disrupted,
            () if earliest.carried.max(latest.carried) > self.tolerance.free_running_after => Status::FreeRunning,
            () => Status::Synchronized,
        }
    }

    /// Knots, and the probes that ended before the last of them.
    fn observe_in_order<'p>(
        &mut self,
        knots: &[Knot],
        probes: &mut Peekable<impl Iterator<Item = (usize, &'p Probe)>>,
        observed: &mut Observed,
    ) {
        for knot in knots {
            self.admit_until(knot.mono, probes, observed);
            self.observe_knot(knot, observed);
            self.take_due(observed);
        }
    }

    fn admit_until<'p>(
        &mut self,
        end: Instant<Mono>,
        probes: &mut Peekable<impl Iterator<Item = (usize, &'p Probe)>>,
        observed: &mut Observed,
    ) {
        while let Some((place, probe)) = probes.next_if(|(_, probe)| probe.returned <= end) {
            self.admit(probe, place, observed);
        }
    }

    fn be_told(&mut self, told: &ToldDisruption, observed: &mut Observed) {
        let (since, until) = self.map.within_reach(told.since, told.until);
        if !self.map.is_news(since, until) {
            return;
        }
        // It may have met the one before.
        self.take_until(since, observed);
        self.map.break_between(since, until);
        let since = self.map.at(since);
        self.theta.disrupt(since.map(|point| point.raw - point.slack));
        let noticed = self.map.at(until).or(since);
        let disruption = noticed.map(|point| Disruption { noticed_at: point.raw, cause: DisruptionCause::Told });
        observed.disruptions.extend(disruption);
    }

    fn observe_knot(&mut self, knot: &Knot, observed: &mut Observed) {
        let heard = self.map.observe(knot);
        observed.refuse(Refusal::KnotImplausible, heard.given_up);
        let jumped_at = match heard.verdict {
            KnotVerdict::Taken => None,
            KnotVerdict::Doubted => return,
            KnotVerdict::OutOfOrder => return observed.refuse(Refusal::KnotOutOfOrder, 1),
            KnotVerdict::Implausible => return observed.refuse(Refusal::KnotImplausible, 1),
            KnotVerdict::Jumped { before, at, is_news } => {
                self.take_until(before, observed);
                if is_news {
                    self.theta.disrupt(None);
                }
                Some(at).filter(|_| is_news)
            }
            KnotVerdict::Returned(at) => {
                (self.theta, self.last_probe) = (self.theta.afresh(self.tolerance), None);
                Some(at)
            }
        };
        let disrupted = |noticed_at| Disruption { noticed_at, cause: DisruptionCause::ClocksDisagree };
        observed.disruptions.extend(jumped_at.map(disrupted));
        observed.wall_steps.extend(self.wall.observe(knot));
    }

    /// Lets a probe wait, unless no knot can help it.
    fn admit(&mut self, probe: &Probe, place: usize, observed: &mut Observed) {
        let refusal = match () {
            () if !is_possible(probe) => Some(Refusal::ProbeImpossible),
            () if self.is_out_of_order(probe) || !self.waiting.admit(*probe, place) => Some(Refusal::ProbeOutOfOrder),
            () => None,
        };
        match refusal {
            Some(refusal) => observed.refuse_probe(refusal, Some(place)),
            None => self.take_due(observed),
        }
    }

    fn take_due(&mut self, observed: &mut Observed) {
        while let Some(due) = self.waiting.due(&self.map) {
            match due {
                Due::Settled(held) => self.take_probe(&held, observed),
                Due::Beyond(held) => observed.refuse_probe(Refusal::ProbeBeyondKnots, held.place),
            }
        }
    }

    /// Takes what waits and ended until `before`: it belongs to the clocks before they jumped.
    fn take_until(&mut self, before: Instant<Mono>, observed: &mut Observed) {
        while let Some(held) = self.waiting.take_until(before) {
            self.take_probe(&held, observed);
        }
    }

    fn take_probe(&mut self, held: &Held, observed: &mut Observed) {
        let taken = self.on_raw(&held.probe).and_then(|exchange| match self.theta.observe(&exchange) {
            Ok(cause) => Ok((exchange, cause)),
            Err(BadExchange::OutOfOrder) => Err(Refusal::ProbeOutOfOrder),
            Err(BadExchange::Impossible) => Err(Refusal::ProbeImpossible),
        });
        match taken {
            Ok((exchange, cause)) => {
                self.last_probe = Some(held.probe.returned);
                let disruption = cause.map(|cause| Disruption { noticed_at: exchange.returned, cause });
                observed.disruptions.extend(disruption);
            }
            Err(refusal) => observed.refuse_probe(refusal, held.place),
        }
    }

    fn on_raw(&self, probe: &Probe) -> Result<Exchange, Refusal> {
        let knots = self.map.span();
        let begins_early = |(first, _): (Instant<Mono>, Instant<Mono>)| first - probe.sent > BEFORE_KNOTS;
        match () {
            () if self.is_out_of_order(probe) => return Err(Refusal::ProbeOutOfOrder),
            () if self.map.needs_knots() && knots.is_none_or(begins_early) => return Err(Refusal::ProbeWithoutKnot),
            () if self.map.is_broken(probe.sent, probe.returned) => return Err(Refusal::ProbeAcrossJump),
            () if is_far(probe, knots.map(|(_, newest)| newest)) => return Err(Refusal::ProbeBeyondKnots),
            () => {}
        }
        let sent = self.map.at(probe.sent).ok_or(Refusal::ProbeBeyondKnots)?;
        let returned = self.map.at(probe.returned).ok_or(Refusal::ProbeBeyondKnots)?;
        let (received, replied) = (probe.received, probe.replied);
        // Stamped in the wrong order, they are off by no less.
        let slack = sent.slack.max(returned.slack) + (received - replied).max(Span::ZERO);
        Ok(Exchange { sent: sent.raw, received, replied, returned: returned.raw, slack })
    }

    fn is_out_of_order(&self, probe: &Probe) -> bool {
        self.last_probe.is_some_and(|last| probe.returned <= last)
    }
}
