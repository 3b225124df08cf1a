//! The spool between acknowledging a batch and storing it, and how it stands.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::thread;
use std::time::SystemTime;

use anyhow::Context as _;
use syncline_spool::{Appender, Config, Disk, GroupCommit, Overflow, Reader, Reason, RecordNo, Refused, Spool};
use syncline_timebase::{Instant, Reference as ReferenceScale, Span};
use tokio::sync::{Notify, oneshot};

use super::aside::Aside;
use super::record::{self, RECORD_BYTES};
use super::waiting::{Said, Waiting};
use crate::pipeline::{Pipeline, unpanicked};
use crate::reference::Reference;

/// Its one cursor.
const CURSOR: &str = "store";
/// What may wait in memory to be made durable.
const QUEUE_BYTES: u64 = 64 << 20;
/// The share of the spool's bytes that may be taken by what is set aside.
const ASIDE_SHARE: u64 = 16;
/// The fewest bytes that a spool can do with.
pub const LEAST_BYTES: u64 = 64 << 20;

/// Where the spool is, and what it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolConfig {
    /// Its directory.
    pub dir: PathBuf,
    /// Bytes of the disk that it may take: [`LEAST_BYTES`] at least.
    pub max_bytes: u64,
}

/// Takes batches, durably.
#[derive(Debug)]
pub(crate) struct Spooled {
    group: GroupCommit<Disk>,
    appender: Appender,
    aside: Arc<Aside>,
    progress: Arc<Progress>,
    reference: Reference,
    /// Somebody found that nothing is made durable any more.
    found_ended: Notify,
    dir: PathBuf,
    limit_bytes: u64,
}

/// The thread that makes batches durable has ended, by a defect.
#[derive(Debug)]
pub(crate) struct Ended;

/// How far the store has come; the writer tells.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The first record that is not stored.
    stored: AtomicU64,
    /// The first record that is not stored, or that the saved state of its node's clock model has not seen.
    settled: AtomicU64,
    /// When that came, REF in ns; 0 where there is none.
    since_ns: AtomicI64,
    /// How often the spool's disk has lost records that were not stored.
    losses: AtomicU64,
}

impl Progress {
    /// Everything before `next` is stored.
    pub(crate) fn stored(&self, next: RecordNo) {
        self.since_ns.store(0, Ordering::Relaxed);
        self.stored.store(next.0, Ordering::Relaxed);
    }

    /// Everything before `next` is stored, and saved clock models have seen it, but for what was lost.
    pub(crate) fn settled(&self, next: RecordNo) {
        self.settled.store(next.0, Ordering::Release);
    }

    /// The spool's disk has lost records. To be told before anything behind them is settled.
    pub(crate) fn lost(&self) {
        self.losses.fetch_add(1, Ordering::Release);
    }

    /// The oldest record that waits came at `received`.
    pub(crate) fn waits_since(&self, received: Instant<ReferenceScale>) {
        self.since_ns.store(received.ns(), Ordering::Relaxed);
    }
}

/// Takes what was kept for a later version, however it had come, if this is one: on a thread of its own, which waits for room in the spool, however
/// long, and which nobody waits for.
///
/// # Errors
/// There can be no thread.
pub(crate) fn readmit_all(asides: Vec<Arc<Aside>>, spooled: Arc<Spooled>, pipeline: Arc<Pipeline>) -> io::Result<()> {
    let readmit = move || asides.iter().for_each(|aside| readmit(aside, &spooled, &pipeline));
    thread::Builder::new().name("readmission".to_owned()).spawn(readmit).map(drop)
}

fn readmit(aside: &Aside, spooled: &Spooled, pipeline: &Pipeline) {
    let files = aside.later().unwrap_or_else(|error| {
        tracing::warn!(%error, "what is kept for a later version cannot be read");
        Vec::new()
    });
    for file in files {
        let taken = fs::read(&file).context("cannot read it").and_then(|batch_zstd| {
            let (batch, _) = unpanicked(|| pipeline.decode_any(&batch_zstd))?;
            anyhow::ensure!(
                spooled.append_and_wait(&batch_zstd, batch.waits.len() as u64),
                "the spool does not take it"
            );
            // If this is not done the batch comes again, and the ledger knows it.
            aside.remove(&file).context("it is taken, and cannot be removed")
        });
        match taken {
            Ok(()) => {
                tracing::info!(file = %file.display(), "a batch that was kept for a later version is taken by this one");
            }
            Err(why) => {
                tracing::warn!(file = %file.display(), why = format!("{why:#}"), "a batch is still kept for a later version");
            }
        }
    }
}

/// A spool, and who reads it.
pub(crate) struct Opened {
    pub(crate) spooled: Spooled,
    pub(crate) reader: Reader<Disk>,
    pub(crate) aside: Arc<Aside>,
    pub(crate) progress: Arc<Progress>,
}

impl Spooled {
    /// Opens the spool, or makes it.
    ///
    /// # Errors
    /// What is there cannot be used, or is in use by another process.
    pub(crate) fn open(config: &SpoolConfig, reference: Reference) -> anyhow::Result<Opened> {
        let what = || format!("cannot use the spool {} (--spool)", config.dir.display());
        let disk = Disk::open(&config.dir).with_context(what)?;
        let (spool, recovery) = Spool::open(disk, spool_config(config.max_bytes)).with_context(what)?;
        if !recovery.is_undamaged() {
            tracing::warn!(?recovery, spool = %config.dir.display(), "the spool was damaged");
        }
        let aside = Aside::open(config.dir.join("aside"), config.max_bytes / ASIDE_SHARE).with_context(what)?;
        let aside = Arc::new(aside);
        let reader = spool.reader(CURSOR).with_context(what)?;
        let group = GroupCommit::start(spool, QUEUE_BYTES).with_context(what)?;
        let progress = Arc::<Progress>::default();
        let spooled = Self {
            appender: group.appender(),
            group,
            aside: Arc::clone(&aside),
            progress: Arc::clone(&progress),
            reference,
            found_ended: Notify::new(),
            dir: config.dir.clone(),
            limit_bytes: config.max_bytes,
        };
        Ok(Opened { spooled, reader, aside, progress })
    }

    /// Takes a batch of so many events, waiting for room, and gives what tells its number once it is durable, or that it will not be. Batches are in
    /// the order in which this returns.
    ///
    /// # Errors
    /// No batch will be taken any more.
    pub(crate) async fn append(&self, batch_zstd: &[u8], events: u64) -> Result<oneshot::Receiver<RecordNo>, Ended> {
        let mut record = record::encode(self.reference.now(), batch_zstd);
        let (durable, told) = oneshot::channel();
        let mut done: syncline_spool::Done = Box::new(move |result| {
            // Where it is not, nobody is told: the sender is dropped.
            if let Ok(number) = result {
                let _ = durable.send(number);
            }
        });
        while let Err(refused) = self.appender.try_append(record, events, done) {
            let Refused { reason, record: back, done: undone } = refused;
            match reason {
                Reason::Busy => {}
                Reason::TooLarge => break,
                Reason::Closed => {
                    self.found_ended.notify_one();
                    return Err(Ended);
                }
            }
            (record, done) = (back, undone);
            let (wake, woken) = oneshot::channel();
            self.appender.when_room(Box::new(move || {
                let _ = wake.send(());
            }));
            let _ = woken.await;
        }
        Ok(told)
    }

    /// Waits until a batch was not taken because nothing is made durable any more.
    pub(crate) async fn ended(&self) {
        self.found_ended.notified().await;
    }

    /// As [`append`](Self::append), from a thread that may wait, until it is durable; whether it is.
    pub(crate) fn append_and_wait(&self, batch_zstd: &[u8], events: u64) -> bool {
        let (durable, told) = std::sync::mpsc::channel();
        let done = Box::new(move |result: Result<RecordNo, _>| {
            let _ = durable.send(result.is_ok());
        });
        let record = record::encode(self.reference.now(), batch_zstd);
        self.appender.append(record, events, done).is_ok() && told.recv().unwrap_or(false)
    }

    /// Everything before it is stored, and whoever goes on from what is in the store has it in the nodes' clock models; but for what the spool's
    /// disk has lost so often.
    pub(crate) fn settled(&self) -> (RecordNo, u64) {
        let settled = self.progress.settled.load(Ordering::Acquire);
        // In this order: what is lost is told before it is passed over.
        (RecordNo(settled), self.progress.losses.load(Ordering::Acquire))
    }

    /// What the spool takes, of what it may.
    pub(crate) fn share_used(&self) -> f64 {
        self.group.status().bytes as f64 / self.limit_bytes as f64
    }

    /// What was to be made durable was not: the thread that does has ended.
    pub(crate) fn is_found_ended(&self) {
        self.found_ended.notify_one();
    }

    pub(crate) fn aside(&self) -> &Aside {
        &self.aside
    }

    /// What waits.
    pub(crate) fn waiting(&self) -> Waiting {
        let status = self.group.status();
        let stored = self.progress.stored.load(Ordering::Relaxed).max(status.oldest.0);
        let since = self.progress.since_ns.load(Ordering::Relaxed);
        let waits = self.reference.now() - Instant::from_ns(since);
        let batches = status.end.0.saturating_sub(stored);
        let oldest = if since == 0 || batches == 0 { Span::ZERO } else { waits };
        Waiting {
            batches,
            oldest_ms: u64::try_from(oldest.ns()).unwrap_or(0) / 1_000_000,
            spool_bytes: status.bytes,
            limit_bytes: self.limit_bytes,
            trouble: self.appender.trouble().map(|trouble| trouble.message),
        }
    }

    /// Says how it stands to whoever asks by `status`.
    pub(crate) fn say(&self, runs: bool) {
        if let Err(error) = Said::new(self.waiting(), runs, SystemTime::now()).save(&self.dir) {
            tracing::debug!(%error, "how much waits cannot be written");
        }
    }
}

fn spool_config(max_bytes: u64) -> Config {
    Config { max_bytes, overflow: Overflow::Refuse, max_record_bytes: RECORD_BYTES, ..Config::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_the_thread_that_commits_nothing_is_taken_and_that_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let reference = Reference::open(dir.path(), "us").unwrap();
        let config = SpoolConfig { dir: dir.path().join("spool"), max_bytes: LEAST_BYTES };
        let Opened { spooled, .. } = Spooled::open(&config, reference).unwrap();
        assert!(spooled.append(b"batch", 0).await.unwrap().await.is_ok());
        spooled.appender.append(vec![1], 0, Box::new(|_| panic!("a defect"))).unwrap();
        // What it had taken is told not to be durable.
        while let Ok(durable) = spooled.append(b"batch", 0).await {
            let _ = durable.await;
        }
        spooled.ended().await;
    }
}
