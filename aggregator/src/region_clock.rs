//! The way from this region's reference to the fleet's: REF of the root region.
//!
//! An aggregator that is not the root's probes the root's aggregator just as its own agents probe it, and feeds the
//! same estimator; its own REF takes the place of the node's clocks. REF *is* an oscillator on an anchor, so it needs no
//! knots.
//!
//! After each probe the newest piece of the model becomes a row of `region_clock`: from the probe before to this one,
//! linear in between, with its rate and the growth of its bound for what comes after. While the root cannot be reached a
//! row comes each `FREE_RUNNING_ROW`: the model carried by the oscillator alone, with a bound that says so.
//!
//! Other aggregators are probed too where they are named (`--peer`), in the same way; they map nothing. The newest model of each is in
//! `links`, for nodes that come over from there. Of every
//! region probed a row of `region_links` comes every `LINK_ROW`, for `regions` to make more of all of them together. Where one of the two references was
//! disrupted, a row of `clock_disruptions` says so.
//!
//! It runs on the prober's thread, so that ingest does not delay the stamps.

use std::sync::Arc;
use std::time::Duration;

use syncline_clock::{Disruption, DisruptionCause, NodeClock, Segment, Tolerance};
use syncline_exchange::Pacing;
use syncline_probe::{Answer, Hints, LocalClock, Peer, ProbeEvent, ProberConfig, Refusals};
use syncline_stamping::Placed;
use syncline_store::rows::{ClockDisruptionRows, DisruptionSign, RegionClockRows, RegionLinkRows, UNBOUNDED_NS};
use syncline_store::{Block, LowCardinality, Store, StoreError};
use syncline_timebase::{ErrorBound, Instant, Knot, Mono, Probe, Reference as ReferenceScale, Span};
use tokio::sync::{mpsc, watch};
use tonic::transport::Endpoint;

use crate::counters::{Counters, count};
use crate::links::Links;
use crate::pipeline::is_fault_of_the_rows;
use crate::reference::Reference;
use crate::segment::{bound_class, clock_status, growth_ppb, rate_ppb};
use crate::stopping::Stopping;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// While the root is silent, a row as often as this: well within what the views carry a row on for.
const FREE_RUNNING_ROW: Span = Span::from_s(60);
/// A row of `region_links` as often as this.
const LINK_ROW: Span = Span::from_s(5);
/// Pause before the root is tried again.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);
/// Rows that wait for the store; beyond that they are left out, and the row before carries on.
const ROWS_WAITING: usize = 16;

/// What the region clock needs.
#[derive(Clone, Debug)]
pub struct RegionClockConfig {
    /// The other region's aggregator, `http://host:port`.
    pub peer: Endpoint,
    /// That region is the root: this one is mapped to it.
    pub is_root: bool,
    /// Time between probes.
    pub interval: Duration,
    /// What bounds assume.
    pub tolerance: Tolerance,
    /// Over UDP where that gets through.
    pub udp: bool,
}

impl RegionClockConfig {
    /// To the region at `url`, the root or any other.
    ///
    /// # Errors
    /// It is no URL of an aggregator.
    pub fn new(url: &str, is_root: bool, interval: Duration, tolerance: Tolerance) -> anyhow::Result<Self> {
        let peer = Endpoint::from_shared(url.to_owned())?;
        let usable = peer.uri().scheme_str() == Some("http") && peer.uri().port().is_some();
        anyhow::ensure!(usable, "it must be http://host:port");
        let peer = peer
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(10));
        Ok(Self { peer, is_root, interval, tolerance, udp: true })
    }
}

/// This side of the region clock.
#[derive(Debug)]
pub struct RegionClock {
    region: Arc<str>,
    reference: Reference,
    config: RegionClockConfig,
    counters: Arc<Counters>,
    links: Arc<Links>,
    rows: mpsc::Sender<Row>,
    model: Option<Model>,
    /// When the last row of `region_links` was made.
    linked: Option<Instant<Mono>>,
    reachable: bool,
    refusals: Refusals,
}

/// A row and the token that keeps it single.
type Row = (Block, String);

/// The model of one run of the root's reference.
#[derive(Debug)]
struct Model {
    root: String,
    run: u64,
    clock: NodeClock,
    last: Option<Instant<Mono>>,
    /// What the last probe showed, and since when it may have been.
    disrupted: Option<(Disruption, [Instant<Mono>; 2])>,
}

/// Starts the thread that probes, and the task that stores what it finds.
///
/// # Errors
/// The system gives no thread.
pub(crate) fn spawn(
    region: Arc<str>,
    reference: Reference,
    config: RegionClockConfig,
    store: Store,
    (counters, links): (Arc<Counters>, Arc<Links>),
    stopping: Stopping,
) -> std::io::Result<()> {
    let (rows, waiting) = mpsc::channel(ROWS_WAITING);
    let prober = ProberConfig {
        name: region.as_ref().to_owned(),
        endpoint: syncline_probe::only(config.peer.clone()),
        // It is always busy: events of all its nodes rest on it.
        pacing: Pacing::every(Span::from_ns(i64::try_from(config.interval.as_nanos()).unwrap_or(i64::MAX))),
        udp: config.udp,
    };
    let (model, linked, refusals) = (None, None, Refusals::default());
    let mut clock =
        RegionClock { region, reference, config, counters, links, rows, model, linked, reachable: true, refusals };
    let (hints, hint) = watch::channel(Hints { busy: true, disruptions: 0 });
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        stopping.wanted().await;
        stop.send_replace(true);
        drop(hints);
    });
    syncline_probe::spawn(prober, reference, hint, stopped, move |event| clock.hear(event))?;
    tokio::spawn(store_rows(store, waiting));
    Ok(())
}

impl RegionClock {
    fn hear(&mut self, event: ProbeEvent) {
        match event {
            ProbeEvent::Answered(answer) => match self.unfit(&answer.peer) {
                Some(why) => self.failed(&why),
                None => self.answered(&answer),
            },
            ProbeEvent::Failed { why, .. } => self.failed(&why),
            ProbeEvent::Refused(refused) => {
                if let Some(refused) = self.refusals.add(&refused) {
                    tracing::warn!(?refused, "packets that are no answers to probes of another region");
                }
            }
        }
    }

    /// Why `peer` is not a region to measure against, or not the root.
    fn unfit(&self, peer: &Peer) -> Option<String> {
        match () {
            () if peer.run == self.reference.run() => Some("it is this very aggregator".to_owned()),
            () if peer.mapped && self.config.is_root => Some(format!(
                "region {:?} is itself measured against another (--root): name the aggregator of that root region",
                peer.region
            )),
            () => None,
        }
    }

    fn answered(&mut self, answer: &Answer) {
        if !std::mem::replace(&mut self.reachable, true) {
            tracing::info!(peer = %self.config.peer.uri(), "the other region's aggregator answers again");
        }
        self.take(answer.probe, &answer.peer);
    }

    fn failed(&mut self, why: &str) {
        count(&self.counters.root_probes_failed);
        if std::mem::replace(&mut self.reachable, false) {
            let peer = self.config.peer.uri();
            if self.config.is_root {
                tracing::warn!(%peer, why, "cannot probe the root region's aggregator; until it answers the region's clock runs free. Is --root right?");
            } else {
                tracing::warn!(%peer, why, "cannot probe another aggregator. Is --peer right?");
            }
        }
        self.run_free();
    }

    /// A row carried by the oscillator alone, if the last one is old.
    fn run_free(&mut self) {
        let now = stamp(self.reference.now());
        let Some(segment) = self.model.as_mut().and_then(|model| model.carry(now)) else { return };
        self.publish(&segment);
    }

    fn take(&mut self, probe: Probe, peer: &Peer) {
        if self.model.as_ref().is_none_or(|model| model.run != peer.run) {
            tracing::info!(
                region = peer.region,
                run = format!("{:#x}", peer.run),
                "a new run of another region's reference"
            );
        }
        let tolerance = self.config.tolerance;
        let model = match self.model.take() {
            Some(model) if model.run == peer.run => model,
            _ => Model::of(peer, self.links.model(peer.run), tolerance),
        };
        let model = self.model.insert(model);
        let segment = model.take(&probe);
        if segment.is_some() {
            self.links.put(model.run, model.clock.clone());
        }
        if let Some((disruption, between)) = model.disrupted.take() {
            count(&self.counters.region_disruptions);
            tracing::warn!(peer = model.root, cause = ?disruption.cause, "this region's reference, or the other's, was disrupted");
            let rows = disruption_row(&self.region, self.reference.run(), model, disruption.cause, between);
            let token = format!(
                "{}/{:016x}/{:016x}/disrupted/{}",
                self.region,
                self.reference.run(),
                model.run,
                between[1].ns()
            );
            self.send(rows.into_block(), token);
        }
        if let Some(segment) = segment {
            self.publish(&segment);
        }
    }

    fn publish(&mut self, segment: &Segment) {
        let Some(model) = &self.model else { return };
        let run = self.reference.run();
        let token = format!("{}/{run:016x}/{:016x}/{}", self.region, model.run, segment.to.ns());
        if self.config.is_root {
            let rows = row(&self.region, run, model, &self.config.tolerance, segment);
            self.send(rows.into_block(), token.clone());
        }
        if self.linked.is_none_or(|linked| segment.to - linked >= LINK_ROW)
            && let Some(rows) = link_row(&self.region, run, model, &self.config.tolerance, segment.to)
        {
            self.send(rows.into_block(), format!("{}/{token}", model.root));
            self.linked = Some(segment.to);
        }
    }

    fn send(&self, rows: Result<Block, StoreError>, token: String) {
        match rows {
            Ok(rows) => {
                // The gap is carried over by the row before it, with its growing bound.
                if self.rows.try_send((rows, token)).is_err() {
                    tracing::debug!("a row about regions gave way: the store does not take rows");
                }
            }
            Err(error) => tracing::error!(%error, "a row about regions is malformed"),
        }
    }
}

impl Model {
    /// Goes on with what is known of `peer` from before, if anything is.
    fn of(peer: &Peer, known: Option<NodeClock>, tolerance: Tolerance) -> Self {
        let (root, run) = (peer.region.clone(), peer.run);
        let clock = known.unwrap_or_else(|| NodeClock::of_oscillator(tolerance));
        Self { root, run, clock, last: None, disrupted: None }
    }

    /// The piece since the last row, if that is old by now.
    fn carry(&mut self, now: Instant<Mono>) -> Option<Segment> {
        let from = self.last.filter(|last| now - *last >= FREE_RUNNING_ROW)?;
        self.last = Some(now);
        Some(self.clock.segment([from, now], std::iter::empty()))
    }

    /// The newest piece of the model, if the probe was used.
    fn take(&mut self, probe: &Probe) -> Option<Segment> {
        let since = self.clock.last_probe().unwrap_or(probe.sent).min(probe.sent);
        let observed = self.clock.observe(&[], std::slice::from_ref(probe));
        self.disrupted = observed.disruptions.first().map(|disruption| (*disruption, [since, probe.returned]));
        if observed.used != [true] {
            tracing::debug!(?probe, refused = ?observed.refused, "probe of the root refused");
            return None;
        }
        let to = self.clock.last_probe()?;
        let same_epoch = |last: &Instant<Mono>| self.clock.estimate(*last).epoch == self.clock.estimate(to).epoch;
        let from = self.last.replace(to).filter(same_epoch).unwrap_or(probe.sent);
        Some(self.clock.segment([from, to], std::iter::empty()))
    }
}

fn row(region: &str, run: u64, model: &Model, tolerance: &Tolerance, segment: &Segment) -> RegionClockRows {
    let (first, last) = (&segment.at_from, &segment.at_to);
    let ns = |bound: ErrorBound| if bound.is_bounded() { bound.ns() } else { UNBOUNDED_NS };
    RegionClockRows {
        region: LowCardinality::constant(region, 1),
        root: LowCardinality::constant(&model.root, 1),
        ref_run: vec![run],
        root_run: vec![model.run],
        ref_from: vec![segment.from.ns()],
        ref_to: vec![segment.to.ns()],
        off: vec![first.offset.ns()],
        off_to: vec![last.offset.ns()],
        rate_ppb: vec![rate_ppb(last)],
        err_ns: vec![ns(first.hard)],
        err_to_ns: vec![ns(last.hard)],
        err_rate_ppb: vec![growth_ppb(&model.clock, segment.to, tolerance.wander_window)],
        bound_class: vec![bound_class(last.hard)],
        status: vec![clock_status(last.status)],
        rev: vec![1],
    }
}

/// What is known of the other region at `at`; `None` before there is a bound.
fn link_row(region: &str, run: u64, model: &Model, tolerance: &Tolerance, at: Instant<Mono>) -> Option<RegionLinkRows> {
    let (estimate, hard) = (model.clock.estimate(at), model.clock.bounds(at)?.hard);
    Some(RegionLinkRows {
        region: LowCardinality::constant(region, 1),
        peer: LowCardinality::constant(&model.root, 1),
        ref_run: vec![run],
        peer_run: vec![model.run],
        ref_at: vec![at.ns()],
        off: vec![estimate.offset.ns().clamp(hard.low.ns(), hard.high.ns())],
        low: vec![hard.low.ns()],
        high: vec![hard.high.ns()],
        rate_ppb: vec![rate_ppb(&estimate)],
        err_rate_ppb: vec![growth_ppb(&model.clock, at, tolerance.wander_window)],
        status: vec![clock_status(estimate.status)],
    })
}

/// That the references were disrupted between these two, by the region's own REF.
fn disruption_row(
    region: &str,
    run: u64,
    model: &Model,
    cause: DisruptionCause,
    [since, until]: [Instant<Mono>; 2],
) -> ClockDisruptionRows {
    ClockDisruptionRows {
        region: LowCardinality::constant(region, 1),
        node: LowCardinality::constant("", 1),
        boot: vec![run],
        peer: LowCardinality::constant(&model.root, 1),
        ref_run: vec![model.run],
        mono_from: vec![u64::try_from(since.ns()).unwrap_or(0)],
        mono_to: vec![u64::try_from(until.ns()).unwrap_or(0)],
        at: vec![until.ns()],
        batch: vec![0],
        sign: vec![match cause {
            DisruptionCause::ProbeContradicts => DisruptionSign::Probe,
            DisruptionCause::OffsetJumped => DisruptionSign::BothWays,
            _ => DisruptionSign::Other,
        }],
    }
}

/// The region's own REF asks, in the place of a node's MONO.
impl LocalClock for Reference {
    fn now(&self) -> Instant<Mono> {
        stamp(Self::now(self))
    }

    fn placed(&self, placed: &Placed) -> (Instant<Mono>, Span) {
        (stamp(self.of_raw(placed.raw)), placed.raw_slack)
    }

    /// It is an oscillator: nothing steers it.
    fn knot(&self) -> Option<Knot> {
        None
    }
}

/// This region's REF in the place of a node's MONO.
fn stamp(reference: Instant<ReferenceScale>) -> Instant<Mono> {
    Instant::from_ns(reference.ns())
}

/// Rows into the store, in their order; each is tried until it is in or the store says it never will be.
async fn store_rows(store: Store, mut waiting: mpsc::Receiver<Row>) {
    while let Some((block, token)) = waiting.recv().await {
        store_row(&store, block, &token).await;
    }
}

async fn store_row(store: &Store, block: Block, token: &str) {
    while let Err(error) = store.insert(block.clone(), token).await {
        if is_fault_of_the_rows(&error) {
            return tracing::error!(%error, "a row about regions was refused");
        }
        tracing::debug!(%error, "a row about regions waits");
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_790_000_000_000_000_000;
    const SECOND: i64 = 1_000_000_000;

    /// The root runs 3 ppm faster and 5 ms ahead; the path takes 20 ms there and 20.4 ms back.
    fn probe(second: i64) -> Probe {
        let sent = START + second * SECOND;
        Probe {
            sent: Instant::from_ns(sent),
            received: root(sent + 20_000_000),
            replied: root(sent + 20_050_000),
            returned: Instant::from_ns(sent + 40_450_000),
        }
    }

    fn root(here: i64) -> Instant<ReferenceScale> {
        Instant::from_ns(here + 5_000_000 + (here - START) * 3 / 1_000_000)
    }

    fn model() -> Model {
        let clock = NodeClock::of_oscillator(Tolerance::default());
        Model { root: "us".into(), run: 1, clock, last: None, disrupted: None }
    }

    #[test]
    fn while_the_root_is_silent_rows_go_on_and_their_bounds_grow_as_the_oscillator_may() {
        let (mut model, tolerance) = (model(), Tolerance::default());
        for second in 0..30 {
            model.take(&probe(second)).unwrap();
        }
        let at = |second: i64| Instant::<Mono>::from_ns(START + second * SECOND);
        assert!(model.carry(at(60)).is_none(), "the last row is not old yet");
        let mut errors = Vec::new();
        for second in (100..4_000).step_by(60) {
            let segment = model.carry(at(second)).unwrap();
            let row = row("eu", 5, &model, &tolerance, &segment);
            let truth = root(row.ref_to[0]).ns() - row.ref_to[0];
            assert!(row.off_to[0].abs_diff(truth) <= row.err_to_ns[0], "at {second} s");
            errors.push(row.err_to_ns[0]);
        }
        assert!(
            errors.is_sorted() && errors[errors.len() - 1] > 60_000_000,
            "an hour costs more than an even growth: {errors:?}"
        );
    }

    #[test]
    fn rows_join_and_hold_the_truth_now_and_later() {
        let (mut model, tolerance, mut before) = (model(), Tolerance::default(), None);
        for second in 0..30 {
            let segment = model.take(&probe(second)).unwrap();
            let row = row("eu", 5, &model, &tolerance, &segment);
            if let Some(before) = before.replace(row.ref_to[0]) {
                assert_eq!(row.ref_from[0], before);
            }
            for (at, off, err) in
                [(row.ref_from[0], row.off[0], row.err_ns[0]), (row.ref_to[0], row.off_to[0], row.err_to_ns[0])]
            {
                let truth = root(at).ns() - at;
                assert!(off.abs_diff(truth) <= err, "second {second}: {off} for {truth}, +/- {err}");
                assert!(err < 21_000_000, "no wider than half the round trip: {err}");
            }
            let ahead = 100;
            let carried = row.off_to[0] + row.rate_ppb[0] * ahead;
            let bound = row.err_to_ns[0] + row.err_rate_ppb[0] * ahead.unsigned_abs();
            let later = row.ref_to[0] + ahead * SECOND;
            assert!(carried.abs_diff(root(later).ns() - later) <= bound, "carried on from second {second}");
            let most_ppb = 2 * (40_450_000 / second.max(1)).unsigned_abs() + 3_000;
            assert!(row.err_rate_ppb[0] <= most_ppb || second == 0, "second {second}: {} ppb", row.err_rate_ppb[0]);
        }
    }

    #[test]
    fn a_disruption_of_a_reference_is_a_row_between_the_probes_around_it() {
        let mut model = model();
        for second in 0..30 {
            model.take(&probe(second)).unwrap();
            assert!(model.disrupted.is_none());
        }
        let jumped = |probe: Probe| {
            let ahead = Span::from_ms(700);
            Probe { received: probe.received + ahead, replied: probe.replied + ahead, ..probe }
        };
        model.take(&jumped(probe(30))).unwrap();
        let (disruption, between) = model.disrupted.take().unwrap();
        let row = disruption_row("eu", 5, &model, disruption.cause, between);
        let ends = [probe(29).returned, probe(30).returned].map(|at| at.ns().unsigned_abs());
        assert_eq!(([row.mono_from[0], row.mono_to[0]], row.sign[0]), (ends, DisruptionSign::Probe));
        assert_eq!((row.boot[0], row.ref_run[0]), (5, 1));
        assert!(row.into_block().is_ok());
        model.take(&jumped(probe(31))).unwrap();
        assert!(model.disrupted.is_none(), "it is told once");
    }

    #[test]
    fn only_a_url_with_a_port_leads_to_a_root() {
        let config = |url| RegionClockConfig::new(url, true, Duration::from_secs(1), Tolerance::default());
        assert!(config("http://us.example:7700").is_ok());
        for bad in ["", "us.example", "us.example:7700", "https://us.example:7700", "http://us.example", "http://"] {
            assert!(config(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_probe_that_cannot_be_makes_no_row() {
        let mut model = model();
        let mut bad = probe(0);
        bad.replied = bad.received + Span::from_s(10);
        assert!(model.take(&bad).is_none());
    }
}
