//! An aggregator with an embedded store, to measure or to measure against.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::child::Child;
use super::usage;
use crate::spooled::{LOOK_EVERY, STORED_WITHIN, is_stored};
use crate::{engine, fetch};

/// Its name.
pub(crate) const NAME: &str = "bench";

/// A running aggregator and the ClickHouse in its child process.
pub(crate) struct Region {
    aggregator: Child,
    address: String,
    engine: u32,
    store: PathBuf,
}

/// What the two processes have used.
#[derive(Clone, Copy)]
pub(super) struct Used {
    pub(super) aggregator_cpu: Duration,
    pub(super) engine_cpu: Duration,
    pub(super) aggregator_peak_bytes: u64,
    pub(super) engine_peak_bytes: u64,
}

impl Region {
    /// Starts it in `dir`, on a port that is free.
    pub(crate) fn start(program: &Path, dir: &Path) -> Result<Self> {
        let store = dir.join("store");
        let mut command = Command::new(program);
        command.args(["--region", NAME, "--listen", "127.0.0.1:0", "--store-dir"]).arg(&store);
        command
            .env(fetch::libchdb::OVERRIDE, fetch::libchdb::path()?)
            .env("RUST_LOG", "warn,syncline_aggregator::serve=info");
        let aggregator = Child::start("aggregator", command, dir)?;
        let ready = aggregator.line("ready")?;
        let address = ready.split_whitespace().find_map(|word| word.strip_prefix("listen="));
        let address = address.context("the aggregator does not say where it listens")?.to_owned();
        let engine = usage::children(aggregator.id())?.first().copied().context("the aggregator has no engine")?;
        Ok(Self { aggregator, address, engine, store })
    }

    /// Where it listens, as `host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The directory of its store.
    pub(crate) fn store(&self) -> &Path {
        &self.store
    }

    /// What it has used so far.
    pub(super) fn used(&self) -> Result<Used> {
        Ok(Used {
            aggregator_cpu: usage::cpu(self.aggregator.id())?,
            engine_cpu: usage::cpu(self.engine)?,
            aggregator_peak_bytes: usage::peak_memory(self.aggregator.id())?,
            engine_peak_bytes: usage::peak_memory(self.engine)?,
        })
    }

    /// Keeps both processes from running until the guard is dropped, so that what they do with events is not taken for the
    /// agent's cost.
    pub(crate) fn pause(&self) -> Result<Paused<'_>> {
        let paused = Paused(self);
        self.signal(Signal::STOP)?;
        Ok(paused)
    }

    /// The aggregator's process.
    pub(crate) fn pid(&self) -> u32 {
        self.aggregator.id()
    }

    /// Where its ClickHouse answers, for another aggregator.
    pub(crate) fn engine_url(&self) -> Result<String> {
        engine::url(&self.store)
    }

    /// Waits until all that it has acknowledged is in the store.
    pub(crate) fn until_all_is_stored(&self) -> Result<()> {
        let (spool, now, deadline) = (self.store.join("spool"), SystemTime::now(), Instant::now() + STORED_WITHIN);
        while !is_stored(&spool, now)? {
            ensure!(Instant::now() < deadline, "the aggregator does not store what it has acknowledged");
            sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Ends it; what it logged.
    pub(crate) fn end(self) -> Result<String> {
        self.aggregator.end(Some(Signal::TERM)).map(|(_, log)| log)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        self.aggregator.signal(signal)?;
        let engine = i32::try_from(self.engine).ok().and_then(Pid::from_raw).context("no process id")?;
        kill_process(engine, signal).context("cannot signal the engine")
    }
}

/// Two processes that do not run.
pub(crate) struct Paused<'a>(&'a Region);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        // It fails only if they are gone. Left stopped, the engine would not notice that its parent has ended.
        let _ = self.0.signal(Signal::CONT);
    }
}
