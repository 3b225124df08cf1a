//! From the spool into the store: one thread that reads, gathers groups, and inserts each of them as if there were no crashes.
//!
//! For each group, in the order of the spool:
//!
//! 1. which of its batches are in the store already, the ledger tells: those that were sent again;
//! 2. the **intent**, which records go in under which token, is saved with the cursor. After a crash the very same is inserted again, and ClickHouse
//!    knows it by the token;
//! 3. the others are shown to their nodes' clocks and become rows; each table's go in as one block, the ledger's last.
//!
//! The cursor stays behind what is stored: at the first batch that a node's saved clock model has not seen. From there the next process shows
//! the batches to the models again, so that these are as if nobody had been interrupted.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::future::join_all;
use syncline_event::{Batch, BatchId};
use syncline_spool::{Content, Disk, Item, Reader, RecordNo};
use syncline_timebase::{BootId, Instant as At, NodeName, Reference as ReferenceScale};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;
use xxhash_rust::xxh3::xxh3_128;

use super::aside::{Aside, Cause};
use super::group::{Gathering, Limits, Load};
use super::note::{Intent, Note};
use super::record;
use super::spooled::Progress;
use crate::counters::{add, count};
use crate::pipeline::{LONGEST_SAVE, Pipeline, Prepared, Refusal, SharedNode, bucket, unpanicked};
use crate::stopping::Stopping;

/// Groups begin so far apart, where they are not full before: an insert costs the same for one batch as for many.
const APART: Duration = Duration::from_millis(100);
/// How often it is looked whether to stop, and after clock models of nodes that lie still.
const IDLE: Duration = Duration::from_millis(250);
/// Pause before the disk or the store is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// A question to the store that takes longer is asked again.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Models of nodes that lie still that are saved at once.
const IDLE_AT_ONCE: usize = 256;

/// It is to end, and what it was about is left to the next process.
struct Stopped;

/// The thread. Dropping it does not end it: [`Stopping`] does.
#[derive(Debug)]
pub(crate) struct Writer {
    ended: oneshot::Receiver<()>,
}

impl Writer {
    /// Starts the thread, within an async runtime.
    ///
    /// # Errors
    /// What is saved of its progress is unknown to this version; there can be no thread.
    pub(crate) fn start(
        reader: Reader<Disk>,
        pipeline: Arc<Pipeline>,
        (aside, progress): (Arc<Aside>, Arc<Progress>),
        stopping: Stopping,
    ) -> anyhow::Result<Self> {
        let note = match reader.note() {
            [] => Note { stored: reader.saved(), intent: None },
            note => Note::decode(note)?,
        };
        progress.stored(note.stored);
        let writing = Writing {
            reader,
            runtime: Handle::current(),
            pipeline,
            aside,
            progress,
            stopping,
            stored: note.stored,
            begun: Instant::now(),
            looked: Instant::now(),
            carried: None,
            tails: HashMap::new(),
        };
        let (end, ended) = oneshot::channel();
        let runtime = Handle::current();
        let run = move || {
            // Timers are made outside of what is waited for, too.
            let _entered = runtime.enter();
            writing.run(note.intent);
            let _ = end.send(());
        };
        thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(run)
            .context("cannot start the thread that stores")?;
        Ok(Self { ended })
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// It has panicked.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<()> {
        (&mut self.ended).await.context("the thread that stores has panicked")
    }
}

/// A batch that was read from the spool.
struct Taken {
    number: RecordNo,
    received: At<ReferenceScale>,
    batch_zstd: Vec<u8>,
    /// `None` where it is none and was set aside.
    batch: Option<(Batch, Load)>,
}

impl Taken {
    /// What it brings into a group; one that is no batch takes memory, and its bit of the intent.
    fn load(&self) -> Load {
        let none = || Load { rows: 0, bytes: self.batch_zstd.len(), days: RangeInclusive::new(1, 0) };
        self.batch.as_ref().map_or_else(none, |(_, load)| load.clone())
    }
}

/// What a node's model has seen since it was saved.
struct Tail {
    first: RecordNo,
    since: Instant,
    node: SharedNode,
}

struct Writing {
    reader: Reader<Disk>,
    runtime: Handle,
    pipeline: Arc<Pipeline>,
    aside: Arc<Aside>,
    progress: Arc<Progress>,
    stopping: Stopping,
    /// Everything before it is in the store.
    stored: RecordNo,
    /// When the last group began.
    begun: Instant,
    /// When it was last looked after nodes that lie still.
    looked: Instant,
    /// Read, and of the next group.
    carried: Option<Taken>,
    tails: HashMap<(NodeName, BootId), Tail>,
}

impl Writing {
    fn run(mut self, intent: Option<Intent>) {
        // Where it is stopped, it goes on from its cursor another time.
        let _: Result<(), Stopped> = self.try_run(intent);
    }

    fn try_run(&mut self, intent: Option<Intent>) -> Result<(), Stopped> {
        self.show_stored_to_the_models()?;
        if let Some(intent) = intent {
            self.insert_again(intent)?;
        }
        loop {
            let group = self.gather()?;
            if let Some(first) = group.first() {
                // What may be missing before it is lost.
                self.stored = first.number;
                let intent = self.intend(&group)?;
                self.save(Some(&intent))?;
                self.insert(&group, &intent)?;
                // Among busy nodes, too, some lie still.
                if self.looked.elapsed() >= PAUSE {
                    self.save_idle();
                }
            } else if self.stopping.is_wanted() {
                self.save(None)?;
                return Ok(());
            } else {
                self.save_idle();
                self.save(None)?;
            }
        }
    }

    /// What the store has and the saved models have not seen.
    fn show_stored_to_the_models(&mut self) -> Result<(), Stopped> {
        let first = self.reader.position();
        while let Some(taken) = self.next_below(self.stored)? {
            if let Some((batch, _)) = &taken.batch {
                // What waits behind it came later, by some seconds.
                self.progress.waits_since(taken.received);
                self.recall(&[batch])?;
                self.show(taken.number, batch);
            }
        }
        self.progress.stored(self.stored);
        if first < self.stored {
            tracing::info!(
                batches = self.stored.0 - first.0,
                "clock models go on with batches that are stored and that their saved states have not seen"
            );
        }
        Ok(())
    }

    /// The group that was about to be inserted as the process before ended: the very same, but for what the ledger has of it. That is whole, be it
    /// by that process or by another aggregator since; of the others each table has the rows under the group's token, or takes them now.
    fn insert_again(&mut self, mut intent: Intent) -> Result<(), Stopped> {
        let mut group = Vec::new();
        while let Some(taken) = self.next_below(intent.end)? {
            group.push(taken);
        }
        tracing::info!(
            batches = group.len(),
            token = intent.token,
            "a group that was being stored as the aggregator ended is stored again"
        );
        if let Some(first) = group.first() {
            self.progress.waits_since(first.received);
        }
        let batches: Vec<(RecordNo, &Batch)> =
            group.iter().filter_map(|taken| taken.batch.as_ref().map(|(batch, _)| (taken.number, batch))).collect();
        let stored = self.stored_already(&batches.iter().map(|(_, batch)| *batch).collect::<Vec<_>>())?;
        for ((number, _), _) in batches.iter().zip(stored).filter(|(_, is_stored)| *is_stored) {
            if let Some(is_new) = self.place(*number).and_then(|place| intent.is_new.get_mut(place)) {
                *is_new = false;
            }
        }
        self.insert(&group, &intent)
    }

    /// The place of a record in the group behind what is stored.
    fn place(&self, number: RecordNo) -> Option<usize> {
        number.0.checked_sub(self.stored.0).and_then(|place| usize::try_from(place).ok())
    }

    /// The next records that go together; none if nothing has come for a while.
    fn gather(&mut self) -> Result<Vec<Taken>, Stopped> {
        let (mut gathering, mut group) = (Gathering::new(Limits::default()), Vec::new());
        let mut until = None;
        while !gathering.is_full() {
            let Some(taken) = self.next()? else {
                let left = match until {
                    None if self.stopping.is_wanted() => return Ok(group),
                    None => IDLE,
                    Some(_) if self.stopping.is_wanted() => Duration::ZERO,
                    Some(until) => Instant::saturating_duration_since(&until, Instant::now()),
                };
                if left.is_zero() || !self.reader.wait(left) {
                    break;
                }
                continue;
            };
            let begin = group.first().map_or(taken.number, |first: &Taken| first.number);
            let follows = taken.number.0 == begin.0 + group.len() as u64;
            let fits = gathering.take(&taken.load());
            if !follows || !fits {
                self.carried = Some(taken);
                break;
            }
            if group.is_empty() {
                self.progress.waits_since(taken.received);
                let now = Instant::now();
                until = Some(now.max(self.begun + APART));
                self.begun = now;
            }
            group.push(taken);
        }
        Ok(group)
    }

    /// The next batch before `bound`, if there is one: there is none where the spool has lost it. What is behind such a loss is of the next group.
    fn next_below(&mut self, bound: RecordNo) -> Result<Option<Taken>, Stopped> {
        if self.carried.is_none() && self.reader.position() >= bound {
            return Ok(None);
        }
        match self.next()? {
            Some(taken) if taken.number >= bound => {
                self.carried = Some(taken);
                Ok(None)
            }
            next => Ok(next),
        }
    }

    /// The next batch, decoded; losses of the spool are counted and passed over.
    fn next(&mut self) -> Result<Option<Taken>, Stopped> {
        if let Some(carried) = self.carried.take() {
            return Ok(Some(carried));
        }
        loop {
            match self.reader.next() {
                Ok(Some(Item { first, content: Content::Record(record), .. })) => {
                    return self.taken(first, record).map(Some);
                }
                Ok(Some(lost)) => {
                    add(&self.pipeline.counters().batches_damaged, lost.records());
                    tracing::error!(
                        batches = lost.records(),
                        events = lost.weight,
                        "the spool's disk has lost batches that were acknowledged"
                    );
                }
                Ok(None) => return Ok(None),
                Err(error) => self.pause("the spool cannot be read", &error)?,
            }
        }
    }

    fn taken(&self, number: RecordNo, record: Vec<u8>) -> Result<Taken, Stopped> {
        // What is stored, or set aside, is read for the clocks only.
        let is_stored = number < self.stored;
        let (received, batch_zstd) = match record::decode(&record) {
            Ok((received, batch_zstd)) => (received, batch_zstd.to_vec()),
            Err(error) => {
                if !is_stored {
                    self.set_aside(Cause::Undecodable, &record, &error.to_string());
                }
                return Ok(Taken { number, received: At::from_ns(0), batch_zstd: record, batch: None });
            }
        };
        let batch = match unpanicked(|| self.pipeline.decode_any(&batch_zstd)) {
            Ok((batch, bytes)) => Some((load(&batch, bytes), batch)),
            Err(refusal) => {
                // It was looked at as it came, by another version perhaps.
                if !is_stored {
                    self.keep_refused(number, &batch_zstd, &refusal)?;
                }
                None
            }
        };
        Ok(Taken { number, received, batch_zstd, batch: batch.map(|(load, batch)| (batch, load)) })
    }

    /// Sets aside what cannot be decoded. What a later version can read, as after a rollback, is kept for it by all means: where there is no room, that
    /// is waited for.
    fn keep_refused(&self, number: RecordNo, batch_zstd: &[u8], refusal: &Refusal) -> Result<(), Stopped> {
        let (cause, why) = (Cause::of(refusal), refusal.to_string());
        if cause != Cause::Later {
            self.pipeline.count_refusal(number.0, refusal);
            self.set_aside(cause, batch_zstd, &why);
            return Ok(());
        }
        loop {
            let trouble = match self.aside.keep(&cause.name_of(batch_zstd), batch_zstd, &why) {
                Ok(Some(file)) => {
                    count(&self.pipeline.counters().batches_later);
                    tracing::warn!(why, file = %file.display(), "an acknowledged batch is kept for a later version");
                    return Ok(());
                }
                Ok(None) => "there is no more room: start that version, or give more --spool-bytes".to_owned(),
                Err(error) => error.to_string(),
            };
            self.pause("an acknowledged batch is for a later version, and cannot be set aside", &trouble)?;
        }
    }

    /// Which of the group are new, by the ledger, and what the group is known by.
    fn intend(&self, group: &[Taken]) -> Result<Intent, Stopped> {
        let batches: Vec<&Batch> =
            group.iter().filter_map(|taken| taken.batch.as_ref().map(|(batch, _)| batch)).collect();
        let mut stored = self.stored_already(&batches)?.into_iter();
        let mut seen = HashSet::new();
        let mut new = Vec::new();
        let mut is_new = |taken: &Taken| {
            let Some((batch, _)) = &taken.batch else { return false };
            // One that is in the group twice goes in once.
            let is_new = !stored.next().unwrap_or(false) && seen.insert(batch.id());
            if is_new {
                new.push(batch.id().to_string());
            } else {
                count(&self.pipeline.counters().batches_known);
            }
            is_new
        };
        let is_new: Vec<bool> = group.iter().map(&mut is_new).collect();
        let end = group.last().map_or(self.stored, |last| RecordNo(last.number.0 + 1));
        Ok(Intent { end, is_new, token: token(&new) })
    }

    fn stored_already(&self, batches: &[&Batch]) -> Result<Vec<bool>, Stopped> {
        loop {
            let asked = timeout(ANSWER_WITHIN, self.pipeline.stored(batches));
            let answer = self.runtime.block_on(self.unless_stopped(asked))?;
            let why = match answer {
                Ok(Ok(stored)) => {
                    self.pipeline.heard_of_the_store(Ok(()));
                    return Ok(stored);
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {} s", ANSWER_WITHIN.as_secs()),
            };
            tracing::debug!(why, "the store does not tell which batches it has");
            self.pipeline.heard_of_the_store(Err(&why));
            self.rest()?;
        }
    }

    /// Stores the new ones of a group, whose intent is saved, and shows the others to the clocks.
    fn insert(&mut self, group: &[Taken], intent: &Intent) -> Result<(), Stopped> {
        let batches: Vec<&Batch> =
            group.iter().filter_map(|taken| taken.batch.as_ref().map(|(batch, _)| batch)).collect();
        self.recall(&batches)?;
        let (mut prepared, mut origins) = (Vec::new(), BTreeMap::new());
        for taken in group {
            let Some((batch, _)) = &taken.batch else { continue };
            let is_new = |place: &usize| intent.is_new.get(*place).copied().unwrap_or(false);
            let Some(place) = self.place(taken.number).filter(is_new) else {
                self.show(taken.number, batch);
                continue;
            };
            // A node whose batches are not all here may have been elsewhere.
            self.recall(&[batch])?;
            match unpanicked(|| self.pipeline.prepare(batch)) {
                Ok(rows) => {
                    prepared.push((place, rows));
                    origins.insert(place, taken);
                }
                Err(refusal) => {
                    self.pipeline.count_refusal(batch.number, &refusal);
                    // Nothing of it is waited for: the node's model may be saved.
                    self.pipeline.give_up(&batch.id());
                    self.set_aside(Cause::Unstorable, &taken.batch_zstd, &refusal.to_string());
                }
            }
        }
        self.store(prepared, &origins, &intent.token)?;
        self.stored = intent.end;
        self.progress.stored(self.stored);
        Ok(())
    }

    /// Stores batches of a group, each with its place in it.
    fn store(
        &mut self,
        prepared: Vec<(usize, Prepared)>,
        origins: &BTreeMap<usize, &Taken>,
        token: &str,
    ) -> Result<(), Stopped> {
        if prepared.is_empty() {
            return Ok(());
        }
        let nodes: Vec<(BatchId, SharedNode)> =
            prepared.iter().map(|(_, prepared)| (prepared.id().clone(), prepared.node().clone())).collect();
        let stored = self.pipeline.store_group(token, prepared, self.stopping.clone().wanted());
        let stored = self.runtime.block_on(stored).ok_or(Stopped)?;
        count(&self.pipeline.counters().groups_stored);
        for (taken, why) in stored.refused.iter().filter_map(|(place, why)| Some((origins.get(place)?, why))) {
            self.set_aside(Cause::Unstorable, &taken.batch_zstd, why);
        }
        let saved: HashSet<usize> = stored.states_saved.into_iter().collect();
        for ((id, node), (place, taken)) in nodes.into_iter().zip(origins) {
            if saved.contains(place) {
                self.tails.remove(&(id.node, id.boot));
            } else {
                self.has_seen(taken.number, &id, node);
            }
        }
        Ok(())
    }

    /// Sees to it that the nodes of `batches` are known, side by side.
    fn recall(&self, batches: &[&Batch]) -> Result<(), Stopped> {
        let mut nodes = HashSet::new();
        let firsts = batches.iter().map(|batch| batch.id()).filter(|id| nodes.insert((id.node.clone(), id.boot)));
        let firsts: Vec<BatchId> = firsts.collect();
        let recalled = join_all(firsts.iter().map(|id| self.pipeline.recall(id)));
        self.runtime.block_on(self.unless_stopped(recalled)).map(drop)
    }

    /// Waits for an answer of the store; when it is to end, not much longer.
    async fn unless_stopped<T>(&self, answer: impl Future<Output = T>) -> Result<T, Stopped> {
        let long_after_the_wish = async {
            self.stopping.clone().wanted().await;
            tokio::time::sleep(PAUSE).await;
        };
        tokio::select! {
            answer = answer => Ok(answer),
            () = long_after_the_wish => Err(Stopped),
        }
    }

    /// Shows the clock of its node a batch whose rows are in the store.
    fn show(&mut self, number: RecordNo, batch: &Batch) {
        match unpanicked(|| Ok(self.pipeline.observe(batch))) {
            Ok(node) => self.has_seen(number, &batch.id(), node),
            Err(refusal) => {
                self.pipeline.count_refusal(batch.number, &refusal);
                self.pipeline.give_up(&batch.id());
            }
        }
    }

    /// A node's model has seen a batch and is not saved yet.
    fn has_seen(&mut self, number: RecordNo, id: &BatchId, node: SharedNode) {
        if node.lock().has_model() {
            let key = (id.node.clone(), id.boot);
            self.tails.entry(key).or_insert_with(|| Tail { first: number, since: Instant::now(), node });
        }
    }

    /// Saves the models of nodes that have not sent anything for a while: what they have seen would be kept in the spool for ever.
    fn save_idle(&mut self) {
        let now = Instant::now();
        self.looked = now;
        let is_old = |tail: &&Tail| now.saturating_duration_since(tail.since) >= LONGEST_SAVE;
        let old = self.tails.iter().filter(|(_, tail)| is_old(tail)).take(IDLE_AT_ONCE);
        let old: Vec<(BatchId, SharedNode)> = old
            .map(|((node, boot), tail)| (BatchId { node: node.clone(), boot: *boot, number: 0 }, tail.node.clone()))
            .collect();
        if old.is_empty() {
            return;
        }
        for index in self.runtime.block_on(self.pipeline.save_idle(&old)) {
            let (id, _) = &old[index];
            self.tails.remove(&(id.node.clone(), id.boot));
        }
    }

    /// Saves how far the store has come, and what is about to be inserted.
    fn save(&mut self, intent: Option<&Intent>) -> Result<(), Stopped> {
        let seen = self.tails.values().map(|tail| tail.first).min().unwrap_or(self.stored);
        self.reader.acknowledge_below(seen.min(self.stored));
        let note = Note { stored: self.stored, intent: intent.cloned() }.encode();
        while let Err(error) = self.reader.save(&note) {
            self.pause("the spool's progress cannot be saved", &error)?;
        }
        Ok(())
    }

    fn set_aside(&self, cause: Cause, batch_zstd: &[u8], why: &str) {
        let counters = self.pipeline.counters();
        match self.aside.keep(&cause.name_of(batch_zstd), batch_zstd, why) {
            Ok(Some(file)) => {
                count(&counters.batches_aside);
                tracing::error!(why, file = %file.display(), "an acknowledged batch will never be stored; it is set aside");
            }
            Ok(None) => {
                count(&counters.batches_aside_full);
                tracing::error!(
                    why,
                    "an acknowledged batch will never be stored, and there is no more room to set it aside: it is lost"
                );
            }
            Err(error) => {
                count(&counters.batches_aside_full);
                tracing::error!(why, %error, "an acknowledged batch will never be stored, and cannot be set aside: it is lost");
            }
        }
    }

    /// Something that may pass does not go.
    fn pause(&self, what: &'static str, error: &dyn std::fmt::Display) -> Result<(), Stopped> {
        tracing::warn!(%error, "{what}; trying again");
        self.rest()
    }

    fn rest(&self) -> Result<(), Stopped> {
        let stopping = self.stopping.clone();
        self.runtime.block_on(async {
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => Ok(()),
                () = stopping.wanted() => Err(Stopped),
            }
        })
    }
}

/// What goes into the store under one name: a batch's own for a batch alone, so that it is known wherever it comes.
fn token(ids: &[String]) -> String {
    match ids {
        [id] => id.clone(),
        ids => format!("group/{:032x}", xxh3_128(ids.join("\n").as_bytes())),
    }
}

fn load(batch: &Batch, bytes: usize) -> Load {
    let rows = batch.waits.len()
        + batch.open_waits.len()
        + batch.short_waits.len()
        + batch.messages.at.len()
        + batch.goroutine_states.len()
        + batch.process_states.len()
        + batch.tcp_sessions.len()
        + batch.stacks.len()
        + batch.symbols.len()
        + batch.probes.len();
    Load { rows, bytes, days: bucket::days(batch) }
}
