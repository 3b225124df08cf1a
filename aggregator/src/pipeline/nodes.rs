//! The clocks of the nodes, one per (node, boot), in bounded number.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use syncline_clock::{NodeClock, SnapshotError, Status, Tolerance};
use syncline_event::{Batch, BatchId, ClaimSource};
use syncline_store::ClockState;
use syncline_timebase::{BootId, Mono, NodeName};
use thiserror::Error;

use super::drift::Drift;
use super::revision::Pending;
use super::sighting::{ReferenceChange, Sighting};
use crate::links::Links;

/// Batches whose sightings are remembered until they are stored. A stream has a few in flight; what is older was never
/// answered and, if it comes again, is stored without what only the first sight of its samples could tell.
const UNSETTLED: usize = 64;

/// A model's state is saved this long after the first time, then after twice as long each time, up to the longest.
pub(crate) const FIRST_SAVE: Duration = Duration::from_secs(1);
pub(crate) const LONGEST_SAVE: Duration = Duration::from_secs(10);

/// A state that cannot be gone on with: the model begins anew.
#[derive(Debug, Error)]
pub(crate) enum UnusableState {
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("it was made under another --clock-tolerance-ppm")]
    OtherTolerance,
}

/// One boot of one node.
#[derive(Debug)]
pub(crate) struct Node {
    /// Its clock model.
    pub(crate) clock: NodeClock,
    tolerance: Tolerance,
    /// The run of the reference that the model speaks of; 0 before the first probe.
    run: u64,
    /// The newest batch observed.
    newest: Option<u64>,
    /// What the batches that are not in the store yet told.
    unsettled: BTreeMap<u64, Arc<Sighting>>,
    /// Where the last segment of the clock's model ended.
    segment_end: Option<syncline_timebase::Instant<Mono>>,
    /// How fast the wall clock leaves the reference.
    drift: Drift,
    /// Pieces of the model that may yet be known better.
    pending: Pending,
    /// When its row in `nodes` was last written.
    introduced: Option<Instant>,
    /// Whose claims about its wall clock were last found false.
    contradicted: Vec<ClaimSource>,
    /// When its state was last saved, and when it is to be again after that.
    saved: Option<(Instant, Duration)>,
}

impl Node {
    fn new(tolerance: Tolerance) -> Self {
        Self {
            clock: NodeClock::new(tolerance),
            tolerance,
            run: 0,
            newest: None,
            unsettled: BTreeMap::new(),
            segment_end: None,
            drift: Drift::default(),
            pending: Pending::default(),
            introduced: None,
            contradicted: Vec::new(),
            saved: None,
        }
    }

    /// The node as an aggregator left it behind.
    ///
    /// # Errors
    /// The state is of another version, or damaged, or of a model that assumes something else.
    pub(crate) fn restore(state: &ClockState, tolerance: Tolerance) -> Result<Self, UnusableState> {
        let clock = NodeClock::restore(&state.state)?;
        if clock.tolerance() != tolerance {
            return Err(UnusableState::OtherTolerance);
        }
        let segment_end = i64::try_from(state.segment_end).ok().filter(|ns| *ns != 0);
        Ok(Self {
            clock,
            run: state.ref_run,
            newest: Some(state.batch),
            segment_end: segment_end.map(syncline_timebase::Instant::from_ns),
            ..Self::new(tolerance)
        })
    }

    /// The state to be saved once the newest batch is in the store, if it is time; it counts as saved then. Soon after a
    /// start, then ever less often.
    pub(crate) fn state_if_due(&mut self, now: Instant) -> Option<ClockState> {
        let (then, pause) = self.saved.unwrap_or((now, Duration::ZERO));
        if self.run == 0 || now.saturating_duration_since(then) < pause {
            return None;
        }
        self.saved = Some((now, (2 * pause).clamp(FIRST_SAVE, LONGEST_SAVE)));
        self.state()
    }

    /// The state as it is, which counts as saved then; none before the first probe.
    pub(crate) fn state_now(&mut self, now: Instant) -> Option<ClockState> {
        self.saved = Some((now, LONGEST_SAVE));
        self.state()
    }

    /// Whether there is a model: before the first probe there is nothing to save.
    pub(crate) fn has_model(&self) -> bool {
        self.run != 0
    }

    fn state(&self) -> Option<ClockState> {
        if self.run == 0 {
            return None;
        }
        let segment_end = self.segment_end.map_or(0, |end| u64::try_from(end.ns()).unwrap_or(0));
        Some(ClockState { ref_run: self.run, batch: self.newest?, segment_end, state: self.clock.snapshot() })
    }

    /// A claim of `source` was found false; whether the one before was not.
    pub(crate) fn is_newly_contradicted(&mut self, source: ClaimSource) -> bool {
        let is_new = !self.contradicted.contains(&source);
        if is_new {
            self.contradicted.push(source);
        }
        is_new
    }

    /// A claim of `source` may be true.
    pub(crate) fn is_not_contradicted(&mut self, source: ClaimSource) {
        self.contradicted.retain(|known| *known != source);
    }

    /// What was due could not be saved, or what came must not be lost: it is due.
    pub(crate) fn state_is_unsaved(&mut self) {
        self.saved = None;
    }

    /// Whether a batch before `number` is not in the store yet.
    pub(crate) fn has_unsettled_before(&self, number: u64) -> bool {
        self.unsettled.range(..number).next().is_some()
    }

    /// Shows the clock the samples of `batch`, once: a batch that was observed before (its stream broke before the
    /// answer) gives what it gave then.
    pub(crate) fn sight(&mut self, batch: &Batch, links: &Links) -> (Arc<Sighting>, Freshness) {
        if self.newest.is_some_and(|newest| batch.number <= newest) {
            let known = self.unsettled.get(&batch.number).cloned();
            return (known.unwrap_or_default(), Freshness::Repeated);
        }
        self.newest = Some(batch.number);
        // What was given up, as after an outage that its agent did not ride out, does not come again.
        let oldest = batch.number.saturating_sub(UNSETTLED as u64);
        self.unsettled = self.unsettled.split_off(&oldest);
        let reference = self.follow_run(batch, links);
        let sighting = Sighting::take(&mut self.clock, &mut self.segment_end, &mut self.pending, batch);
        let sighting = Arc::new(Sighting { run: self.run, reference, ..sighting });
        self.note_drift(&sighting);
        if !sighting.told.is_empty() {
            // Nobody tells it again, and no probe need show it.
            self.state_is_unsaved();
        }
        self.unsettled.insert(batch.number, Arc::clone(&sighting));
        if self.unsettled.len() > UNSETTLED {
            self.unsettled.pop_first();
        }
        (sighting, Freshness::New)
    }

    /// What was before a step, a disruption or another reference is no place to have drifted from.
    fn note_drift(&mut self, sighting: &Sighting) {
        let is_set = !sighting.wall_steps.is_empty() || sighting.disruptions > 0;
        if is_set || sighting.reference != ReferenceChange::None {
            self.drift.forget();
        }
        let due = self.segment_end.filter(|end| self.drift.is_due(end.ns()));
        if let Some((at, skew_ns)) = due.and_then(|at| Some((at, self.skew_ns(at)?.0))) {
            self.drift.note(at.ns(), skew_ns);
        }
    }

    /// WALL - REF at a time, and how far off that may be, ns; none while nothing is known.
    pub(crate) fn skew_ns(&self, at: syncline_timebase::Instant<Mono>) -> Option<(i64, u64)> {
        let estimate = self.clock.estimate(at);
        let wall = self.clock.wall_offset().filter(|_| estimate.status != Status::Unknown)?;
        Some((wall.ns().saturating_sub(estimate.offset.ns()), estimate.hard.ns()))
    }

    /// How fast the wall clock leaves the reference, as a ratio; none where it was not known long enough.
    pub(crate) fn drift_ratio(&self, at: syncline_timebase::Instant<Mono>) -> Option<f64> {
        self.drift.ratio(at.ns(), self.skew_ns(at)?.0)
    }

    /// The run of the reference that the model speaks of, if it speaks of one.
    pub(crate) fn reference_run(&self) -> Option<u64> {
        (self.run != 0).then_some(self.run)
    }

    /// Probes against another reference begin another model, unless it is known what that is to the one before.
    fn follow_run(&mut self, batch: &Batch, links: &Links) -> ReferenceChange {
        if batch.probes.is_empty() || batch.reference_run == self.run {
            return ReferenceChange::None;
        }
        let former = std::mem::replace(&mut self.run, batch.reference_run);
        if former == 0 {
            return ReferenceChange::None;
        }
        // What was told by the reference before stays as it is.
        self.pending = Pending::default();
        let node = &batch.origin.node;
        let Some(clock) = links.hand_over(&self.clock, [former, self.run]) else {
            tracing::info!(%node, "another reference, and nothing known of it by the one before: the node's clock model starts anew");
            (self.clock, self.segment_end) = (NodeClock::new(self.tolerance), None);
            return ReferenceChange::Anew;
        };
        tracing::info!(%node, "another reference: the node's clock model goes on along what is known of the two");
        self.clock = clock;
        ReferenceChange::HandedOver
    }

    /// Where the newest batch ended.
    pub(crate) fn segment_end(&self) -> Option<syncline_timebase::Instant<Mono>> {
        self.segment_end
    }

    /// Whether its row in `nodes` is due; it counts as written then.
    pub(crate) fn is_to_be_introduced(&mut self, now: Instant, every: Duration) -> bool {
        let due = self.introduced.is_none_or(|then| now.saturating_duration_since(then) >= every);
        if due {
            self.introduced = Some(now);
        }
        due
    }

    /// Batch `number` is in the store.
    pub(crate) fn settle(&mut self, number: u64) {
        self.unsettled.remove(&number);
    }
}

/// Whether the clock saw a batch's samples now or earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    New,
    Repeated,
}

/// A node that several tasks may hold.
#[derive(Clone, Debug)]
pub(crate) struct SharedNode(Arc<Mutex<Node>>);

impl SharedNode {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Node> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All nodes heard of lately.
#[derive(Debug)]
pub(crate) struct Nodes {
    tolerance: Tolerance,
    capacity: usize,
    places: Mutex<HashMap<(NodeName, BootId), Place>>,
}

#[derive(Debug)]
struct Place {
    node: SharedNode,
    used: Instant,
}

impl Nodes {
    /// Room for `capacity` clocks.
    pub(crate) fn new(tolerance: Tolerance, capacity: usize) -> Self {
        Self { tolerance, capacity: capacity.max(1), places: Mutex::default() }
    }

    /// The node of batch `id`, and how many others had to go for it.
    pub(crate) fn of(&self, id: &BatchId, now: Instant) -> (SharedNode, usize) {
        let mut places = self.lock();
        let key = (id.node.clone(), id.boot);
        if let Some(place) = places.get_mut(&key) {
            place.used = now;
            return (place.node.clone(), 0);
        }
        let evicted = if places.len() >= self.capacity { evict_oldest(&mut places) } else { 0 };
        let node = SharedNode(Arc::new(Mutex::new(Node::new(self.tolerance))));
        places.insert(key, Place { node: node.clone(), used: now });
        (node, evicted)
    }

    /// The newest batch that the model of the node of batch `id` has seen; `None` where it has no place.
    pub(crate) fn newest(&self, id: &BatchId) -> Option<u64> {
        let node = self.lock().get(&(id.node.clone(), id.boot))?.node.clone();
        // Not while all places are locked: whoever has the node may be aligning.
        node.lock().newest
    }

    /// Gives the node of batch `id` its place, or what it knows to the one that is there and has seen less; how many others had
    /// to go.
    pub(crate) fn settle_in(&self, id: &BatchId, node: Node, now: Instant) -> usize {
        let mut places = self.lock();
        let key = (id.node.clone(), id.boot);
        if let Some(place) = places.get(&key) {
            let present = place.node.clone();
            drop(places);
            let mut present = present.lock();
            if present.newest < node.newest {
                *present = node;
            }
            return 0;
        }
        let evicted = if places.len() >= self.capacity { evict_oldest(&mut places) } else { 0 };
        places.insert(key, Place { node: SharedNode(Arc::new(Mutex::new(node))), used: now });
        evicted
    }

    /// Forgets what was not used for `idle`: old boots, and nodes that are gone. Their models would be stale anyway.
    pub(crate) fn forget_idle(&self, idle: Duration, now: Instant) -> usize {
        let mut places = self.lock();
        let before = places.len();
        places.retain(|_, place| now.saturating_duration_since(place.used) < idle);
        before - places.len()
    }

    /// All of them, with when they were last used.
    pub(crate) fn places(&self) -> Vec<(NodeName, Instant, SharedNode)> {
        let places = self.lock();
        places.iter().map(|((name, _), place)| (name.clone(), place.used, place.node.clone())).collect()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(NodeName, BootId), Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A sixteenth at once, so that the search is paid once for many newcomers.
fn evict_oldest(places: &mut HashMap<(NodeName, BootId), Place>) -> usize {
    let mut used: Vec<Instant> = places.values().map(|place| place.used).collect();
    let last = (used.len() / 16).min(used.len().saturating_sub(1));
    let (_, threshold, _) = used.select_nth_unstable(last);
    let (threshold, before) = (*threshold, places.len());
    places.retain(|_, place| place.used > threshold);
    before - places.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::samples::{self, OFFSET, SECOND};
    use syncline_event::{ClockDisruption, DisruptionSign};
    use syncline_timebase::{Instant as At, Span};

    #[test]
    fn a_batch_is_shown_to_the_clock_once_and_tells_the_same_until_it_is_settled() {
        let mut node = Node::new(Tolerance::default());
        node.sight(&samples::batch("n", 1), &Links::to(0xbeef));
        let (first, freshness) = node.sight(&samples::batch("n", 2), &Links::to(0xbeef));
        assert_eq!(freshness, Freshness::New);
        assert_eq!(first.used, [true]);
        let segment = first.segment.as_ref().unwrap();
        assert_eq!(segment.from.ns(), 2 * SECOND - 1_000_000 + 101_000, "where the batch before ended");
        let before = node.clock.estimate(At::from_ns(3 * SECOND));

        let (again, freshness) = node.sight(&samples::batch("n", 2), &Links::to(0xbeef));
        assert_eq!(freshness, Freshness::Repeated);
        assert!(Arc::ptr_eq(&first, &again), "the rows that only the first sight could tell are told again");
        assert_eq!(node.clock.estimate(At::from_ns(3 * SECOND)), before, "the clock did not see them twice");

        node.settle(2);
        let (settled, _) = node.sight(&samples::batch("n", 2), &Links::to(0xbeef));
        assert!(settled.segment.is_none() && settled.used.is_empty());
    }

    #[test]
    fn what_an_agent_tells_of_a_disruption_ends_the_piece_before_it_and_what_cannot_be_is_refused() {
        let (mut node, links) = (Node::new(Tolerance::default()), Links::to(0xbeef));
        for number in 1..=3 {
            node.sight(&samples::batch("n", number), &links);
        }
        let told = |from_ms: i64, to_ms: i64| {
            let [since, until] = [from_ms, to_ms].map(|ms| At::from_ns(ms * 1_000_000));
            ClockDisruption { since, until, sign: DisruptionSign::Hypervisor }
        };
        let mut batch = samples::batch("n", 4);
        (batch.probes, batch.probe_paths, batch.reference_run) = (Vec::new(), Vec::new(), 0);
        batch.disruptions = vec![told(4_500, 4_600), told(4_500, 9_000)];
        let now = Instant::now();
        assert!(node.state_if_due(now).is_some() && node.state_if_due(now).is_none());
        let (sighting, _) = node.sight(&batch, &links);
        assert!(node.state_if_due(now).is_some(), "what is told is saved at once");
        assert_eq!((sighting.disruptions, sighting.untrue), (1, 1));
        assert_eq!(sighting.told, [told(4_500, 4_600)]);
        let segment = sighting.segment.as_ref().unwrap();
        assert_eq!(segment.to.ns(), 4_400_000_001, "its last knot before it");
        assert!(segment.at_to.hard.is_bounded() && !node.clock.estimate(batch.sealed_at).hard.is_bounded());
        let (next, _) = node.sight(&samples::batch("n", 5), &links);
        let segment = next.segment.as_ref().unwrap();
        assert_eq!((segment.from.ns(), segment.at_to.epoch), (5 * SECOND + 1, 1));
        // Two hours later: what happened before the last probe is over, what happened since is not.
        let mut later = samples::batch("n", 7_200);
        later.disruptions = vec![told(4_800, 4_900), told(6_500, 6_600)];
        let (sighting, _) = node.sight(&later, &links);
        assert_eq!((sighting.told.len(), sighting.untrue), (1, 1));
    }

    #[test]
    fn a_new_run_of_the_reference_begins_a_new_model() {
        let mut node = Node::new(Tolerance::default());
        node.sight(&samples::batch("n", 1), &Links::to(0xbeef));
        let mut other = samples::batch("n", 2);
        other.reference_run += 1;
        other.probes.iter_mut().for_each(|probe| {
            probe.received = At::from_ns(probe.received.ns() + 60 * SECOND);
            probe.replied = At::from_ns(probe.replied.ns() + 60 * SECOND);
        });
        let (sighting, _) = node.sight(&other, &Links::to(0xbeef));
        assert_eq!((sighting.disruptions, sighting.reference), (0, ReferenceChange::Anew));
        let estimate = node.clock.estimate(At::from_ns(3 * SECOND));
        assert!(estimate.offset.ns().abs_diff(OFFSET + 60 * SECOND) <= estimate.hard.ns());
        let mut silent = samples::batch("n", 3);
        (silent.probes, silent.reference_run) = (Vec::new(), 0);
        node.sight(&silent, &Links::to(0xbeef));
        assert!(node.clock.estimate(At::from_ns(4 * SECOND)).hard.is_bounded(), "without probes the model goes on");
    }

    /// How far the new reference is ahead of the old one, which it has probed for as long as there were batches.
    const AHEAD: i64 = 60 * SECOND;

    /// The links of the aggregator of run 0xbeef, and the first batch whose probes speak of another reference, that of `run`.
    fn change(number: u64, run: u64) -> (Links, Batch) {
        let (links, mut link) = (Links::to(0xbeef), NodeClock::of_oscillator(Tolerance::default()));
        for second in 1..=number as i64 {
            let here = At::from_ns(second * SECOND + OFFSET + AHEAD);
            let there = |after: i64| At::from_ns(second * SECOND + OFFSET + after);
            let (received, replied) = (there(50_000), there(51_000));
            link.observe(
                &[],
                &[syncline_timebase::Probe { sent: here, received, replied, returned: here + Span::from_ns(101_000) }],
            );
        }
        links.put(0xf00d, link);
        let mut other = samples::batch("n", number);
        other.reference_run = run;
        other.probes.iter_mut().for_each(|probe| {
            probe.received = At::from_ns(probe.received.ns() + AHEAD);
            probe.replied = At::from_ns(probe.replied.ns() + AHEAD);
        });
        (links, other)
    }

    #[test]
    fn a_reference_that_is_known_by_the_one_before_takes_the_model_over() {
        let mut node = Node::new(Tolerance::default());
        for number in 1..=20 {
            node.sight(&samples::batch("n", number), &Links::to(0xbeef));
        }
        let (links, other) = change(21, 0xbeef);
        let (sighting, _) = node.sight(&other, &links);
        assert_eq!((sighting.reference, sighting.disruptions, sighting.run), (ReferenceChange::HandedOver, 0, 0xbeef));
        let segment = sighting.segment.as_ref().unwrap();
        assert_eq!(segment.from.ns(), 21 * SECOND - 1_000_000 + 101_000, "where the one before ended");
        // Half a minute without a probe costs a new model 15 ms.
        let estimate = node.clock.estimate(At::from_ns(52 * SECOND));
        assert!(estimate.offset.ns().abs_diff(OFFSET + AHEAD) <= estimate.hard.ns());
        let without = node.clock.bounds(At::from_ns(22 * SECOND - SECOND / 5)).unwrap().hard;
        assert!(without.high.ns() - without.low.ns() < 400_000, "{without:?}");
    }

    #[test]
    fn links_lead_to_no_reference_but_this_aggregators() {
        let mut node = Node::new(Tolerance::default());
        for number in 1..=20 {
            node.sight(&samples::batch("n", number), &Links::to(0xbeef));
        }
        // What a third aggregator did not acknowledge before the node came here.
        let (links, other) = change(21, 0xcafe);
        let (sighting, _) = node.sight(&other, &links);
        assert_eq!((sighting.reference, sighting.run), (ReferenceChange::Anew, 0xcafe));
    }

    fn id(node: &str, boot: u64) -> BatchId {
        BatchId { node: node.parse().unwrap(), boot: BootId(boot), number: 1 }
    }

    #[test]
    fn what_another_aggregator_saw_of_a_node_is_taken_over_and_what_it_saw_less_of_is_not() {
        let nodes = Nodes::new(Tolerance::default(), 10);
        let now = Instant::now();
        let seen = |number: u64| {
            let mut node = Node::new(Tolerance::default());
            node.sight(&samples::batch("n", number), &Links::to(0xbeef));
            node
        };
        assert_eq!(nodes.newest(&id("n", 1)), None);
        nodes.settle_in(&id("n", 1), seen(3), now);
        let (shared, _) = nodes.of(&id("n", 1), now);
        nodes.settle_in(&id("n", 1), seen(9), now);
        nodes.settle_in(&id("n", 1), seen(5), now);
        assert_eq!(nodes.newest(&id("n", 1)), Some(9));
        assert_eq!(shared.lock().newest, Some(9), "whoever holds it sees it too");
    }

    #[test]
    fn the_least_recently_used_go_first() {
        let nodes = Nodes::new(Tolerance::default(), 32);
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        for boot in 0..32 {
            nodes.of(&id("n", boot), at(boot));
        }
        nodes.of(&id("n", 0), at(100));
        let (_, evicted) = nodes.of(&id("n", 99), at(101));
        assert_eq!(evicted, 3, "two of 32 and the one at the threshold");
        assert!(nodes.len() <= 32);
        let kept = |boot| nodes.lock().contains_key(&("n".parse().unwrap(), BootId(boot)));
        assert!(kept(0) && kept(4) && kept(99) && !kept(1) && !kept(2) && !kept(3));
    }

    #[test]
    fn idle_boots_are_forgotten() {
        let nodes = Nodes::new(Tolerance::default(), 10);
        let start = Instant::now();
        nodes.of(&id("n", 1), start);
        nodes.of(&id("n", 2), start + Duration::from_secs(50));
        assert_eq!(nodes.forget_idle(Duration::from_secs(60), start + Duration::from_secs(70)), 1);
        assert_eq!(nodes.len(), 1);
    }
}
