//! The way of a batch behind the door: checked, shown to its node's clock, aligned, turned into rows, stored.
//!
//! ```text
//! bytes -> Batch -> NodeClock (once) -> Aligned -> rows, a block a table -> Sink -> ClickHouse
//!       decode   sight                align      rows                     sink
//!                  ▲ recall: a node that is not known goes on with the state that was saved of its model
//! ```
//!
//! Exactly once: every block carries the identity of the batch, or of the group of batches, as its insert token, so one that
//! is tried again after a part of its tables were written adds only what is missing. Rows of one batch depend on nothing
//! that two attempts could disagree about except the clock model, and there the first attempt wins. Whether a batch has come before, in
//! whichever group, the ledger tells (`ingest/writer`).

pub(crate) mod bucket;
mod claims;
mod drift;
mod known;
mod look;
mod nodes;
mod outage;
mod revision;
mod rows;
#[cfg(test)]
pub(crate) mod samples;
mod seen;
mod settler;
mod sighting;
mod sink;
mod states;
mod storing;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use syncline_clock::{ClaimVerdict, NodeClock, Tolerance};
use syncline_event::{Batch, BatchId};
use syncline_proto::WireError;
use syncline_store::rows::ClockClaimRows;
use syncline_store::{Block, LedgerKey, Settlement, Store, StoreError};
use syncline_timebase::{Mono, Offset, Reference as ReferenceScale};
use syncline_timeline::place;
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_128;

use crate::counters::{Counters, LossCounts, add, count};
use crate::links::Links;
use crate::reference::Reference;
use crate::utc::{UtcClock, UtcOfReference};
use known::{Known, ToldStack};
use nodes::{Freshness, Node, Nodes};
use outage::Outage;
use seen::Seen;
use settler::Settler;
use sighting::{ReferenceChange, Sighting};
use sink::Sink;
use states::States;

pub(crate) use look::NodeLook;
pub(crate) use nodes::{FIRST_SAVE, LONGEST_SAVE, SharedNode};
pub(crate) use sink::Ended;
pub(crate) use sink::is_fault_of_the_rows;
pub(crate) use storing::Storing;

/// A node's row in `nodes` is written again after this long.
const INTRODUCE_EVERY: Duration = Duration::from_secs(30);

/// What is in the store is believed to be there for so long, then it is looked for.
const SEEN_FOR: Duration = Duration::from_secs(3_600);
/// What is told anew in time anyway is believed to be there until then.
const SEEN_LONG: Duration = Duration::from_secs(7 * 86_400);

/// What the pipeline may hold and assume.
#[derive(Clone, Copy, Debug)]
pub struct PipelineConfig {
    /// What bounds assume of oscillators and paths.
    pub tolerance: Tolerance,
    /// Clocks kept, one per node and boot.
    pub nodes: usize,
    /// A clock unused for so long is forgotten.
    pub idle: Duration,
    /// Stacks, symbols and processes remembered as stored, of each at most so many.
    pub seen: usize,
    /// Inserts at once.
    pub inserts: usize,
}

impl Default for PipelineConfig {
    fn default() -> Self {
        Self {
            tolerance: Tolerance::default(),
            nodes: 100_000,
            idle: Duration::from_secs(3_600),
            seen: 1 << 20,
            inserts: 16,
        }
    }
}

/// Why a batch will never be stored.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It cannot be read, or contradicts itself.
    #[error(transparent)]
    Undecodable(#[from] WireError),
    /// The message around it speaks of another batch.
    #[error("the message says batch {outer}, the batch in it says {inner}")]
    OtherNumber {
        /// Number beside the batch.
        outer: u64,
        /// Number in the batch.
        inner: u64,
    },
    /// It was sent to the wrong aggregator.
    #[error(
        "the batch is of region {found:?}, this is the aggregator of region {here:?}: set the agent's --region, or its --aggregator"
    )]
    OtherRegion {
        /// Region of the batch.
        found: String,
        /// Region of this aggregator.
        here: Arc<str>,
    },
    /// Its rows do not fit the tables.
    #[error("the batch cannot become rows: {0}")]
    Rows(#[from] StoreError),
    /// We are broken.
    #[error("the aggregator failed on this batch (a defect, please report it): {0}")]
    Defect(String),
}

/// What a batch makes us do may be a defect of ours; the ones behind it are to be stored all the same.
pub(crate) fn unpanicked<T>(work: impl FnOnce() -> Result<T, Refusal>) -> Result<T, Refusal> {
    let defect = |panic: Box<dyn std::any::Any + Send>| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Refusal::Defect(text.unwrap_or("a panic").to_owned())
    };
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(defect(panic)))
}

/// Batches of one region into one store.
#[derive(Debug)]
pub struct Pipeline {
    region: Arc<str>,
    reference: Reference,
    links: Arc<Links>,
    utc: UtcClock,
    config: PipelineConfig,
    store: Store,
    nodes: Nodes,
    known: Known,
    processes_seen: Seen,
    sink: Sink,
    states: States,
    outage: Arc<Outage>,
    settler: Settler,
    counters: Arc<Counters>,
    losses: LossCounts,
}

/// A batch as blocks, ready to be stored.
#[derive(Debug)]
pub struct Prepared {
    id: BatchId,
    events: u64,
    blocks: Vec<Block>,
    /// To be stored behind all of them.
    ledger: Block,
    stacks: Vec<ToldStack>,
    stack_rows: Vec<u64>,
    symbols: Vec<u64>,
    processes: Vec<u64>,
    node: SharedNode,
    /// The state of the node's clock model after the batch, where it is to be saved.
    state: Option<Block>,
    /// Where rows of earlier batches lie by now.
    settlement: Settlement,
}

/// The state of a node's clock model, as it is to be saved.
struct State {
    index: usize,
    /// The batch after which it is.
    id: BatchId,
    block: Block,
    node: SharedNode,
}

impl Prepared {
    /// Identity of the batch.
    pub fn id(&self) -> &BatchId {
        &self.id
    }

    /// The node, as it is after the batch.
    pub(crate) fn node(&self) -> &SharedNode {
        &self.node
    }
}

impl Pipeline {
    /// A pipeline of `region` into `store`, within an async runtime. `reference` stamps what has no better time, and `links`
    /// lead to it from others.
    pub(crate) fn new(
        region: Arc<str>,
        (reference, links): (Reference, Arc<Links>),
        utc: UtcClock,
        store: Store,
        config: PipelineConfig,
        counters: Arc<Counters>,
    ) -> Self {
        let outage = Arc::<Outage>::default();
        Self {
            settler: Settler::spawn(Arc::clone(&region), store.clone(), Arc::clone(&counters)),
            region,
            reference,
            links,
            utc,
            config,
            store: store.clone(),
            nodes: Nodes::new(config.tolerance, config.nodes),
            known: Known::new(store.clone(), config.seen, Arc::clone(&counters)),
            processes_seen: Seen::new(config.seen, SEEN_LONG),
            states: States::new(store.clone(), Arc::clone(&outage)),
            sink: Sink::new(store, config.inserts, Arc::clone(&outage), Arc::clone(&counters)),
            outage,
            counters,
            losses: LossCounts::default(),
        }
    }

    /// What happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How long inserts into the store took.
    pub(crate) fn insert_durations(&self) -> syncline_metrics::Durations {
        self.sink.insert_durations()
    }

    /// The region whose batches these are.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// What agents told that they lost.
    pub fn losses(&self) -> &LossCounts {
        &self.losses
    }

    /// The clocks of the first `most` nodes by name, and how many nodes there are.
    pub(crate) fn look(&self, most: usize, now: Instant) -> (Vec<NodeLook>, usize) {
        self.nodes.look(most, now)
    }

    /// UTC by the region's reference, if anybody claims to know.
    pub(crate) fn utc_now(&self) -> Option<UtcOfReference> {
        self.utc.utc_of(&self.reference)
    }

    /// Nodes whose clocks are kept.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Decodes a batch. Takes CPU, not time.
    ///
    /// # Errors
    /// The batch will never be stored, and why.
    pub fn decode(&self, number: u64, batch_zstd: &[u8]) -> Result<Batch, Refusal> {
        let (batch, _) = self.decode_any(batch_zstd)?;
        if batch.number != number {
            return Err(Refusal::OtherNumber { outer: number, inner: batch.number });
        }
        Ok(batch)
    }

    /// Decodes a batch of any number, and tells how many bytes it has without compression. Takes CPU, not time.
    ///
    /// # Errors
    /// The batch will never be stored, and why.
    pub fn decode_any(&self, batch_zstd: &[u8]) -> Result<(Batch, usize), Refusal> {
        let (batch, bytes) = syncline_proto::decode_sized(batch_zstd)?;
        if batch.origin.region != *self.region {
            return Err(Refusal::OtherRegion { found: batch.origin.region, here: Arc::clone(&self.region) });
        }
        Ok((batch, bytes))
    }

    /// Where the ledger has a batch.
    pub(crate) fn ledger_key(batch: &Batch) -> LedgerKey {
        rows::ledger_key(batch)
    }

    /// The store answered, or why it did not: what people are told once of an outage, however often it is asked.
    pub(crate) fn heard_of_the_store(&self, answer: Result<(), &str>) {
        match answer {
            Ok(()) => self.outage.succeeded(self.store.shown_url(), Instant::now()),
            Err(why) => self.outage.failed(self.store.shown_url(), why, Instant::now()),
        }
    }

    /// Sees to it that the node of `id` is known with all that led to that batch, if need be from what another aggregator left of
    /// its clock model: waits for the store where batches are missing. A model that has not seen them might be carried over a
    /// freeze of all clocks that their probes showed.
    pub async fn recall(&self, id: &BatchId) {
        let newest = self.nodes.newest(id);
        if newest.is_some_and(|newest| id.number <= newest.saturating_add(1)) {
            return;
        }
        let Some(state) = self.states.recall(&self.region, id).await else { return };
        if newest.is_some_and(|newest| state.batch <= newest) {
            // They went nowhere, or their agent is another one.
            return;
        }
        if newest.is_some() {
            tracing::info!(node = %id.node, "it was with another aggregator meanwhile: its clock model goes on from there");
        }
        match Node::restore(&state, self.config.tolerance) {
            Ok(node) => {
                count(&self.counters.clock_states_recalled);
                self.count_evicted(self.nodes.settle_in(id, node, Instant::now()));
            }
            Err(why) => {
                count(&self.counters.clock_states_unusable);
                tracing::warn!(node = %id.node, %why, "the saved state of a clock model is of no use");
            }
        }
    }

    /// Counts and logs a refusal.
    pub fn count_refusal(&self, number: u64, refusal: &Refusal) {
        tracing::warn!(number, why = %refusal, "batch refused");
        count(match refusal {
            Refusal::OtherRegion { .. } => &self.counters.batches_other_region,
            Refusal::Rows(_) | Refusal::Defect(_) => &self.counters.batches_unstorable,
            Refusal::Undecodable(_) | Refusal::OtherNumber { .. } => &self.counters.batches_undecodable,
        });
    }

    /// Saves the models of nodes that lie still, as they are after the newest batch of each, which are stored. Gives the places of those that are
    /// saved.
    pub(crate) async fn save_idle(&self, nodes: &[(BatchId, SharedNode)]) -> Vec<usize> {
        let state = |(index, (id, node)): (usize, &(BatchId, SharedNode))| {
            let state = node.lock().state_now(Instant::now())?;
            let id = BatchId { number: state.batch, ..id.clone() };
            let block = rows::state(&self.region, &id, state).into_block().ok()?;
            Some(State { index, id, block, node: node.clone() })
        };
        let states: Vec<State> = nodes.iter().enumerate().filter_map(state).collect();
        self.save_states(states).await
    }

    /// Saves states, of batches that are stored, if those before them are too: what one of these told of its first sight
    /// would be lost if the model came back from here. Their token is made of which they are: of a group that is stored again others may be due.
    async fn save_states(&self, mut states: Vec<State>) -> Vec<usize> {
        states.retain(|state| {
            let mut node = state.node.lock();
            let is_early = node.has_unsettled_before(state.id.number);
            if is_early {
                node.state_is_unsaved();
            }
            !is_early
        });
        let (ids, blocks): (Vec<String>, Vec<Block>) =
            states.iter().map(|state| (state.id.to_string(), state.block.clone())).unzip();
        let token = format!("states/{:032x}", xxh3_128(ids.join(",").as_bytes()));
        if self.states.save(&blocks, &token).await {
            return states.into_iter().map(|state| state.index).collect();
        }
        states.iter().for_each(|state| state.node.lock().state_is_unsaved());
        Vec::new()
    }

    /// Of each of `stacks` whether the store has it with the names of all its addresses, so that it need not be told.
    pub async fn knows(&self, stacks: &[u64]) -> Vec<bool> {
        self.known.knows(stacks).await
    }

    /// Forgets the clocks of nodes that are gone.
    pub fn forget_idle(&self) {
        self.count_evicted(self.nodes.forget_idle(self.config.idle, Instant::now()));
    }

    /// Aligns a batch and makes its rows. Takes CPU, not time. A node's batches must be prepared in their order.
    ///
    /// # Errors
    /// The batch will never be stored, and why.
    pub fn prepare(&self, batch: &Batch) -> Result<Prepared, Refusal> {
        let (shared, evicted) = self.nodes.of(&batch.id(), Instant::now());
        self.count_evicted(evicted);
        let now = Instant::now();
        let believed = self.known.believed();
        let (stacks, symbols) = (believed.untold_stacks(batch, now), believed.untold_symbols(batch, now));
        let processes = batch.processes.iter().map(|process| rows::processes_key(batch, process));
        let processes = self.processes_seen.missing(processes, now);
        let (mut blocks, settlement, state) = {
            let mut node = shared.lock();
            let (blocks, settlement) = self.node_blocks(batch, &mut node)?;
            let state = node
                .state_if_due(Instant::now())
                .map(|state| rows::state(&self.region, &batch.id(), state).into_block());
            (blocks, settlement, state.transpose()?)
        };
        blocks.extend(self.dictionary_blocks(batch, &stacks, &symbols)?);
        let untold: Vec<_> = processes.iter().map(|(place, _)| &batch.processes[*place]).collect();
        blocks.push(rows::processes(batch, &untold).into_block()?);
        blocks.retain(|block| !block.is_empty());
        Ok(Prepared {
            id: batch.id(),
            events: batch.waits.len() as u64,
            blocks,
            ledger: rows::ledger(batch).into_block()?,
            stacks: believed.unknown_stacks(batch, now),
            stack_rows: stacks.into_iter().map(|(_, id)| id).collect(),
            symbols: symbols.into_iter().map(|(_, key)| key).collect(),
            processes: processes.into_iter().map(|(_, key)| key).collect(),
            node: shared,
            state,
            settlement,
        })
    }

    /// Shows the node's clock a batch that is in the store already, and gives the node. A node's batches must be shown in their order.
    pub(crate) fn observe(&self, batch: &Batch) -> SharedNode {
        let (shared, evicted) = self.nodes.of(&batch.id(), Instant::now());
        self.count_evicted(evicted);
        let (sighting, freshness) = shared.lock().sight(batch, &self.links);
        shared.lock().settle(batch.number);
        self.count_sighting(&sighting, freshness);
        shared
    }

    /// A batch that was refused as it was prepared or shown is not coming.
    pub(crate) fn give_up(&self, id: &BatchId) {
        let (shared, evicted) = self.nodes.of(id, Instant::now());
        self.count_evicted(evicted);
        shared.lock().settle(id.number);
    }

    /// Rows that depend on the node's clock, and the counts; and what is to be settled of those before.
    fn node_blocks(&self, batch: &Batch, node: &mut Node) -> Result<(Vec<Block>, Settlement), StoreError> {
        let (sighting, freshness) = node.sight(batch, &self.links);
        self.count_sighting(&sighting, freshness);
        if freshness == Freshness::New {
            batch.losses.iter().for_each(|loss| self.losses.add(loss));
        }
        let aligned = syncline_timeline::align(&batch.waits, &node.clock);
        let open = syncline_timeline::align(&batch.open_waits, &node.clock);
        let messages = place(batch.messages.at.iter().copied(), &node.clock);
        let started = place(batch.tcp_sessions.iter().map(|session| session.first), &node.clock);
        let updated = place(batch.tcp_sessions.iter().map(|session| session.updated), &node.clock);
        let run = node.reference_run().unwrap_or_else(|| self.reference.run());
        let clock = &node.clock;
        let mut blocks = vec![
            rows::events(batch, &aligned, run).into_block()?,
            rows::open_waits(batch, &open, run).into_block()?,
            rows::short_waits(batch).into_block()?,
            rows::observations(batch, clock, run).into_block()?,
            rows::process_states(batch, clock, run).into_block()?,
            rows::goroutine_states(batch, clock, run).into_block()?,
            rows::losses(batch).into_block()?,
            rows::dropped_batches(batch).into_block()?,
            rows::messages(batch, &messages, run).into_block()?,
            rows::tcp_sessions(batch, &started, &updated, run).into_block()?,
            rows::tcp_losses(batch).into_block()?,
            rows::probes(batch, &sighting).into_block()?,
            rows::steps(batch, &sighting, |at| reference_offset(clock, at, batch)).into_block()?,
            rows::disruptions(batch, &sighting, |at| reference_offset(clock, at, batch)).into_block()?,
            rows::segments(batch, &sighting).into_block()?,
            self.claim_rows(batch, node).into_block()?,
        ];
        if node.is_to_be_introduced(Instant::now(), INTRODUCE_EVERY) {
            blocks.push(rows::node(batch, self.reference.now()).into_block()?);
        }
        Ok((blocks, rows::settlement(batch, &sighting)))
    }

    /// What the node says of its wall clock, judged. A claim that becomes false is told once.
    fn claim_rows(&self, batch: &Batch, node: &mut Node) -> ClockClaimRows {
        // What is known of UTC is of our reference; over Kafka come batches of nodes that probe another one.
        let is_of_ours = node.reference_run().is_none_or(|run| run == self.reference.run());
        let utc = if batch.claims.is_empty() || !is_of_ours { None } else { self.utc.utc_of(&self.reference) };
        let (clock, tolerance) = (&node.clock, self.config.tolerance.absolute);
        let judge = |claim| (claim, claims::judge(claim, utc, clock, tolerance));
        let judged: Vec<_> = batch.claims.iter().map(judge).collect();
        let rows = rows::claims(batch, &judged, |at| reference_offset(clock, at, batch));
        for (claim, verdict) in judged {
            if let ClaimVerdict::Contradicted { claimed_ns, measured_ns } = verdict {
                count(&self.counters.claims_contradicted);
                if node.is_newly_contradicted(claim.source) {
                    tracing::warn!(
                        node = %batch.origin.node, source = ?claim.source, ?claimed_ns, ?measured_ns,
                        "what the node says of its wall clock is false: REF - WALL by its claim, and as measured"
                    );
                }
            } else if verdict == ClaimVerdict::Consistent {
                node.is_not_contradicted(claim.source);
            }
        }
        rows
    }

    fn dictionary_blocks(
        &self,
        batch: &Batch,
        stacks: &[(usize, u64)],
        symbols: &[(usize, u64)],
    ) -> Result<[Block; 2], StoreError> {
        let stacks = stacks.iter().map(|(place, _)| &batch.stacks[*place]);
        let symbols = symbols.iter().map(|(place, _)| &batch.symbols[*place]);
        Ok([rows::stacks(stacks, self.reference.now()).into_block()?, rows::symbols(symbols).into_block()?])
    }

    fn count_sighting(&self, sighting: &Sighting, freshness: Freshness) {
        if freshness == Freshness::Repeated {
            return count(&self.counters.batches_repeated);
        }
        add(&self.counters.clock_samples_refused, sighting.refused);
        add(&self.counters.wall_steps, sighting.wall_steps.len() as u64);
        add(&self.counters.disruptions, sighting.disruptions as u64);
        add(&self.counters.disruptions_told, sighting.told.len() as u64);
        add(&self.counters.disruptions_refused, sighting.untrue as u64);
        add(&self.counters.pieces_unrevised, sighting.unrevised as u64);
        match sighting.reference {
            ReferenceChange::None => {}
            ReferenceChange::HandedOver => count(&self.counters.clock_models_handed_over),
            ReferenceChange::Anew => count(&self.counters.clock_models_begun_anew),
        }
    }

    fn count_evicted(&self, evicted: usize) {
        add(&self.counters.clocks_evicted, evicted as u64);
    }
}

/// REF - MONO by the model, or by the batch's own coarse idea where the model has none.
fn reference_offset(
    clock: &NodeClock,
    at: syncline_timebase::Instant<Mono>,
    batch: &Batch,
) -> Offset<Mono, ReferenceScale> {
    let estimate = clock.estimate(at);
    if estimate.hard.is_bounded() { estimate.offset } else { batch.coarse_reference }
}
