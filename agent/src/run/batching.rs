//! The batcher's thread: what the other threads send becomes batches in the queue.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use syncline_event::{Batch, LossCause, Process};
use syncline_timebase::{Knot, Probe};

use crate::batch::{Batcher, FinishedWait, Losses, ShortSum, Totals};
use crate::clock::Clocks;
use crate::queue::{Entry, Queue, SharedQueue};
use crate::recording::Recorder;

/// How often it looks whether a batch is due when nothing comes.
const IDLE: Duration = Duration::from_millis(100);
/// Batches made of what is left at the end: one, and one for what the first may have pushed out of the queue.
const LAST_BATCHES: usize = 2;

/// What the other threads send.
pub(super) enum Input {
    Waits(Vec<FinishedWait>),
    Short { process: Arc<Process>, reason: &'static str, sum: ShortSum },
    Losses(Losses),
    Knot(Knot),
    Probe { probe: Probe, run: u64, knot: Knot },
}

pub(super) struct Batching {
    pub(super) batcher: Batcher,
    pub(super) clocks: Clocks,
    pub(super) queue: Arc<SharedQueue>,
    pub(super) recorder: Option<Recorder>,
    pub(super) connections: u64,
}

impl Batching {
    /// Until nobody sends any more; then seals the rest and closes the queue.
    pub(super) fn run(mut self, inputs: &Receiver<Input>) -> Totals {
        loop {
            match inputs.recv_timeout(IDLE) {
                Ok(input) => self.take(input),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.listen_to_the_queue();
            if let Some(batch) = self.batcher.seal_if_due(self.clocks.mono()) {
                self.ship(&batch);
            }
        }
        for _ in 0..LAST_BATCHES {
            if let Some(batch) = self.batcher.seal_rest(self.clocks.mono()) {
                self.ship(&batch);
            }
        }
        self.queue.change(Queue::close);
        self.batcher.totals().clone()
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Waits(waits) => waits.into_iter().for_each(|wait| self.batcher.push_wait(wait)),
            Input::Short { process, reason, sum } => self.batcher.push_short(process, reason, &sum),
            Input::Losses(losses) => losses.iter().for_each(|loss| self.batcher.lose(loss.cause, loss.count)),
            Input::Knot(knot) => self.batcher.push_knot(knot),
            Input::Probe { probe, run, knot } => self.batcher.push_probe(probe, run, knot),
        }
    }

    fn listen_to_the_queue(&mut self) {
        let connections = self.queue.look(Queue::connections);
        if connections != self.connections {
            self.connections = connections;
            self.batcher.tell_dictionaries_again();
        }
        for entry in self.queue.take_refused() {
            if let Ok(batch) = syncline_proto::decode(&entry.bytes) {
                self.batcher.refused(&batch);
            }
        }
    }

    fn ship(&mut self, batch: &Batch) {
        let encoded = batch.check().map_err(Into::into).and_then(|()| syncline_proto::encode(batch));
        match encoded {
            Ok(bytes) => self.enqueue(batch, bytes),
            Err(error) => {
                tracing::error!(%error, batch = batch.number, "a batch cannot be sent; its events are lost");
                self.batcher.lose(LossCause::RecordGarbled, batch.waits.len() as u64);
            }
        }
    }

    fn enqueue(&mut self, batch: &Batch, bytes: Vec<u8>) {
        self.record(&bytes);
        let entry = Entry { number: batch.number, bytes: bytes.into(), waits: batch.waits.len() as u64 };
        for dropped in self.queue.change(|queue| queue.push(entry)) {
            tracing::warn!(batch = dropped.number, waits = dropped.waits, "the queue is full: a batch is dropped");
            match syncline_proto::decode(&dropped.bytes) {
                Ok(batch) => self.batcher.dropped(batch),
                Err(_) => self.batcher.lose(LossCause::QueueFull, dropped.waits),
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
