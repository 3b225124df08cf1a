//! From waits, knots and probes to batches. Pure: it reads no clock and does no I/O.
//!
//! When a batch is sealed and what it holds:
//!
//! - It is sealed right after a probe finishes, and holds the waits that ended before that probe was sent; younger ones wait
//!   for the next. So whoever aligns them has probes on both sides and interpolates.
//! - If no probe finishes while a wait has been held for an interval of probes and some seconds ([`Sealing::behind_probes`]), it is sealed with
//!   everything that is there; so it is where nothing is held, each [`LONGEST_WAIT`].
//! - When [`ENOUGH_WAITS`] are there it is sealed at once: with what ended before the last probe if one has finished since the
//!   last batch, else with everything.
//! - Two probes shortly after one another (the burst at the start) make one batch.
//! - Probes against another run of the reference make another batch.
//! - Where waits are not to be held ([`Sealing::Every`]), whatever is there is sealed at an interval, and whoever aligns it carries
//!   the clock on from the last probe: a freeze of all clocks since then is not seen.
//!
//! So with holding a wait lies beyond the last probe that its reader knows, and is aligned by carrying the clock on instead of
//! interpolating, only where probes fail, or where more than [`ENOUGH_WAITS`] long waits end between two probes (some 48,000
//! a second with a probe each second).
//!
//! Nothing is lost silently: every wait taken is in a batch, or counted with a cause in one.

mod accounting;
mod dictionary;
mod index;
mod losses;
mod observation;
mod seal;
mod short;
mod states;
mod tcp;
mod wait;

use std::sync::Arc;

use syncline_event::{
    Batch, ClockClaim, ClockDisruption, DroppedBatch, LossCause, Origin, ProbePath, Process, TcpLossCause, limits,
};
use syncline_timebase::{Instant, Knot, Mono, Offset, Probe, Reference, Wall};

pub use accounting::Captured;
pub use dictionary::Question;
pub use losses::Losses;
pub use observation::SeenObservation;
pub use seal::{ENOUGH_WAITS, LONGEST_WAIT, SHORTEST_GAP, Sealing};
pub use short::{ShortSum, ShortWhat};
pub use states::{SeenGoroutine, SeenProcessTimes};
pub use tcp::{SeenMessage, SeenSession, TcpTotals};
pub use wait::{FinishedWait, Symbolizer, Wanted};

use accounting::Accounting;
use dictionary::Dictionary;
use index::Indices;
use seal::{Holding, SealRule};
use short::ShortSums;
use states::PendingStates;
use tcp::PendingTcp;
use wait::{PendingWait, columns};

/// Collects what the agent sees and seals it into batches.
pub struct Batcher {
    origin: Origin,
    next_number: u64,
    next_seq: u64,
    rule: SealRule,
    waits: Vec<PendingWait>,
    open_waits: Vec<PendingWait>,
    short: ShortSums,
    observations: Vec<SeenObservation>,
    states: PendingStates,
    tcp: PendingTcp,
    dictionary: Dictionary,
    losses: Losses,
    accounting: Accounting,
    knots: Vec<Knot>,
    probes: Vec<Probe>,
    probe_paths: Vec<ProbePath>,
    claims: Vec<ClockClaim>,
    disruptions: Vec<ClockDisruption>,
    newest_knot: Knot,
    newest_told_knot: Option<Instant<Mono>>,
    newest_probe: Option<Probe>,
    reference_run: u64,
    totals: Totals,
}

/// What a run has seen so far.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Finished waits taken.
    pub waits: u64,
    /// Waits below the threshold, in sums.
    pub short_waits: u64,
    /// How often waits that went on were told of.
    pub open_waits: u64,
    /// How often they were due and not told of, for want of room.
    pub open_waits_untold: u64,
    /// How often it was told how a process spent a while.
    pub process_times: u64,
    /// How often it was told how a goroutine spent its time.
    pub goroutines: u64,
    /// How often either was to be told and was not.
    pub states_untold: u64,
    /// Everything lost, by cause, kernel side included.
    pub losses: Losses,
    /// Waits of batches of earlier runs, or of nobody knows which, that were lost; they are not in `losses`.
    pub earlier_lost: u64,
    /// Batches sealed.
    pub batches: u64,
}

impl Batcher {
    /// A run that starts at `first_knot`, whose batches are sealed as `sealing` says. Numbers and sequence numbers start at [`Origin::run_first_seq`].
    pub fn new(origin: Origin, first_knot: Knot, sealing: Sealing) -> Self {
        Self {
            next_number: origin.run_first_seq,
            next_seq: origin.run_first_seq,
            accounting: Accounting::default(),
            origin,
            rule: SealRule::new(sealing, first_knot.mono),
            waits: Vec::new(),
            open_waits: Vec::new(),
            short: ShortSums::default(),
            observations: Vec::new(),
            states: PendingStates::default(),
            tcp: PendingTcp::default(),
            dictionary: Dictionary::default(),
            losses: Losses::default(),
            knots: vec![first_knot],
            probes: Vec::new(),
            probe_paths: Vec::new(),
            claims: Vec::new(),
            disruptions: Vec::new(),
            newest_knot: first_knot,
            newest_told_knot: None,
            newest_probe: None,
            reference_run: 0,
            totals: Totals::default(),
        }
    }

    /// Takes a finished wait. One whose stamps contradict each other is counted as garbled.
    pub fn push_wait(&mut self, wait: FinishedWait) {
        self.totals.waits += 1;
        if !wait.is_sound() {
            return self.lose(LossCause::RecordGarbled, 1);
        }
        self.accounting.take(1);
        let stacks = self.dictionary.note(&wait);
        self.waits.push(PendingWait::new(wait, stacks, self.wall_offset()));
    }

    /// Takes a wait that goes on, or that never ended. Beyond what a batch can hold it is left out and counted: it comes again, or
    /// ends.
    pub fn push_open_wait(&mut self, wait: FinishedWait) {
        if self.open_waits.len() >= limits::OPEN_WAITS || !wait.is_sound() {
            return self.pass_over_open_waits(1);
        }
        self.totals.open_waits += 1;
        let stacks = self.dictionary.note(&wait);
        self.open_waits.push(PendingWait::new(wait, stacks, self.wall_offset()));
    }

    /// Counts waits that go on and were not told of, though they were due. Nothing of them is lost: they come again, or end.
    pub fn pass_over_open_waits(&mut self, count: u64) {
        self.totals.open_waits_untold += count;
    }

    /// Takes a sum of short waits, of this process, kind and reason, since the last such sum.
    pub fn push_short(&mut self, process: Arc<Process>, what: ShortWhat, sum: &ShortSum) {
        self.totals.short_waits = self.totals.short_waits.saturating_add(sum.count);
        match self.short.add(process, what, sum) {
            Ok(()) => self.accounting.take(sum.count),
            Err(no_room) => self.lose(LossCause::ShortWaitMapFull, no_room.count),
        }
    }

    /// Takes a knot and puts it in its place: knots come from two threads. One older than what the last batch held is left
    /// out: its reader is past it.
    pub fn push_knot(&mut self, knot: Knot) {
        let place = self.knots.partition_point(|known| known.mono < knot.mono);
        let is_known = self.knots.get(place).is_some_and(|known| known.mono == knot.mono);
        if is_known || self.newest_told_knot.is_some_and(|told| knot.mono <= told) {
            return;
        }
        if self.knots.len() < limits::CLOCK_SAMPLES {
            self.knots.insert(place, knot);
        }
        if knot.mono > self.newest_knot.mono {
            self.newest_knot = knot;
        }
    }

    /// Takes a finished probe against this run of the reference. Probes against two runs are never in one batch: gives the
    /// batch that must go before, if there are probes against another run.
    #[must_use = "what is sealed is not kept"]
    pub fn push_probe(&mut self, probe: Probe, path: ProbePath, reference_run: u64) -> Option<Batch> {
        let is_other_run = reference_run != self.reference_run;
        let sealed = self.probes.last().filter(|_| is_other_run).map(|last| Holding::EndedBefore(last.sent));
        let sealed = sealed.map(|holding| self.seal(probe.returned, holding));
        self.reference_run = reference_run;
        if self.probes.len() < limits::CLOCK_SAMPLES {
            self.probes.push(probe);
            self.probe_paths.push(path);
            self.newest_probe = Some(probe);
            self.rule.probe_finished(probe.sent);
        }
        sealed
    }

    /// Takes a claim about the node's wall clock.
    pub fn push_claim(&mut self, claim: ClockClaim) {
        if self.claims.len() < limits::CLOCK_SAMPLES {
            self.claims.push(claim);
        }
    }

    /// Takes a disruption of the node's clocks: it goes into the next batch.
    pub fn push_disruption(&mut self, disruption: ClockDisruption) {
        disruption.add_to(&mut self.disruptions);
    }

    /// Counts waits lost before they came here.
    pub fn lose(&mut self, cause: LossCause, count: u64) {
        self.losses.add(cause, count);
        self.totals.losses.add(cause, count);
        self.accounting.lose(count);
    }

    /// What the capture knows of its waits, told behind all of those that it has handed on.
    pub fn set_captured(&mut self, captured: Captured) {
        self.accounting.set_captured(captured);
    }

    /// The stacks to ask the aggregator for now, if there are any: those that its answer knows need not be told.
    pub fn question(&mut self) -> Option<Question> {
        self.dictionary.question()
    }

    /// Takes the answer to a question: whether the store has the stack at a place of it. Without an answer everything is told.
    pub fn answered(&mut self, question: &Question, says: impl Fn(usize) -> bool) {
        self.dictionary.answered(question, says);
    }

    /// The store may not have any more what it had: all known stacks are asked for again, but for those in batches that are not
    /// acknowledged, from number `unacknowledged` on.
    pub fn ask_again(&mut self, unacknowledged: Option<u64>) {
        self.dictionary.ask_again(unacknowledged);
    }

    /// A new connection, perhaps to another aggregator, which cannot be asked: stacks and symbols are told again where they are used
    /// again.
    pub fn tell_dictionaries_again(&mut self) {
        self.dictionary.tell_again();
    }

    /// A sealed batch, perhaps of an earlier run, had to go because the queue is full: its waits are lost, and a later batch tells
    /// what was in it; its stacks and symbols go into the next one.
    pub fn dropped(&mut self, batch: Batch) {
        self.lose_batch(LossCause::QueueFull, &batch);
        self.tcp.lose_batch(TcpLossCause::QueueFull, &batch);
        self.dictionary.tell_these_again(batch.stacks, batch.symbols);
    }

    /// A sealed batch cannot travel, which is a fault of this program: its waits are lost, and a later batch tells what was in it.
    /// Its stacks and symbols come again only where they are used again, since they may be the cause.
    pub fn unfit(&mut self, batch: &Batch) {
        self.lose_batch(LossCause::RecordGarbled, batch);
        self.tcp.lose_batch(TcpLossCause::Garbled, batch);
        self.dictionary.forget(&batch.symbols);
    }

    /// The aggregator refused a batch for good: its waits are lost, and a later batch tells what was in it. Its stacks and symbols
    /// are told again only where they are used again, since they may be what was refused.
    pub fn refused(&mut self, batch: &Batch) {
        self.lose_batch(LossCause::BatchRefused, batch);
        self.tcp.lose_batch(TcpLossCause::BatchRefused, batch);
        self.dictionary.forget(&batch.symbols);
    }

    /// A batch is lost of which no more is known than this; a later batch tells.
    pub fn gone(&mut self, dropped: DroppedBatch) {
        let (cause, waits) = (dropped.cause, dropped.events.saturating_add(dropped.summed));
        if (dropped.boot, dropped.run_first_seq) == (self.origin.boot, self.origin.run_first_seq) {
            self.totals.losses.add(cause, waits);
        } else {
            self.totals.earlier_lost = self.totals.earlier_lost.saturating_add(waits);
        }
        self.accounting.drop_batch(dropped);
    }

    /// A whole batch is lost: its waits, long and short. What it said of losses is in the totals already. What it said of the clocks is
    /// known to nobody, and of disruptions it has to be.
    fn lose_batch(&mut self, cause: LossCause, batch: &Batch) {
        if batch.origin.boot == self.origin.boot {
            batch.disruptions.iter().for_each(|disruption| self.push_disruption(*disruption));
        }
        self.accounting.tell_again(&batch.dropped);
        self.gone(accounting::dropped(cause, batch));
        self.pass_over_open_waits(batch.open_waits.len() as u64);
        self.pass_over_states((batch.process_states.len() + batch.goroutine_states.len()) as u64);
    }

    /// The next batch if it is time for one.
    pub fn seal_if_due(&mut self, now: Instant<Mono>) -> Option<Batch> {
        let (waits, is_holding) = (self.waits.len(), self.has_waits());
        let holding = self.rule.due(now, waits, is_holding)?;
        Some(self.seal(now, holding))
    }

    /// The next batch with everything that is there: for the end of a run. None if there is nothing to say.
    pub fn seal_rest(&mut self, now: Instant<Mono>) -> Option<Batch> {
        let no_waits = self.waits.is_empty() && self.short.is_empty() && self.losses.is_empty();
        let nothing = no_waits
            && self.open_waits.is_empty()
            && self.observations.is_empty()
            && self.states.is_empty()
            && self.tcp.is_empty()
            && self.probes.is_empty()
            && self.disruptions.is_empty()
            && !self.accounting.has_news();
        (!nothing).then(|| self.seal(now, Holding::Everything))
    }

    /// Whether there are waits, or messages and sessions, that no batch has taken yet.
    pub fn has_waits(&self) -> bool {
        !self.waits.is_empty() || self.tcp.has_stamps()
    }

    /// What this run has seen so far.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    fn seal(&mut self, now: Instant<Mono>, holding: Holding) -> Batch {
        self.rule.sealed(now);
        self.newest_told_knot = self.knots.last().map(|knot| knot.mono).or(self.newest_told_knot);
        let waits = holding.take(&mut self.waits, PendingWait::end);
        let open_waits = holding.take(&mut self.open_waits, PendingWait::end);
        debug_assert!(waits.len() <= limits::WAITS);
        let mut processes = Indices::default();
        let (mut reasons, mut file_types, mut flows) = (Indices::default(), Indices::default(), Indices::default());
        let mut columns =
            |waits: &[PendingWait]| columns(waits, &mut processes, &mut reasons, &mut file_types, &mut flows);
        let (waits, open_waits) = (columns(&waits), columns(&open_waits));
        let short_waits = self.short.take(&mut processes, &mut reasons);
        let observations = observation::take(&mut self.observations, &mut processes);
        let states = self.states.take(holding, &mut processes, &mut reasons);
        let tcp = self.tcp.take(holding, &mut processes, &mut flows);
        let of_waits = [&waits, &open_waits].into_iter().flat_map(|waits| waits.stack.iter().chain(&waits.waker_stack));
        let spoken_of = of_waits.copied().chain(tcp.sessions.iter().map(|session| session.stack)).collect();
        let (stacks, symbols) = self.dictionary.take(self.next_number, &spoken_of);
        let mut batch = Batch {
            origin: self.origin.clone(),
            number: self.next_number,
            first_seq: self.next_seq,
            sealed_at: now,
            coarse_reference: self.coarse_reference(),
            wall_offset: self.wall_offset(),
            reasons: reasons.into_values().into_iter().map(str::to_owned).collect(),
            file_types: file_types.into_values().into_iter().map(str::to_owned).collect(),
            processes: processes.into_values().into_iter().map(Arc::unwrap_or_clone).collect(),
            waits,
            open_waits,
            short_waits,
            observations,
            process_states: states.processes,
            goroutine_states: states.goroutines,
            stacks,
            symbols,
            losses: self.losses.take(),
            knots: std::mem::take(&mut self.knots),
            reference_run: if self.probes.is_empty() { 0 } else { self.reference_run },
            probes: std::mem::take(&mut self.probes),
            probe_paths: std::mem::take(&mut self.probe_paths),
            claims: std::mem::take(&mut self.claims),
            disruptions: std::mem::take(&mut self.disruptions),
            flows: flows.into_values(),
            messages: tcp.messages,
            tcp_sessions: tcp.sessions,
            tcp_losses: tcp.losses,
            account: None,
            dropped: Vec::new(),
        };
        self.accounting.seal(&mut batch);
        self.next_number = self.next_number.saturating_add(1);
        self.next_seq = self.next_seq.saturating_add(batch.waits.len() as u64);
        self.totals.batches += 1;
        batch
    }

    fn coarse_reference(&self) -> Offset<Mono, Reference> {
        let by_wall = Offset::from_ns(self.wall_offset().ns());
        self.newest_probe.map_or(by_wall, |probe| {
            let middle = |from: i64, to: i64| from.saturating_add(to.saturating_sub(from) / 2);
            let node = Instant::<Mono>::from_ns(middle(probe.sent.ns(), probe.returned.ns()));
            node.offset_to(Instant::from_ns(middle(probe.received.ns(), probe.replied.ns())))
        })
    }

    fn wall_offset(&self) -> Offset<Mono, Wall> {
        self.newest_knot.mono.offset_to(self.newest_knot.wall)
    }
}
