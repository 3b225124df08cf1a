//! A group of batches on its way into the store, which can be interrupted and looked at again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

use futures_util::future::try_join_all;
use syncline_store::{Block, Mark, StoreError};

use super::sink::{Ended, Job, Piece};
use super::{Pipeline, Prepared, State};
use crate::counters::{add, count};

/// A group of prepared batches that is being stored.
#[derive(Debug)]
pub(crate) struct Storing {
    job: Job,
    group: Vec<(usize, Prepared)>,
    /// Places of those that somebody else has stored meanwhile.
    stored_by_others: HashSet<usize>,
}

/// A group of batches that is in the store.
#[derive(Debug)]
pub(crate) struct StoredGroup {
    /// Those that the store will never take, by their places, and why.
    pub(crate) refused: BTreeMap<usize, String>,
    /// Places of those after which the model of their node is saved.
    pub(crate) states_saved: Vec<usize>,
}

impl Storing {
    /// Batches that go in together under `token`. Each comes with its place in what the token stands for, which is the same whenever it is tried,
    /// whatever else is left out by then.
    pub(crate) fn new(token: &str, mut group: Vec<(usize, Prepared)>) -> Self {
        let blocks = group.iter_mut().flat_map(|(index, prepared)| {
            let blocks = std::mem::take(&mut prepared.blocks);
            let index = *index;
            blocks.into_iter().map(move |block| Piece { index, block })
        });
        let blocks: Vec<Piece> = blocks.collect();
        let ledger = group.iter().map(|(index, prepared)| Piece { index: *index, block: prepared.ledger.clone() });
        let job = Job::new(token, blocks, ledger.collect());
        Self { job, group, stored_by_others: HashSet::new() }
    }

    /// How many inserts went in so far.
    pub(crate) fn inserted(&self) -> u64 {
        self.job.inserted()
    }

    /// Whether the store may still be about an insert whose answer never came.
    pub(crate) fn may_be_under_way(&self) -> bool {
        self.job.may_be_under_way()
    }

    /// These are in the store by somebody else.
    pub(crate) fn leave_out(&mut self, places: &HashSet<usize>) {
        self.job.leave_out(|place, _| places.contains(&place));
        self.stored_by_others.extend(places);
    }
}

impl Pipeline {
    /// Looks which tables have rows of the batches at these places, and leaves them out there.
    ///
    /// # Errors
    /// The store does not tell.
    pub(crate) async fn leave_out_what_is_there(
        &self,
        storing: &mut Storing,
        places: &HashSet<usize>,
    ) -> Result<(), StoreError> {
        let mut marks: HashMap<&str, Vec<&Mark>> = HashMap::new();
        for (_, block) in storing.job.left().filter(|(place, _)| places.contains(place)) {
            marks.entry(block.table()).or_default().extend(block.mark());
        }
        let asked = marks.iter().map(async |(table, marks)| {
            let found = self.store.marks_found(&self.region, table, marks).await?;
            Ok::<_, StoreError>(((*table).to_owned(), found))
        });
        let found: HashMap<String, HashSet<Mark>> = try_join_all(asked).await?.into_iter().collect();
        let is_there = |place: usize, block: &Block| {
            let found = block.mark().zip(found.get(block.table()));
            places.contains(&place) && found.is_some_and(|(mark, found)| found.contains(mark))
        };
        storing.job.leave_out(is_there);
        Ok(())
    }

    /// Goes on storing, trying again until all is in or trying is `of_no_use` any more. No insert begins unless it `may_begin`.
    pub(crate) async fn go_on(
        &self,
        storing: &mut Storing,
        of_no_use: impl Future<Output = ()>,
        may_begin: impl Fn() -> bool,
    ) -> Ended {
        self.sink.go_on(&mut storing.job, of_no_use, may_begin).await
    }

    /// All of it is in the store, or never will be.
    pub(crate) async fn finish(&self, storing: Storing) -> StoredGroup {
        let Storing { job, group, stored_by_others } = storing;
        let refused = job.refused();
        // Those that are refused, too: they never will be stored.
        group.iter().for_each(|(_, prepared)| prepared.node.lock().settle(prepared.id.number));
        let mut states = Vec::new();
        for (index, prepared) in group.into_iter().filter(|(index, _)| !refused.contains_key(index)) {
            self.settler.settle(prepared.settlement);
            if stored_by_others.contains(&index) {
                count(&self.counters.batches_known);
            } else {
                let now = Instant::now();
                self.known.believed().stored(&prepared.stack_rows, &prepared.symbols, &prepared.stacks, now);
                self.processes_seen.stored(&prepared.processes, now);
                count(&self.counters.batches_stored);
                add(&self.counters.events_stored, prepared.events);
            }
            states.extend(prepared.state.map(|block| State { index, id: prepared.id, block, node: prepared.node }));
        }
        StoredGroup { refused, states_saved: self.save_states(states).await }
    }
}
