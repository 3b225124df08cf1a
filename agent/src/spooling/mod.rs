//! The spool of an agent: its unacknowledged batches on the disk, so that a later run sends what this one could not.
//!
//! ```text
//! batcher ──► queue ──────────────────────────────► uplink
//!              │  ▲ durable            read ahead ▲   │ stored
//!              ▼  │                               │   ▼
//!            writer: append, commit ─► disk ─► reader: next, acknowledge, save
//! ```
//!
//! Two threads, since a sync may take seconds on a bad disk: neither the batcher nor the uplink waits for it, nor do those read that the uplink
//! needs. What is to be read, written, given up and acknowledged the [`Queue`] says.

mod gap;
mod reader;
mod record;
mod trouble;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use syncline_event::limits;
use syncline_spool::{Config, Disk, Error, Overflow, Reader as Records, Spool};
use thiserror::Error;
use tokio::sync::{oneshot, watch};

use crate::queue::{BatchId, Queue, SharedQueue};
use crate::station::station;
use reader::Reader;
use writer::Writer;

/// Name of the uplink's cursor.
const CURSOR: &str = "uplink";
/// How long each of the threads may take to end: a disk that answers no more keeps nobody.
const END_WITHIN: Duration = Duration::from_secs(5);

/// Where unacknowledged batches are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolConfig {
    /// The directory; it is made if it is not there. One agent has it.
    pub path: PathBuf,
    /// Most bytes of files in it, at least 64 MiB.
    pub most_bytes: u64,
    /// Somebody asked for this directory: without it there is no run.
    pub is_required: bool,
}

/// The spool cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SpoolingError {
    /// Another agent has it.
    #[error(
        "another agent keeps its batches in {}: end that one, or give this one a directory of its own with --spool, or none (--spool none)",
        path.display()
    )]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// It cannot be opened.
    #[error(
        "no batches can be kept in {}: {why}; mend that, or name another directory with --spool, or none (--spool none)",
        path.display()
    )]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// Why not.
        why: String,
    },
}

/// A spool that was opened.
#[derive(Debug)]
pub struct Opened {
    spool: Spool<Disk>,
    records: Records<Disk>,
    soft_bytes: u64,
}

impl SpoolConfig {
    /// Opens it. None, with a warning, where it cannot be opened and nobody asked for it.
    ///
    /// # Errors
    /// When another agent has it, or it cannot be opened and was asked for.
    pub fn open(&self) -> Result<Option<Opened>, SpoolingError> {
        let (config, soft_bytes) = limits_of(self.most_bytes);
        match Opened::open(&self.path, config, soft_bytes) {
            Err(error @ SpoolingError::Unusable { .. }) if !self.is_required => {
                tracing::warn!("{error}. They are kept in memory, and are gone when the agent is killed");
                Ok(None)
            }
            opened => opened.map(Some),
        }
    }
}

/// How a spool of so many bytes is divided, and from which size on the oldest batches go. What is between that and the whole holds the batches
/// that come until it is told, durably, which ones went.
fn limits_of(most_bytes: u64) -> (Config, u64) {
    let segment_bytes = (most_bytes / 32).clamp(1 << 20, 16 << 20);
    let largest = (limits::WIRE_BYTES + record::HEADER_BYTES) as u64;
    let config = Config {
        segment_bytes,
        max_bytes: most_bytes,
        // What goes is to be told by batch, which the spool cannot.
        overflow: Overflow::Refuse,
        max_record_bytes: u32::try_from(largest).unwrap_or(u32::MAX),
        max_pending_bytes: 4 * largest,
    };
    (config, most_bytes - (most_bytes / 8).max(2 * segment_bytes))
}

impl Opened {
    /// Opens a spool that is divided as `config` says, whose oldest batches go once it takes `soft_bytes` of the disk.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path, config: Config, soft_bytes: u64) -> Result<Self, SpoolingError> {
        let unusable = |why: String| SpoolingError::Unusable { path: path.to_owned(), why };
        let disk = Disk::open(path).map_err(|error| unusable(error.to_string()))?;
        let (spool, found) = Spool::open(disk, config).map_err(|error| match error {
            Error::InUse => SpoolingError::InUse { path: path.to_owned() },
            error => unusable(error.to_string()),
        })?;
        if !found.is_undamaged() {
            tracing::warn!(?found, "the spool in {} was damaged; what can be read of it is sent", path.display());
        }
        let records = spool.reader(CURSOR).map_err(|error| unusable(error.to_string()))?;
        let opened = Self { spool, records, soft_bytes };
        if opened.earlier() > 0 {
            tracing::info!(
                batches = opened.earlier(),
                "earlier runs left batches in {}: they go first",
                path.display()
            );
        }
        Ok(opened)
    }

    /// How many batches of earlier runs are in it.
    pub fn earlier(&self) -> u64 {
        self.spool.durable().0.saturating_sub(self.records.position().0)
    }

    /// A queue before this spool, with so many bytes of memory.
    pub fn queue(&self, capacity: usize) -> Queue {
        Queue::new(capacity).with_shelf(self.records.position(), self.spool.durable(), self.soft_bytes)
    }

    /// Starts the threads. `queue` shares [`Self::queue`]; `own_run` is a batch of the present run.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub fn start(self, queue: &Arc<SharedQueue>, own_run: BatchId) -> io::Result<Spooling> {
        let (stop, stopped) = watch::channel(false);
        let writer = Writer::new(self.spool, Arc::clone(queue));
        let reader = Reader::new(self.records, Arc::clone(queue), own_run);
        Ok(Spooling {
            writer: station("spool-write", move || writer.run())?,
            reader: station("spool-read", move || reader.run(&stopped))?,
            stop,
            queue: Arc::clone(queue),
        })
    }
}

/// The threads of a spool.
#[derive(Debug)]
pub struct Spooling {
    writer: oneshot::Receiver<()>,
    reader: oneshot::Receiver<()>,
    stop: watch::Sender<bool>,
    queue: Arc<SharedQueue>,
}

impl Spooling {
    /// Ends them, after the queue was closed, once all is durable and it is saved what was stored.
    pub async fn end(self) {
        let is_written = tokio::time::timeout(END_WITHIN, self.writer).await.is_ok();
        self.stop.send_replace(true);
        self.queue.change(|_| ());
        let is_saved = tokio::time::timeout(END_WITHIN, self.reader).await.is_ok();
        if !is_written || !is_saved {
            tracing::warn!("the disk of the spool did not answer for {} s: ending without it", END_WITHIN.as_secs());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_of_any_size_that_may_be_asked_for_can_be_made_and_has_room_to_tell() {
        for shift in 26..=40 {
            let (config, soft_bytes) = limits_of(1 << shift);
            let dir = tempfile::tempdir().unwrap();
            let opened = Opened::open(dir.path(), config.clone(), soft_bytes).unwrap();
            assert_eq!(opened.earlier(), 0);
            assert!(soft_bytes >= config.max_bytes / 2 && config.max_bytes - soft_bytes >= 2 * config.segment_bytes);
        }
    }

    #[test]
    fn the_second_agent_is_refused_and_a_directory_that_was_asked_for_is_needed() {
        let dir = tempfile::tempdir().unwrap();
        let config =
            |path: &Path, is_required| SpoolConfig { path: path.to_owned(), most_bytes: 64 << 20, is_required };
        let first = config(dir.path(), false).open().unwrap();
        assert!(first.is_some());
        for is_required in [true, false] {
            let error = config(dir.path(), is_required).open().unwrap_err();
            assert!(matches!(error, SpoolingError::InUse { .. }) && error.to_string().contains("--spool"), "{error}");
        }
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(matches!(config(&file, true).open(), Err(SpoolingError::Unusable { .. })));
        assert!(config(&file, false).open().unwrap().is_none());
    }
}
