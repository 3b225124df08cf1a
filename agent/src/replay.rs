//! Sends a recording to an aggregator: the batches as they are, identity and clock samples included, so the store takes
//! each once, however often it is replayed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::time::timeout;

use crate::endpoint::Aggregator;
use crate::queue::{Entry, Fate, Queue, SharedQueue};
use crate::recording::{Recorded, Recording, RecordingError};
use crate::uplink::Uplink;

/// Room for two batches of the greatest size at least.
const QUEUE_BYTES: usize = 32 << 20;

/// Settings of a replay.
#[derive(Clone, Debug)]
pub struct ReplayConfig {
    /// The recording.
    pub file: PathBuf,
    /// Where its batches go.
    pub aggregator: Aggregator,
    /// Give up after this long without any progress.
    pub patience: Duration,
}

/// Why a replay failed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The recording cannot be read; nothing was sent.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// The aggregator took nothing for too long.
    #[error(
        "the aggregator {aggregator} took no batch for {} s ({stored} are stored): start it, or name another with --aggregator",
        patience.as_secs_f64()
    )]
    Stuck {
        /// Its URL.
        aggregator: String,
        /// How long.
        patience: Duration,
        /// Batches stored until then.
        stored: u64,
    },
    /// The aggregator refused some batches.
    #[error("the aggregator {aggregator} refused {refused} of {all} batches; the log above tells why")]
    Refused {
        /// Its URL.
        aggregator: String,
        /// Batches refused.
        refused: u64,
        /// Batches of the recording.
        all: u64,
    },
}

/// Checks the whole recording, then sends it, and returns when all of it is stored.
///
/// # Errors
/// If the recording is damaged, or the aggregator does not take it.
pub async fn replay(config: ReplayConfig) -> Result<Fate, ReplayError> {
    check(&config)?;
    let queue = Arc::new(SharedQueue::new(Queue::new(QUEUE_BYTES)));
    tokio::spawn(Uplink::new(config.aggregator.clone().into(), Arc::clone(&queue)).run());
    let mut recording = Recording::open(&config.file)?;
    while let Some(recorded) = recording.next_batch()? {
        enqueue(&config, &queue, entry(recorded)).await?;
    }
    queue.change(Queue::close);
    progress(&config, &queue, Queue::is_finished).await?;
    verdict(&config, queue.look(Queue::fate))
}

fn check(config: &ReplayConfig) -> Result<(), RecordingError> {
    let mut recording = Recording::open(&config.file)?;
    while recording.next_batch()?.is_some() {}
    Ok(())
}

fn entry(Recorded { bytes, batch }: Recorded) -> Entry {
    Entry::of(&batch, bytes.into())
}

async fn enqueue(config: &ReplayConfig, queue: &SharedQueue, entry: Entry) -> Result<(), ReplayError> {
    progress(config, queue, |queue| queue.has_room_for(&entry)).await?;
    let dropped = queue.change(|queue| queue.push(entry));
    debug_assert!(dropped.is_empty(), "there was room");
    Ok(())
}

/// Waits for `goal`, as long as batches leave the queue.
async fn progress(
    config: &ReplayConfig,
    queue: &SharedQueue,
    goal: impl Fn(&Queue) -> bool,
) -> Result<(), ReplayError> {
    loop {
        let before = queue.look(Queue::fate);
        match timeout(config.patience, queue.until(&goal)).await {
            Ok(()) => return Ok(()),
            Err(_) if queue.look(Queue::fate) == before => {
                let (aggregator, patience) = (config.aggregator.to_string(), config.patience);
                return Err(ReplayError::Stuck { aggregator, patience, stored: before.stored_batches });
            }
            Err(_) => {}
        }
    }
}

fn verdict(config: &ReplayConfig, fate: Fate) -> Result<Fate, ReplayError> {
    if fate.refused_batches == 0 {
        return Ok(fate);
    }
    let all = fate.refused_batches + fate.stored_batches;
    Err(ReplayError::Refused { aggregator: config.aggregator.to_string(), refused: fate.refused_batches, all })
}
