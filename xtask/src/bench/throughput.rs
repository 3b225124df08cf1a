//! `cargo xtask bench throughput`: batches of simulated nodes into a real aggregator on its embedded ClickHouse, as fast as it
//! acknowledges them, which means that they are on its disk; and until the rows of all of them are in ClickHouse.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Deserialize;

use super::build::Programs;
use super::child::Child;
use super::region::{self, Region, Used};
use super::statistics::whole;
use super::{Built, build, machine, scratch, table, usage};

/// What `cargo xtask bench throughput` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// A tenth of the events, to see that it works: no figures worth keeping
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    built: Built,
}

/// Simulated nodes and what they send.
#[derive(Clone, Copy)]
struct Load {
    nodes: u32,
    batches: u32,
    waits: u32,
}

/// From few busy nodes to many quiet ones.
const LOADS: [Load; 4] = [
    Load { nodes: 1, batches: 250, waits: 8_000 },
    Load { nodes: 8, batches: 60, waits: 8_000 },
    Load { nodes: 8, batches: 60, waits: 1_000 },
    Load { nodes: 100, batches: 8, waits: 100 },
];

/// # Errors
/// When something cannot be built or started, or an event does not arrive exactly once.
pub(crate) fn run(options: &Options) -> Result<()> {
    let programs = build::syncline(options.built)?;
    let shrink = if options.quick { 10 } else { 1 };
    let loads = LOADS.map(|load| Load { batches: (load.batches / shrink).max(2), ..load });
    let outcomes: Vec<Outcome> = loads.into_iter().map(|load| measure(&programs, load)).collect::<Result<_>>()?;
    report(&outcomes);
    println!(
        "{}; {}. Every event was found exactly once. {}",
        machine::description(),
        options.built,
        machine::disturbance(outcomes.iter().map(|outcome| outcome.others)),
    );
    Ok(())
}

/// What one load came to.
struct Outcome {
    load: Load,
    sent: Sent,
    /// From the first batch sent to the last row stored.
    stored_after: Duration,
    stored: Stored,
    before: Used,
    after: Used,
    sender_cpu: Duration,
    /// Busy share of the machine before we began.
    others: f64,
}

/// As the sender says.
#[derive(Deserialize)]
struct Sent {
    events: u64,
    batches: u64,
    wire_bytes: u64,
    seconds: f64,
    ack_p50_ms: f64,
    ack_p99_ms: f64,
}

/// As ClickHouse says.
#[derive(Deserialize)]
struct Stored {
    rows: u64,
    distinct: u64,
    aligned: u64,
    bytes_now: u64,
    bytes_merged: u64,
    bytes_uncompressed: u64,
}

fn measure(programs: &Programs, load: Load) -> Result<Outcome> {
    let dir = scratch()?;
    let others = machine::busy_share();
    let region = Region::start(&programs.aggregator, dir.path())?;
    let mut flood = Child::start("flood", flood(programs, load, &region), dir.path())?;
    flood.line("ready")?;
    let (before, sender_before) = (region.used()?, usage::cpu(flood.id())?);
    let begun = Instant::now();
    flood.order("send")?;
    let sent: Sent = parse(&flood.line("{")?)?;
    flood.order("stored")?;
    flood.line("{")?;
    let stored_after = begun.elapsed();
    let (after, sender_after) = (region.used()?, usage::cpu(flood.id())?);
    flood.order("check")?;
    let stored: Stored = parse(&flood.line("{")?)?;
    flood.end(None)?;
    region.end()?;
    let outcome =
        Outcome { load, sent, stored_after, stored, before, after, sender_cpu: sender_after - sender_before, others };
    eprintln!("{} nodes, {} waits a batch: {} events/s", load.nodes, load.waits, whole(outcome.events_per_second()));
    outcome.verify()?;
    Ok(outcome)
}

fn flood(programs: &Programs, load: Load, region: &Region) -> Command {
    let mut command = Command::new(&programs.flood);
    command.args(["--region", region::NAME, "--aggregator", region.address(), "--store-dir"]).arg(region.store());
    for (option, number) in [("--nodes", load.nodes), ("--batches", load.batches), ("--waits", load.waits)] {
        command.args([option, &number.to_string()]);
    }
    command
}

fn parse<T: for<'t> Deserialize<'t>>(line: &str) -> Result<T> {
    serde_json::from_str(line).with_context(|| format!("unexpected: {line}"))
}

impl Outcome {
    fn events_per_second(&self) -> f64 {
        self.sent.events as f64 / self.sent.seconds
    }

    fn per_event(&self, bytes: u64) -> f64 {
        bytes as f64 / self.sent.events as f64
    }

    fn cpu_us_per_event(&self, cpu: Duration) -> String {
        format!("{:.2}", cpu.as_secs_f64() * 1e6 / self.sent.events as f64)
    }

    /// Acknowledged is stored, once, and on the region's clock.
    fn verify(&self) -> Result<()> {
        let sent = u64::from(self.load.nodes) * u64::from(self.load.batches) * u64::from(self.load.waits);
        let Stored { rows, distinct, aligned, .. } = self.stored;
        if [self.sent.events, rows, distinct] != [sent; 3] {
            bail!("{sent} sent, {} acknowledged, {rows} rows, {distinct} distinct", self.sent.events);
        }
        // A node whose first probe was lost on the simulated path has a batch without a clock.
        if aligned < sent / 10 * 9 {
            bail!("only {aligned} of {sent} rows are aligned: the simulated clocks are wrong");
        }
        Ok(())
    }
}

fn report(outcomes: &[Outcome]) {
    let heading = |load: &Load| format!("{} x {}", load.nodes, whole(load.waits.into()));
    let mut headings = vec!["nodes x waits per batch".to_owned()];
    headings.extend(outcomes.iter().map(|outcome| heading(&outcome.load)));
    let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
    type Cell = fn(&Outcome) -> String;
    let lines: [(&str, Cell); 15] = [
        ("events", |o| whole(o.sent.events as f64)),
        ("**events/s, acknowledged**", |o| format!("**{}**", whole(o.events_per_second()))),
        ("**events/s, stored**", |o| format!("**{}**", whole(o.sent.events as f64 / o.stored_after.as_secs_f64()))),
        ("batches/s, acknowledged", |o| whole(o.sent.batches as f64 / o.sent.seconds)),
        ("acknowledged after, median, ms", |o| format!("{:.0}", o.sent.ack_p50_ms)),
        ("acknowledged after, 99 %, ms", |o| format!("{:.0}", o.sent.ack_p99_ms)),
        ("bytes per event on the wire", |o| format!("{:.1}", o.per_event(o.sent.wire_bytes))),
        ("bytes per row in ClickHouse, as inserted", |o| format!("{:.1}", o.per_event(o.stored.bytes_now))),
        ("bytes per row in ClickHouse, merged", |o| format!("{:.1}", o.per_event(o.stored.bytes_merged))),
        ("bytes per row in ClickHouse, uncompressed", |o| format!("{:.1}", o.per_event(o.stored.bytes_uncompressed))),
        ("aggregator's CPU, us per event", |o| o.cpu_us_per_event(o.after.aggregator_cpu - o.before.aggregator_cpu)),
        ("ClickHouse's CPU, us per event", |o| o.cpu_us_per_event(o.after.engine_cpu - o.before.engine_cpu)),
        ("ClickHouse's CPU, ms per batch", |o| {
            let cpu = o.after.engine_cpu - o.before.engine_cpu;
            format!("{:.0}", cpu.as_secs_f64() * 1e3 / o.sent.batches as f64)
        }),
        ("sender's CPU, us per event", |o| o.cpu_us_per_event(o.sender_cpu)),
        ("memory at most: aggregator / ClickHouse, MiB", |o| {
            let mib = |bytes: u64| whole(bytes as f64 / 1_048_576.0);
            format!("{} / {}", mib(o.after.aggregator_peak_bytes), mib(o.after.engine_peak_bytes))
        }),
    ];
    let rows: Vec<Vec<String>> = lines
        .iter()
        .map(|(name, cell)| std::iter::once((*name).to_owned()).chain(outcomes.iter().map(cell)).collect())
        .collect();
    table::print(&headings, &rows);
}
