//! Batches of simulated nodes: taken in over gRPC and decoded; and into rows of a real aggregator's embedded ClickHouse.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use super::Sizes;
use super::programs::Programs;
use super::target::{Finding, Target};
use crate::bench::child::Child;
use crate::bench::region::{self, Region};
use crate::bench::statistics::Spread;
use crate::bench::{scratch, usage};

/// Nodes and waits of a batch, at full speed.
pub(super) const NODES: u32 = 8;
pub(super) const WAITS: u32 = 8_000;

/// What is measured, round by round.
pub(super) struct Ingest<'p> {
    programs: &'p Programs,
    sizes: Sizes,
    decoded: Vec<Run>,
    stored: Vec<Run>,
    row_bytes: Vec<f64>,
}

/// One run of one way.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub(super) events_per_s: f64,
    /// CPU time an event, of what lies between the sender and the engine, and of the engine.
    pub(super) cpu_us: f64,
    pub(super) engine_cpu_us: f64,
}

/// As the sender says.
#[derive(Deserialize)]
pub(super) struct Sent {
    pub(super) events: u64,
    pub(super) seconds: f64,
}

/// As ClickHouse says.
#[derive(Deserialize)]
struct Stored {
    rows: u64,
    distinct: u64,
    bytes_merged: u64,
}

#[derive(Deserialize)]
struct Seen {
    seconds: f64,
}

impl<'p> Ingest<'p> {
    pub(super) fn new(programs: &'p Programs, sizes: Sizes) -> Self {
        Self { programs, sizes, decoded: Vec::new(), stored: Vec::new(), row_bytes: Vec::new() }
    }

    pub(super) fn round(&mut self) -> Result<()> {
        self.decoded.push(self.decode()?);
        let (run, row_bytes) = self.store()?;
        self.stored.push(run);
        self.row_bytes.push(row_bytes);
        Ok(())
    }

    fn decode(&self) -> Result<Run> {
        let dir = scratch()?;
        let server = Child::start("decode", Command::new(&self.programs.decode), dir.path())?;
        let address = listens(&server.line("ready")?)?;
        // It is fast: more of them, for a run of some length.
        let mut flood = flood(self.programs, dir.path(), &address, [NODES, self.sizes.batches * 2, WAITS], None)?;
        let before = usage::cpu(server.id())?;
        flood.order("send")?;
        let sent: Sent = parse(&flood.line("{")?)?;
        let cpu = usage::cpu(server.id())? - before;
        flood.end(None)?;
        server.end(None)?;
        expect(sent.events, u64::from(NODES) * u64::from(self.sizes.batches * 2) * u64::from(WAITS), "decoded")?;
        let run = Run::of(&sent, sent.seconds, cpu, Duration::ZERO);
        eprintln!("  decoded: {:.0} events/s", run.events_per_s);
        Ok(run)
    }

    /// Until the rows are to be seen, whenever they were acknowledged.
    fn store(&self) -> Result<(Run, f64)> {
        let dir = scratch()?;
        let region = Region::start(&self.programs.aggregator, dir.path())?;
        let load = [NODES, self.sizes.batches, WAITS];
        let mut flood = flood(self.programs, region.store(), region.address(), load, None)?;
        let before = region.used()?;
        flood.order("send")?;
        let sent: Sent = parse(&flood.line("{")?)?;
        flood.order("stored")?;
        let seen: Seen = parse(&flood.line("{")?)?;
        let after = region.used()?;
        flood.order("check")?;
        let stored: Stored = parse(&flood.line("{")?)?;
        flood.end(None)?;
        region.end()?;
        let all = load.iter().map(|number| u64::from(*number)).product();
        expect(stored.rows, all, "rows")?;
        expect(stored.distinct, all, "distinct rows")?;
        let cpu = after.aggregator_cpu - before.aggregator_cpu;
        let run = Run::of(&sent, seen.seconds, cpu, after.engine_cpu - before.engine_cpu);
        eprintln!("  rows in ClickHouse: {:.0} events/s", run.events_per_s);
        Ok((run, stored.bytes_merged as f64 / all as f64))
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let finding = |what: &str, target, found, unit| Finding { what: what.to_owned(), target, found, unit };
        let (decoded, stored) = (&self.decoded, &self.stored);
        vec![
            finding("gRPC in and decoded", Target::AtLeast(2.5e6), Run::rates(decoded), "events/s"),
            finding("its CPU", Target::None, Run::cpus(decoded), "us an event"),
            finding("agent's batch to rows in ClickHouse", Target::AtLeast(1e6), Run::rates(stored), "events/s"),
            finding("the aggregator's CPU", Target::None, Run::cpus(stored), "us an event"),
            finding("ClickHouse's CPU", Target::None, Run::engine_cpus(stored), "us an event"),
            finding("a row of these, compressed and merged", Target::AtMost(20.0), self.row_bytes(), "B"),
        ]
    }

    pub(super) fn decoded(&self) -> &[Run] {
        &self.decoded
    }

    pub(super) fn stored(&self) -> &[Run] {
        &self.stored
    }

    pub(super) fn row_bytes(&self) -> Spread {
        Spread::of(self.row_bytes.iter().copied())
    }
}

impl Run {
    pub(super) fn of(sent: &Sent, seconds: f64, cpu: Duration, engine_cpu: Duration) -> Self {
        let events = sent.events as f64;
        let us = |cpu: Duration| cpu.as_secs_f64() * 1e6 / events;
        Self { events_per_s: events / seconds, cpu_us: us(cpu), engine_cpu_us: us(engine_cpu) }
    }

    pub(super) fn rates(runs: &[Self]) -> Spread {
        Spread::of(runs.iter().map(|run| run.events_per_s))
    }

    pub(super) fn cpus(runs: &[Self]) -> Spread {
        Spread::of(runs.iter().map(|run| run.cpu_us))
    }

    pub(super) fn engine_cpus(runs: &[Self]) -> Spread {
        Spread::of(runs.iter().map(|run| run.engine_cpu_us))
    }
}

/// Starts a sender of so many nodes, batches and waits, and waits until it has made them; `way` is another than as fast as it goes.
pub(super) fn flood(
    programs: &Programs,
    store: &Path,
    address: &str,
    load: [u32; 3],
    way: Option<&str>,
) -> Result<Child> {
    let logs = scratch_of(store);
    let mut command = Command::new(&programs.flood);
    command.args(["--region", region::NAME, "--aggregator", address, "--store-dir"]).arg(store);
    for (option, number) in ["--nodes", "--batches", "--waits"].iter().zip(load) {
        command.args([option, number.to_string().as_str()]);
    }
    command.args(way);
    let child = Child::start("flood", command, logs)?;
    child.line("ready")?;
    Ok(child)
}

/// Beside the store and not in it, which is the engine's.
fn scratch_of(store: &Path) -> &Path {
    store.parent().unwrap_or(store)
}

pub(super) fn listens(ready: &str) -> Result<String> {
    let address = ready.split_whitespace().find_map(|word| word.strip_prefix("listen="));
    Ok(address.with_context(|| format!("{ready:?} does not say where it listens"))?.to_owned())
}

pub(super) fn parse<T: for<'t> Deserialize<'t>>(line: &str) -> Result<T> {
    serde_json::from_str(line).with_context(|| format!("unexpected: {line}"))
}

pub(super) fn expect(found: u64, wanted: u64, of: &str) -> Result<()> {
    if found != wanted {
        bail!("{found} {of} instead of {wanted}");
    }
    Ok(())
}
