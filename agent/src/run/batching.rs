//! The batcher's thread: what the other threads send becomes batches in the queue.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use syncline_event::{Batch, ClockClaim, DroppedBatch, LossCause, Process, TcpLossCause};
use syncline_timebase::{Instant as At, Mono};

use super::gaps::Gaps;
use super::hints::HintSender;
use super::looking::Look;
use super::metrics::Tally;
use crate::asking::{Answer, Asking};
use crate::batch::{
    Batcher, Captured, FinishedWait, Losses, SeenGoroutine, SeenMessage, SeenObservation, SeenProcessTimes,
    SeenSession, ShortSum, ShortWhat, TcpTotals, Totals,
};
use crate::clock::Clocks;
use crate::probe::UsableProbe;
use crate::queue::{BatchId, Entry, Lost, Queue, SharedQueue};
use crate::recording::Recorder;
use crate::symbols::{SymbolCache, SymbolCounts};

/// How often it looks whether a batch is due when nothing comes.
const IDLE: Duration = Duration::from_millis(100);
/// How old the counts are that others read.
const TALLY_EVERY: Duration = Duration::from_secs(1);
/// Batches made of what is left at the end: one, and one for what the first may have pushed out of the queue.
const LAST_BATCHES: usize = 2;
/// What the store is known to have is asked for again this often: it may have lost it.
const ASK_AGAIN_EVERY: Duration = Duration::from_secs(3_600);

/// What the other threads send.
pub(super) enum Input {
    Waits(Vec<FinishedWait>),
    OpenWaits(Vec<FinishedWait>),
    OpenPassedOver(u64),
    ProcessTimes(Vec<SeenProcessTimes>),
    Goroutines(Vec<SeenGoroutine>),
    StatesPassedOver(u64),
    Short {
        process: Arc<Process>,
        what: ShortWhat,
        sum: ShortSum,
    },
    Observations(Vec<SeenObservation>),
    Losses(Losses),
    /// Behind all that was captured before.
    Captured(Captured),
    Messages {
        messages: Vec<SeenMessage>,
        mark_shift: u8,
    },
    Sessions(Vec<SeenSession>),
    TcpLoss(TcpLossCause, u64),
    Look(Look),
    Gaps(Gaps),
    Probe(UsableProbe),
    Claim(ClockClaim),
}

/// What a run came to.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) totals: Totals,
    pub(super) tcp: TcpTotals,
    pub(super) gaps: Gaps,
    pub(super) symbols: SymbolCounts,
}

pub(super) struct Batching {
    batcher: Batcher,
    gaps: Gaps,
    clocks: Clocks,
    queue: Arc<SharedQueue>,
    recorder: Option<Recorder>,
    symbols: Option<Arc<SymbolCache>>,
    connections: u64,
    told_of_drops: bool,
    hints: HintSender,
    /// Probes that came back since the hypervisor's marker was looked at last, and when that was: whether one of them met a disruption
    /// the next look tells. None where there is no marker.
    unlooked: Option<(Vec<UsableProbe>, Option<At<Mono>>)>,
    /// None where everything is to be told, whoever may know it already.
    asking: Option<Arc<Asking>>,
    /// Whether the aggregator of this connection answers questions, as far as is known. It is tried again when all is asked again.
    is_answered: bool,
    ask_again_at: Instant,
    /// Where those who watch the agent read what was counted, and when they are told anew.
    tally: Arc<Tally>,
    tally_at: Instant,
}

impl Batching {
    pub(super) fn new(
        batcher: Batcher,
        clocks: Clocks,
        queue: Arc<SharedQueue>,
        recorder: Option<Recorder>,
        hints: HintSender,
        asking: Arc<Asking>,
    ) -> Self {
        Self {
            batcher,
            gaps: Gaps::default(),
            clocks,
            queue,
            // A recording is for other stores too.
            asking: recorder.is_none().then_some(asking),
            recorder,
            symbols: None,
            connections: 0,
            told_of_drops: false,
            hints,
            unlooked: None,
            is_answered: true,
            ask_again_at: Instant::now() + ASK_AGAIN_EVERY,
            tally: Arc::default(),
            tally_at: Instant::now(),
        }
    }

    /// Tells what it counts here.
    pub(super) fn telling(self, tally: Arc<Tally>) -> Self {
        Self { tally, ..self }
    }

    /// Holds each probe until it was looked whether the clocks were disrupted meanwhile, if anybody `looks`.
    pub(super) fn awaiting_looks(self, looks: bool) -> Self {
        Self { unlooked: looks.then(Default::default), ..self }
    }

    /// Sees to it that what is looked up is written to this cache's disk.
    pub(super) fn caching(self, symbols: Option<Arc<SymbolCache>>) -> Self {
        Self { symbols, ..self }
    }

    /// Until nobody sends any more; then seals the rest and closes the queue.
    pub(super) fn run(mut self, inputs: &Receiver<Input>) -> Outcome {
        loop {
            match inputs.recv_timeout(IDLE) {
                Ok(input) => self.take(input),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.listen_to_the_queue();
            self.converse();
            if let Some(batch) = self.batcher.seal_if_due(self.clocks.mono()) {
                self.ship(&batch);
            }
            self.hints.busy(self.batcher.has_waits());
            self.tell_tally();
            if let Some(symbols) = &self.symbols {
                symbols.write_due(Instant::now());
            }
        }
        self.take_held_probes(None);
        for _ in 0..LAST_BATCHES {
            if let Some(batch) = self.batcher.seal_rest(self.clocks.mono()) {
                self.ship(&batch);
            }
        }
        self.queue.change(Queue::close);
        let symbols = self.symbols.map_or_else(SymbolCounts::default, |symbols| {
            symbols.write_all();
            symbols.counts()
        });
        let (totals, tcp) = (self.batcher.totals().clone(), self.batcher.tcp_totals().clone());
        Outcome { totals, tcp, gaps: self.gaps, symbols }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Waits(waits) => waits.into_iter().for_each(|wait| self.batcher.push_wait(wait)),
            Input::OpenWaits(waits) => waits.into_iter().for_each(|wait| self.batcher.push_open_wait(wait)),
            Input::OpenPassedOver(count) => self.batcher.pass_over_open_waits(count),
            Input::ProcessTimes(times) => times.into_iter().for_each(|one| self.batcher.push_process_times(one)),
            Input::Goroutines(all) => all.into_iter().for_each(|one| self.batcher.push_goroutine(one)),
            Input::StatesPassedOver(count) => self.batcher.pass_over_states(count),
            Input::Short { process, what, sum } => self.batcher.push_short(process, what, &sum),
            Input::Observations(all) => all.into_iter().for_each(|one| self.batcher.push_observation(one)),
            Input::Losses(losses) => losses.iter().for_each(|loss| self.batcher.lose(loss.cause, loss.count)),
            Input::Captured(captured) => self.batcher.set_captured(captured),
            Input::Messages { messages, mark_shift } => {
                messages.into_iter().for_each(|message| self.batcher.push_message(message, mark_shift));
            }
            Input::Sessions(sessions) => sessions.into_iter().for_each(|session| self.batcher.push_session(session)),
            Input::TcpLoss(cause, count) => self.batcher.lose_tcp(cause, count),
            Input::Gaps(gaps) => self.gaps = gaps,
            Input::Look(look) => self.take_look(look),
            Input::Probe(probe) => self.take_or_hold_probe(probe),
            Input::Claim(claim) => self.batcher.push_claim(claim),
        }
    }

    /// At once: what was noticed is in the batch of the knots around it.
    fn take_look(&mut self, look: Look) {
        [Some(look.knot), look.after].into_iter().flatten().for_each(|knot| self.batcher.push_knot(knot));
        look.noticed.into_iter().for_each(|disruption| self.batcher.push_disruption(disruption));
        if look.looked.is_some() {
            self.take_held_probes(look.looked);
        }
    }

    fn take_or_hold_probe(&mut self, probe: UsableProbe) {
        match &mut self.unlooked {
            Some((held, looked)) if looked.is_none_or(|looked| looked < probe.probe.returned) => held.push(probe),
            _ => self.take_probe(&probe),
        }
    }

    /// Takes the probes that came back until it was looked, or all.
    fn take_held_probes(&mut self, looked: Option<At<Mono>>) {
        let Some((held, last_look)) = &mut self.unlooked else { return };
        *last_look = looked.max(*last_look);
        let is_over = |probe: &UsableProbe| looked.is_none_or(|looked| probe.probe.returned <= looked);
        let (over, held_on) = std::mem::take(held).into_iter().partition::<Vec<_>, _>(is_over);
        *held = held_on;
        over.iter().for_each(|probe| self.take_probe(probe));
    }

    fn take_probe(&mut self, usable: &UsableProbe) {
        let against_another_run = self.batcher.push_probe(usable.probe, usable.path, usable.run);
        // Read around this probe, so they are of its batch.
        usable.knots.into_iter().flatten().for_each(|knot| self.batcher.push_knot(knot));
        if let Some(batch) = against_another_run {
            self.ship(&batch);
        }
    }

    fn tell_tally(&mut self) {
        if Instant::now() >= self.tally_at {
            self.tally_at = Instant::now() + TALLY_EVERY;
            self.tally.tell(self.batcher.totals(), self.batcher.tcp_totals(), &self.gaps);
        }
    }

    fn listen_to_the_queue(&mut self) {
        let connections = self.queue.look(Queue::connections);
        if connections != self.connections {
            self.connections = connections;
            self.told_of_drops = false;
            match self.asking {
                Some(_) => self.ask_again(),
                None => self.batcher.tell_dictionaries_again(),
            }
        }
        for entry in self.queue.take_refused() {
            match syncline_proto::decode(&entry.bytes) {
                Ok(batch) => self.batcher.refused(&batch),
                Err(_) => self.batcher.gone(gone(entry.id, LossCause::BatchRefused, (entry.waits, entry.summed))),
            }
        }
        let dropped = self.queue.change_quietly(Queue::take_dropped);
        self.tell_of_drops(dropped);
        for Lost { id, weight } in self.queue.change_quietly(Queue::take_lost) {
            self.batcher.gone(gone(id, LossCause::SpoolDamaged, (weight, 0)));
        }
    }

    /// Takes the answer to what was asked, and asks what there is to ask.
    fn converse(&mut self) {
        let Some(asking) = self.asking.clone() else { return };
        match asking.take(self.connections) {
            Some((question, Answer::Known(reply))) => self.batcher.answered(&question, |place| reply.says(place)),
            Some((_, Answer::CannotTell)) => {
                self.is_answered = false;
                // Also where the question was of new stacks alone: none is asked after it.
                self.batcher.tell_dictionaries_again();
            }
            None => {}
        }
        if Instant::now() >= self.ask_again_at {
            self.ask_again();
        }
        if self.is_answered
            && asking.is_idle()
            && let Some(question) = self.batcher.question()
        {
            asking.ask(question);
        }
    }

    fn ask_again(&mut self) {
        self.is_answered = true;
        self.ask_again_at = Instant::now() + ASK_AGAIN_EVERY;
        self.batcher.ask_again(self.queue.look(Queue::oldest));
    }

    fn ship(&mut self, batch: &Batch) {
        let encoded = batch.check().map_err(Into::into).and_then(|()| syncline_proto::encode(batch));
        match encoded {
            Ok(bytes) => self.enqueue(batch, bytes),
            Err(error) => {
                tracing::error!(%error, batch = batch.number, "a batch cannot be sent; its events are lost");
                self.batcher.unfit(batch);
            }
        }
    }

    fn enqueue(&mut self, batch: &Batch, bytes: Vec<u8>) {
        self.record(&bytes);
        let entry = Entry::of(batch, bytes.into());
        let dropped = self.queue.change(|queue| queue.push(entry));
        self.tell_of_drops(dropped);
    }

    /// In the log once a connection.
    fn tell_of_drops(&mut self, dropped: Vec<Entry>) {
        if !dropped.is_empty() && !std::mem::replace(&mut self.told_of_drops, true) {
            tracing::warn!(
                "there is no room for more unacknowledged batches: the oldest are dropped, and counted as queue_full; \
                 is the aggregator there, and fast enough? --spool-bytes makes more room, --queue-bytes without a spool"
            );
        }
        for dropped in dropped {
            match syncline_proto::decode(&dropped.bytes) {
                Ok(batch) => self.batcher.dropped(batch),
                Err(_) => self.batcher.gone(gone(dropped.id, LossCause::QueueFull, (dropped.waits, dropped.summed))),
            }
        }
    }

    fn record(&mut self, bytes: &[u8]) {
        let Some(recorder) = &mut self.recorder else { return };
        if let Err(error) = recorder.append(bytes) {
            tracing::error!(%error, "recording ends here; capturing goes on");
            self.recorder = None;
        }
    }
}

/// What is known of a batch that cannot be read, of another version or lost: its finished waits, and those in sums.
fn gone(id: BatchId, cause: LossCause, (events, summed): (u64, u64)) -> DroppedBatch {
    let BatchId { boot, run_first_seq, number } = id;
    DroppedBatch { boot, number, run_first_seq, cause, events, summed, losses: Vec::new() }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use syncline_event::{ClockDisruption, DisruptionSign, Origin, ProbePath, Symbol};
    use syncline_proto::v1::KnownReply;
    use syncline_timebase::{BootId, Knot, Probe, Span};

    use super::*;
    use crate::batch::{ENOUGH_WAITS, Sealing, Symbolizer};

    struct NoNames;
    impl Symbolizer for NoNames {
        fn symbols(&self, _pc: u64) -> Vec<Symbol> {
            Vec::new()
        }
    }

    fn process() -> Arc<Process> {
        let text = || "x".to_owned();
        Arc::new(Process {
            pid: 1,
            service: text(),
            executable: text(),
            go_version: text(),
            build_id: 7,
            ..Process::default()
        })
    }

    fn wait(process: &Arc<Process>, number: u64) -> FinishedWait {
        // Not to be compressed away.
        let goid = xxhash_rust::xxh3::xxh3_64(&number.to_le_bytes());
        let times = (At::from_ns(1), At::from_ns(2));
        FinishedWait::of_goroutine(Arc::clone(process), Arc::new(NoNames), times, (goid, "select"), vec![0x100])
    }

    fn batching(queue: &Arc<SharedQueue>) -> Batching {
        batching_with(queue, None)
    }

    fn batching_with(queue: &Arc<SharedQueue>, recorder: Option<Recorder>) -> Batching {
        let clocks = Clocks::default();
        let origin = Origin {
            node: "n1".parse().unwrap(),
            region: "eu".to_owned(),
            boot: BootId(9),
            run_first_seq: 1,
            agent_version: "test".to_owned(),
            kernel: "test".to_owned(),
        };
        Batching::new(
            Batcher::new(origin, clocks.knot(), Sealing::behind_probes(Span::from_s(1))),
            clocks,
            Arc::clone(queue),
            recorder,
            HintSender::default(),
            Arc::default(),
        )
    }

    #[test]
    fn whatever_a_full_queue_drops_is_counted_in_a_later_batch() {
        let queue = Arc::new(SharedQueue::new(Queue::new(1_200_000)));
        let (out, inputs) = sync_channel(16);
        let thread = std::thread::spawn({
            let batching = batching(&queue);
            move || batching.run(&inputs)
        });
        let process = process();
        let pushed = 6 * ENOUGH_WAITS as u64 + 10;
        for number in 0..pushed {
            out.send(Input::Waits(vec![wait(&process, number)])).unwrap();
        }
        drop(out);
        let totals = thread.join().unwrap().totals;
        let (mut kept, mut counted) = (0, 0);
        while let Some(entry) = queue.change(|queue| queue.send_next(usize::MAX)) {
            let batch = syncline_proto::decode(&entry.bytes).unwrap();
            kept += batch.waits.len() as u64;
            counted += batch.all_losses().map(|loss| loss.count).sum::<u64>();
        }
        assert_eq!((kept + counted, totals.waits), (pushed, pushed));
        assert!(counted >= ENOUGH_WAITS as u64, "the queue was never full");
        assert_eq!(totals.losses.count(LossCause::QueueFull), counted);
    }

    fn stacks_told(batching: &mut Batching) -> usize {
        batching.listen_to_the_queue();
        batching.converse();
        batching.take(Input::Waits(vec![wait(&process(), 1)]));
        batching.batcher.seal_rest(At::from_ns(9)).unwrap().stacks.len()
    }

    #[test]
    fn a_new_connection_is_told_the_stacks_again_where_it_cannot_be_asked() {
        let queue = Arc::new(SharedQueue::new(Queue::new(1 << 20)));
        let (mut asked, mut unasked) = (batching(&queue), batching(&queue));
        let asking = asked.asking.clone().unwrap();
        unasked.asking = None;
        for batching in [&mut asked, &mut unasked] {
            assert_eq!(stacks_told(batching), 1);
            assert_eq!(stacks_told(batching), 0);
        }
        queue.change(Queue::reconnected);
        assert_eq!((stacks_told(&mut asked), stacks_told(&mut unasked)), (0, 1));
        asking.answer(Answer::CannotTell, 1);
        assert_eq!((stacks_told(&mut asked), stacks_told(&mut asked)), (1, 0));
        assert!(asking.is_idle(), "it is not asked a second time");
        asked.ask_again();
        assert_eq!(stacks_told(&mut asked), 0);
        assert!(!asking.is_idle(), "after an hour it is");
    }

    #[test]
    fn a_question_of_new_stacks_that_cannot_be_answered_has_the_known_ones_told_again() {
        let queue = Arc::new(SharedQueue::new(Queue::new(1 << 20)));
        let mut batching = batching(&queue);
        let asking = batching.asking.clone().unwrap();
        assert_eq!(stacks_told(&mut batching), 1);
        batching.take(Input::Waits(vec![FinishedWait { stack: vec![0x200], ..wait(&process(), 2) }]));
        assert_eq!(stacks_told(&mut batching), 1, "asked for, and told before there was an answer");
        queue.change(Queue::reconnected);
        asking.answer(Answer::CannotTell, 1);
        assert_eq!((stacks_told(&mut batching), stacks_told(&mut batching)), (1, 0));
    }

    #[test]
    fn what_the_aggregator_before_could_not_tell_this_one_is_asked() {
        let queue = Arc::new(SharedQueue::new(Queue::new(1 << 20)));
        let mut batching = batching(&queue);
        let asking = batching.asking.clone().unwrap();
        assert_eq!(stacks_told(&mut batching), 1);
        batching.ask_again();
        assert_eq!(stacks_told(&mut batching), 0);
        asking.answer(Answer::CannotTell, 0);
        queue.change(Queue::reconnected);
        assert_eq!(stacks_told(&mut batching), 0);
        asking.answer(Answer::Known(KnownReply::of(&[false])), 1);
        assert_eq!(stacks_told(&mut batching), 1, "it was asked");
    }

    #[test]
    fn a_new_connection_is_asked_and_told_what_the_store_does_not_have() {
        let queue = Arc::new(SharedQueue::new(Queue::new(1 << 20)));
        let mut batching = batching(&queue);
        let asking = batching.asking.clone().unwrap();
        assert_eq!(stacks_told(&mut batching), 1);
        for (connection, (has, told)) in (1..).zip([(true, 0), (false, 1)]) {
            queue.change(Queue::reconnected);
            assert_eq!(stacks_told(&mut batching), 0);
            asking.answer(Answer::Known(KnownReply::of(&[has])), connection);
            assert_eq!(stacks_told(&mut batching), told);
        }
    }

    #[test]
    fn where_somebody_looks_a_probe_waits_for_the_look_behind_it() {
        let queue = Arc::new(SharedQueue::new(Queue::new(1 << 20)));
        let mut batching = batching(&queue).awaiting_looks(true);
        let now = |batching: &Batching| batching.clocks.mono();
        let probe = |batching: &Batching| {
            let (sent, received, returned) = (now(batching), At::from_ns(9), now(batching));
            let probe = Probe { sent, received, replied: received, returned };
            UsableProbe { probe, path: ProbePath::Udp, run: 1, knots: None }
        };
        let before = batching.clocks.knot();
        let met = probe(&batching);
        batching.take(Input::Probe(met.clone()));
        let look = |knot: Knot| Look { knot, after: None, noticed: Vec::new(), looked: Some(knot.mono) };
        batching.take(Input::Look(look(before)));
        assert!(batching.batcher.seal_rest(now(&batching)).is_none(), "nobody has looked since");
        let [knot, after] = [(); 2].map(|()| batching.clocks.knot());
        let (since, until, sign) = (before.mono, after.mono, DisruptionSign::Hypervisor);
        let disruption = ClockDisruption { since, until, sign };
        batching.take(Input::Look(Look { after: Some(after), noticed: vec![disruption], ..look(knot) }));
        let batch = batching.batcher.seal_rest(now(&batching)).unwrap();
        assert_eq!((batch.probes, batch.disruptions), (vec![met.probe], vec![disruption]));
        assert!(batch.knots.ends_with(&[before, knot, after]), "{:?}", batch.knots);
        let last = probe(&batching);
        batching.take(Input::Probe(last.clone()));
        batching.take_held_probes(None);
        assert_eq!(batching.batcher.seal_rest(now(&batching)).unwrap().probes, [last.probe], "at the end");
    }

    #[test]
    fn who_records_tells_everything() {
        let dir = tempfile::tempdir().unwrap();
        let recorder = Recorder::create(&dir.path().join("recording")).unwrap();
        let queue = Arc::new(SharedQueue::new(Queue::new(1 << 20)));
        assert!(batching_with(&queue, Some(recorder)).asking.is_none());
    }
}
