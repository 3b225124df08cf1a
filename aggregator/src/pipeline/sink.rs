//! Blocks into ClickHouse: side by side, bounded in number, tried again until they are in.

use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{Either, join_all, select};
use syncline_metrics::{Durations, Histogram};
use syncline_store::{Block, MAX_BLOCK_ROWS, Store, StoreError};
use tokio::sync::Semaphore;

use super::outage::Outage;
use crate::counters::{Counters, count};

/// Classes of how long an insert takes, s.
const INSERT_BOUNDS_S: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(crate) struct Sink {
    store: Store,
    inserts: Semaphore,
    outage: Arc<Outage>,
    counters: Arc<Counters>,
    took: Histogram,
}

impl Sink {
    pub(crate) fn new(store: Store, inserts: usize, outage: Arc<Outage>, counters: Arc<Counters>) -> Self {
        let took = Histogram::new(&INSERT_BOUNDS_S);
        Self { store, inserts: Semaphore::new(inserts.max(1)), outage, counters, took }
    }

    /// How long inserts took that went in, answers included.
    pub(crate) fn insert_durations(&self) -> Durations {
        self.took.read()
    }

    /// Goes on with a job: each table in one insert under its token, and when all of them are in, the ledger. No attempt begins unless it
    /// `may_begin`. One under way is always finished; further ones are not made once they are `of_no_use`.
    pub(crate) async fn go_on(
        &self,
        job: &mut Job,
        of_no_use: impl Future<Output = ()>,
        may_begin: impl Fn() -> bool,
    ) -> Ended {
        let mut of_no_use = pin!(of_no_use);
        loop {
            let ended = self.insert_all(job, of_no_use.as_mut(), &may_begin).await;
            if ended != Ended::Done {
                return ended;
            }
            let Some(mut ledger) = job.ledger.take() else { return Ended::Done };
            ledger.retain(|piece| !job.refused.contains_key(&piece.index));
            job.left = by_table(&job.token, ledger);
        }
    }

    async fn insert_all(
        &self,
        job: &mut Job,
        mut of_no_use: Pin<&mut impl Future<Output = ()>>,
        may_begin: &impl Fn() -> bool,
    ) -> Ended {
        let mut pause = FIRST_PAUSE;
        while !job.left.is_empty() {
            let count_before = job.left.len();
            let all_began = self.attempt(job, may_begin).await;
            if !all_began {
                return Ended::Lapsed;
            }
            // What was taken apart is new and is tried at once.
            if job.left.is_empty() || job.left.len() > count_before {
                continue;
            }
            let pausing = pin!(tokio::time::sleep(pause));
            if let Either::Left(_) = select(of_no_use.as_mut(), pausing).await {
                return Ended::Abandoned;
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Ended::Done
    }

    /// One attempt at each insert that is left, after which those are that are to be tried next. Whether all of them might begin.
    async fn attempt(&self, job: &mut Job, may_begin: &impl Fn() -> bool) -> bool {
        let mut all_began = true;
        let inserts = std::mem::take(&mut job.left).into_iter().map(|insert| self.insert(insert, may_begin));
        for (mut insert, inserted) in join_all(inserts).await {
            match inserted {
                None => {
                    all_began = false;
                    job.left.push(insert);
                }
                Some(Ok(())) => {
                    job.inserted += 1;
                    self.outage.succeeded(self.store.shown_url(), Instant::now());
                }
                Some(Err(error)) if is_fault_of_the_rows(&error) => match insert.apart() {
                    Ok(pieces) => job.left.extend(pieces),
                    Err(index) => {
                        tracing::error!(batch = insert.token, store = self.store.shown_url(), %error, "ClickHouse will never take this batch");
                        if job.refused.insert(index, format!("ClickHouse does not take it: {error}")).is_none() {
                            count(&self.counters.batches_unstorable);
                        }
                    }
                },
                Some(Err(error)) => {
                    count(&self.counters.insert_retries);
                    self.outage.failed(self.store.shown_url(), &error.to_string(), Instant::now());
                    insert.may_be_under_way |= error.may_be_under_way();
                    job.left.push(insert);
                }
            }
        }
        all_began
    }

    /// `None` where it might not begin.
    async fn insert(&self, insert: Insert, may_begin: &impl Fn() -> bool) -> (Insert, Option<Result<(), StoreError>>) {
        // Only a closed semaphore fails, and nobody closes this one.
        let _turn = self.inserts.acquire().await.ok();
        if !may_begin() {
            return (insert, None);
        }
        let began = Instant::now();
        let inserted = self.store.insert_together(&insert.blocks, &insert.token).await;
        if inserted.is_ok() {
            self.took.observe(began.elapsed());
        }
        (insert, Some(inserted))
    }
}

/// How far a job has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All is in the store.
    Done,
    /// Nobody waits for it any more.
    Abandoned,
    /// It might not go on.
    Lapsed,
}

/// Rows that are to be stored together.
#[derive(Debug)]
pub(crate) struct Job {
    token: String,
    left: Vec<Insert>,
    /// How many inserts went in.
    inserted: u64,
    /// What comes last, until it is its turn.
    ledger: Option<Vec<Piece>>,
    /// What the store will never take, by the places of the batches, and why: it is left out of the ledger.
    refused: BTreeMap<usize, String>,
}

impl Job {
    pub(crate) fn new(token: &str, pieces: Vec<Piece>, ledger: Vec<Piece>) -> Self {
        let (left, ledger) = (by_table(token, pieces), Some(ledger));
        Self { token: token.to_owned(), left, inserted: 0, ledger, refused: BTreeMap::new() }
    }

    /// How many inserts went in so far.
    pub(crate) fn inserted(&self) -> u64 {
        self.inserted
    }

    /// Whether the store may still be about an insert whose answer never came.
    pub(crate) fn may_be_under_way(&self) -> bool {
        self.left.iter().any(|insert| insert.may_be_under_way)
    }

    pub(crate) fn refused(self) -> BTreeMap<usize, String> {
        self.refused
    }

    /// What is left, but for the ledger.
    pub(crate) fn left(&self) -> impl Iterator<Item = (usize, &Block)> {
        self.left.iter().flat_map(|insert| insert.places.iter().copied().zip(&insert.blocks))
    }

    /// Leaves out of what is left what is in the store. The tokens stay: a table that has one's block has the other rows, too.
    pub(crate) fn leave_out(&mut self, is_stored: impl Fn(usize, &Block) -> bool) {
        for insert in &mut self.left {
            let pieces = std::mem::take(&mut insert.places).into_iter().zip(std::mem::take(&mut insert.blocks));
            (insert.places, insert.blocks) = pieces.filter(|(place, block)| !is_stored(*place, block)).unzip();
        }
        self.left.retain(|insert| !insert.places.is_empty());
        if let Some(ledger) = &mut self.ledger {
            ledger.retain(|piece| !is_stored(piece.index, &piece.block));
        }
    }
}

/// Rows of one batch for one table.
#[derive(Debug)]
pub(crate) struct Piece {
    /// Place of the batch in its group.
    pub(crate) index: usize,
    pub(crate) block: Block,
}

/// Blocks of one table that go in together.
#[derive(Debug)]
struct Insert {
    token: String,
    /// Places of the batches, and what is of them.
    places: Vec<usize>,
    blocks: Vec<Block>,
    /// The store may still be about an earlier attempt, of which no answer came.
    may_be_under_way: bool,
}

impl Insert {
    /// The same, each batch by itself, under tokens of their own that follow from this one's; or the place of the batch if there is only one.
    fn apart(&self) -> Result<Vec<Self>, usize> {
        if let [index] = self.places[..] {
            return Err(index);
        }
        let one = |(index, block): (&usize, &Block)| Self {
            token: format!("{}/{index}", self.token),
            places: vec![*index],
            blocks: vec![block.clone()],
            may_be_under_way: self.may_be_under_way,
        };
        Ok(self.places.iter().zip(&self.blocks).map(one).collect())
    }
}

/// An insert for each table; more for one whose rows are more than one block may have.
fn by_table(token: &str, pieces: Vec<Piece>) -> Vec<Insert> {
    let mut tables: BTreeMap<String, Vec<Insert>> = BTreeMap::new();
    for Piece { index, block } in pieces {
        let inserts = tables.entry(block.table().to_owned()).or_default();
        let held = inserts.last().map_or(0, |insert| insert.blocks.iter().map(Block::rows).sum::<usize>());
        if inserts.is_empty() || held + block.rows() > MAX_BLOCK_ROWS {
            let token = if inserts.is_empty() { token.to_owned() } else { format!("{token}/+{}", inserts.len()) };
            inserts.push(Insert { token, places: Vec::new(), blocks: Vec::new(), may_be_under_way: false });
        }
        if let Some(insert) = inserts.last_mut() {
            insert.places.push(index);
            insert.blocks.push(block);
        }
    }
    tables.into_values().flatten().collect()
}

/// Whether the same insert can never succeed. Everything that an operator can mend (a table dropped, a password
/// changed, a proxy in the way) is worth waiting for: refusing would lose events.
pub(crate) fn is_fault_of_the_rows(error: &StoreError) -> bool {
    match error {
        StoreError::Block { .. } => true,
        // The same code says that merges are behind, which passes.
        StoreError::Sql { code: TOO_MANY_PARTS, message } => message.contains("partitions for single INSERT"),
        StoreError::Sql { code, .. } => DATA_CODES.contains(code),
        _ => false,
    }
}

const TOO_MANY_PARTS: u32 = 252;

/// Codes of ClickHouse's `ErrorCodes.cpp` that speak of the data and not of the server, its tables or its users.
const DATA_CODES: [u32; 13] = [
    6,   // CANNOT_PARSE_TEXT
    8,   // THERE_IS_NO_COLUMN (in the block)
    9,   // SIZES_OF_COLUMNS_DOESNT_MATCH
    27,  // CANNOT_PARSE_INPUT_ASSERTION_FAILED
    33,  // CANNOT_READ_ALL_DATA
    53,  // TYPE_MISMATCH
    70,  // CANNOT_CONVERT_TYPE
    117, // INCORRECT_DATA
    131, // TOO_LARGE_STRING_SIZE
    190, // SIZES_OF_ARRAYS_DONT_MATCH
    321, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
    469, // VIOLATED_CONSTRAINT
    691, // UNKNOWN_ELEMENT_OF_ENUM
];

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_store::{BlockBuilder, Column};

    fn sql(code: u32) -> StoreError {
        StoreError::Sql { code, message: String::new() }
    }

    #[test]
    fn a_table_is_one_insert_and_can_be_taken_apart() {
        let piece = |index, table: &str, rows: u64| Piece {
            index,
            block: BlockBuilder::new(table).column("a", Column::U64((0..rows).collect())).build().unwrap(),
        };
        let half = MAX_BLOCK_ROWS as u64 / 2;
        let pieces = [(0, "a", 1), (0, "b", half), (1, "a", 2), (1, "b", half), (2, "b", half)];
        let inserts = by_table("t", pieces.into_iter().map(|(index, table, rows)| piece(index, table, rows)).collect());
        let told: Vec<_> = inserts.iter().map(|insert| (insert.token.as_str(), &insert.places[..])).collect();
        assert_eq!(told, [("t", &[0, 1][..]), ("t", &[0, 1]), ("t/+1", &[2])]);
        let apart = inserts[0].apart().unwrap();
        let told: Vec<_> = apart.iter().map(|insert| (insert.token.as_str(), insert.blocks[0].rows())).collect();
        assert_eq!(told, [("t/0", 1), ("t/1", 2)]);
        assert_eq!(apart[1].apart().unwrap_err(), 1);
    }

    #[test]
    fn what_is_left_out_moves_no_token() {
        let piece = |index, table: &str| Piece {
            index,
            block: BlockBuilder::new(table).column("a", Column::U64(vec![index as u64])).build().unwrap(),
        };
        let mut job =
            Job::new("t", vec![piece(0, "a"), piece(1, "a"), piece(0, "b")], vec![piece(0, "l"), piece(1, "l")]);
        job.leave_out(|place, block| place == 0 && block.table() != "l");
        let told: Vec<_> = job.left.iter().map(|insert| (insert.token.as_str(), &insert.places[..])).collect();
        assert_eq!(told, [("t", &[1][..])]);
        assert_eq!(job.left[0].blocks.len(), 1);
        assert_eq!(job.ledger.as_ref().map(Vec::len), Some(2));
        job.leave_out(|place, _| place == 1);
        assert!(job.left.is_empty());
        assert_eq!(job.ledger.unwrap()[0].index, 0);
    }

    #[test]
    fn only_bad_data_is_refused() {
        assert!(is_fault_of_the_rows(&sql(117)));
        for operator_can_mend in [60, 81, 241, 252, 497, 516] {
            assert!(!is_fault_of_the_rows(&sql(operator_can_mend)), "{operator_can_mend}");
        }
        let too_many = |message: &str| StoreError::Sql { code: TOO_MANY_PARTS, message: message.to_owned() };
        assert!(is_fault_of_the_rows(&too_many("Too many partitions for single INSERT block (more than 100).")));
        assert!(!is_fault_of_the_rows(&too_many("Too many parts (3000). Merges are processing slower than inserts")));
        assert!(!is_fault_of_the_rows(&StoreError::Network { reason: String::new() }));
    }
}
