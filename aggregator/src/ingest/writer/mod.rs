//! From the spool into the store: one thread that reads, gathers groups, and inserts each of them as if there were no crashes.
//!
//! For each group, in the order of the spool:
//!
//! 1. they are claimed, and it is asked who else has claimed them: of aggregators that hold the same, one stores it. Which are in the store already,
//!    the ledger tells: those that were sent again, or that another one has stored;
//! 2. the **intent**, which records go in under which token, is saved with the cursor. After a crash the very same is inserted again, and ClickHouse
//!    knows it by the token;
//! 3. the others are shown to their nodes' clocks and become rows; each table's go in as one block, the ledger's last. Meanwhile the claims are
//!    renewed; where that fails for long, all is asked anew before anything more goes in.
//!
//! The cursor stays behind what is stored: at the first batch that a node's saved clock model has not seen. From there the next process shows
//! the batches to the models again, so that these are as if nobody had been interrupted.

mod reading;
mod turns;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use futures_util::future::join_all;
use syncline_event::{Batch, BatchId};
use syncline_spool::{Disk, Reader, RecordNo};
use syncline_timebase::{BootId, NodeName};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use xxhash_rust::xxh3::xxh3_128;

use super::aside::{Aside, Cause};
use super::claims::Claims;
use super::contest::Way;
use super::note::{Intent, Note};
use super::spooled::Progress;
use crate::counters::count;
use crate::pipeline::{LONGEST_SAVE, Pipeline, Prepared, SharedNode, Storing, unpanicked};
use crate::stopping::Stopping;
use reading::Taken;
use turns::{Ways, all_looked_for};

/// Pause before the disk or the store is tried again.
const PAUSE: Duration = Duration::from_secs(1);
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
        (aside, progress, claims): (Arc<Aside>, Arc<Progress>, Claims),
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
            claims,
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

/// What a node's model has seen since it was saved.
struct Tail {
    first: RecordNo,
    last: RecordNo,
    since: Instant,
    node: SharedNode,
}

struct Writing {
    reader: Reader<Disk>,
    runtime: Handle,
    pipeline: Arc<Pipeline>,
    aside: Arc<Aside>,
    progress: Arc<Progress>,
    claims: Claims,
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
        if let Err(Stopped) = self.try_run(intent) {
            // It goes on from its cursor another time; until then others need not wait for it.
            self.withdraw();
        }
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
                let ways = self.our_turn(&group)?;
                let intent = self.intend(&group, &ways);
                self.save(Some(&intent))?;
                self.insert(&group, &intent, &ways)?;
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
        // Something of it that the process before has sent may go in yet.
        self.claims.doubt();
        let ways = self.our_turn(&group)?;
        for (place, _) in ways.iter().filter(|(_, way)| **way == Way::Known) {
            if let Some(is_new) = intent.is_new.get_mut(*place) {
                *is_new = false;
            }
        }
        self.insert(&group, &intent, &all_looked_for(ways))
    }

    /// The place of a record in the group behind what is stored.
    fn place(&self, number: RecordNo) -> Option<usize> {
        number.0.checked_sub(self.stored.0).and_then(|place| usize::try_from(place).ok())
    }

    /// Which of the group are new, and what the group is known by.
    fn intend(&self, group: &[Taken], ways: &Ways) -> Intent {
        let mut seen = HashSet::new();
        let mut new = Vec::new();
        let mut is_new = |taken: &Taken| {
            let Some((batch, _)) = &taken.batch else { return false };
            let place = self.place(taken.number);
            let is_known = place.and_then(|place| ways.get(&place)) == Some(&Way::Known);
            // One that is in the group twice goes in once.
            let is_new = !is_known && seen.insert(batch.id());
            if is_new {
                new.push((place.unwrap_or_default(), batch.id().to_string()));
            } else {
                count(&self.pipeline.counters().batches_known);
            }
            is_new
        };
        let is_new: Vec<bool> = group.iter().map(&mut is_new).collect();
        let end = group.last().map_or(self.stored, |last| RecordNo(last.number.0 + 1));
        Intent { end, is_new, token: token(&new) }
    }

    /// Stores the new ones of a group, whose intent is saved, and shows the others to the clocks.
    fn insert(&mut self, group: &[Taken], intent: &Intent, ways: &Ways) -> Result<(), Stopped> {
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
        self.store(prepared, (group, &origins), &intent.token, ways)?;
        self.claims.done();
        self.stored = intent.end;
        self.progress.stored(self.stored);
        Ok(())
    }

    /// Stores batches of a group, each with its place in it.
    fn store(
        &mut self,
        prepared: Vec<(usize, Prepared)>,
        (group, origins): (&[Taken], &BTreeMap<usize, &Taken>),
        token: &str,
        ways: &Ways,
    ) -> Result<(), Stopped> {
        if prepared.is_empty() {
            return Ok(());
        }
        let nodes: Vec<(BatchId, SharedNode)> =
            prepared.iter().map(|(_, prepared)| (prepared.id().clone(), prepared.node().clone())).collect();
        let storing = self.store_in_turn(Storing::new(token, prepared), group, ways)?;
        let stored = self.runtime.block_on(self.pipeline.finish(storing));
        count(&self.pipeline.counters().groups_stored);
        for (taken, why) in stored.refused.iter().filter_map(|(place, why)| Some((origins.get(place)?, why))) {
            self.set_aside(Cause::Unstorable, &taken.batch_zstd, why);
        }
        let saved: HashSet<usize> = stored.states_saved.into_iter().collect();
        for ((id, node), (place, taken)) in nodes.into_iter().zip(origins) {
            self.has_seen(taken.number, &id, node);
            if saved.contains(place) {
                self.is_saved(&(id.node, id.boot), taken.number);
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
            let new = Tail { first: number, last: number, since: Instant::now(), node };
            let tail = self.tails.entry(key).or_insert(new);
            tail.last = tail.last.max(number);
        }
    }

    /// A node's model is saved as it was after this record. Others of the node may have been shown to it since.
    fn is_saved(&mut self, node: &(NodeName, BootId), number: RecordNo) {
        let Some(tail) = self.tails.get_mut(node) else { return };
        if tail.last <= number {
            self.tails.remove(node);
        } else {
            tail.first = tail.first.max(RecordNo(number.0 + 1));
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
        let settled = seen.min(self.stored);
        self.progress.settled(settled);
        self.reader.acknowledge_below(settled);
        let note = Note { stored: self.stored, intent: intent.cloned() }.encode();
        while let Err(error) = self.reader.save(&note) {
            self.pause("the spool's progress cannot be saved", &error)?;
        }
        Ok(())
    }

    /// Something that may pass does not go.
    fn pause(&self, what: &'static str, error: &dyn std::fmt::Display) -> Result<(), Stopped> {
        tracing::warn!(%error, "{what}; trying again");
        self.rest(PAUSE)
    }

    fn rest(&self, pause: Duration) -> Result<(), Stopped> {
        let stopping = self.stopping.clone();
        self.runtime.block_on(async {
            tokio::select! {
                () = tokio::time::sleep(pause) => Ok(()),
                () = stopping.wanted() => Err(Stopped),
            }
        })
    }
}

/// What goes into the store under one name: a batch's own for a batch alone, so that it is known wherever it comes. Of several their places count, too:
/// where an insert is taken apart each goes on under the name and its place.
fn token(ids: &[(usize, String)]) -> String {
    match ids {
        [(_, id)] => id.clone(),
        ids => {
            let told: Vec<String> = ids.iter().map(|(place, id)| format!("{place} {id}")).collect();
            format!("group/{:032x}", xxh3_128(told.join("\n").as_bytes()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_known_by_its_batches_and_their_places_and_a_batch_alone_by_itself() {
        let of = |ids: &[(usize, &str)]| {
            token(&ids.iter().map(|(place, id)| (*place, (*id).to_owned())).collect::<Vec<_>>())
        };
        assert_eq!((of(&[(0, "n/1/7")]), of(&[(4, "n/1/7")])), ("n/1/7".to_owned(), "n/1/7".to_owned()));
        let group = of(&[(0, "n/1/7"), (1, "n/1/8")]);
        assert_eq!(group, of(&[(0, "n/1/7"), (1, "n/1/8")]));
        // Behind one that is known and goes in no more they are other places, under which they would be taken apart.
        assert_ne!(group, of(&[(1, "n/1/7"), (2, "n/1/8")]));
        assert_ne!(group, of(&[(0, "n/1/7"), (1, "n/1/9")]));
    }
}
