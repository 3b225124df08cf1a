//! `cargo xtask bench export`: how fast waits go from the store into files of each format, how large those are, and what memory it takes.
//!
//! The store is made up (`store/examples/fill.rs`). Each format is one run of `syncline export`, which starts the engine itself.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::page::Page;
use super::{Built, build, machine, scratch, table, usage};
use crate::{fetch, process};

/// What `cargo xtask bench export` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// Waits in the store, at 20,000 a second
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(1_000..=1_000_000_000))]
    waits: u64,
    #[command(flatten)]
    built: Built,
    /// Write the table into docs/export.md
    #[arg(long)]
    write: bool,
}

const PAGE: Page = Page { name: "export.md", mark: "export" };
/// How often memory is looked at; the kernel keeps the peak meanwhile.
const LOOK: Duration = Duration::from_millis(20);
/// Of this many waits a tenth is as much as speedscope shows.
const FEW: u64 = 5_000_000;

/// What one export took.
struct Run {
    waits: u64,
    took: Duration,
    bytes: u64,
    peak: u64,
    engine_peak: u64,
}

/// # Errors
/// When something cannot be built, started or measured.
pub(crate) fn run(options: &Options) -> Result<()> {
    fetch::run(fetch::Part::Libchdb)?;
    let what = ["-p", "syncline-cli", "-p", "syncline-store", "--bins", "--example", "fill"];
    let programs = build::cargo_build(options.built, &what)?;
    let dir = scratch()?;
    let store = dir.path().join("store");
    let mut fill = Command::new(programs.join("examples").join("fill"));
    process::run(fill.arg(&store).arg(options.waits.to_string()))?;
    let busy = machine::busy_share();
    let few: &[&str] = if options.waits <= FEW { &["--service", "service-1"] } else { &["--node", "node-1"] };
    let formats = [("perfetto", &[][..]), ("pprof", &[]), ("parquet", &[]), ("speedscope", few)];
    let mut rows = Vec::new();
    for (format, filter) in formats {
        let run = one(&programs.join("syncline"), &store, dir.path(), format, filter)?;
        let label = [&[format], filter].concat().join(" ");
        rows.push(row(&label, &run));
    }
    let headings = ["format", "waits", "seconds", "waits/s", "MB", "bytes a wait", "syncline, MiB", "ClickHouse, MiB"];
    let text = format!(
        "{}{} ; {}. Before, others used {:.0} % of the CPUs.\n",
        table::text(&headings, &rows),
        machine::description(),
        options.built,
        busy * 100.0
    );
    print!("{text}");
    if options.write { PAGE.write(&text) } else { Ok(()) }
}

fn one(syncline: &Path, store: &Path, dir: &Path, format: &str, filter: &[&str]) -> Result<Run> {
    let file = dir.join(format!("out.{format}"));
    let mut command = Command::new(syncline);
    command.arg("--store").arg(store).args(["export", "--from", "-30d", "-f", format, "-o"]).arg(&file).args(filter);
    let began = Instant::now();
    let mut child = command.stderr(Stdio::piped()).spawn().context("cannot start syncline")?;
    let (mut peak, mut engine_peak) = (0, 0);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        // It may end meanwhile.
        peak = usage::peak_memory(child.id()).map_or(peak, |bytes| bytes.max(peak));
        for engine in usage::children(child.id()).unwrap_or_default() {
            engine_peak = usage::peak_memory(engine).map_or(engine_peak, |bytes| bytes.max(engine_peak));
        }
        sleep(LOOK);
    };
    let took = began.elapsed();
    let told = std::io::read_to_string(child.stderr.take().context("standard error is a pipe")?)?;
    if !status.success() {
        bail!("{} failed ({status}): {told}", process::shown(&command));
    }
    eprint!("{told}");
    let waits = told.split_whitespace().next().and_then(|number| number.parse().ok());
    let waits = waits.with_context(|| format!("no number of waits in {told}"))?;
    let bytes = std::fs::metadata(&file)?.len();
    std::fs::remove_file(&file)?;
    Ok(Run { waits, took, bytes, peak, engine_peak })
}

fn row(label: &str, run: &Run) -> Vec<String> {
    let seconds = run.took.as_secs_f64();
    let mib = |bytes: u64| (bytes >> 20).to_string();
    vec![
        format!("`{label}`"),
        run.waits.to_string(),
        format!("{seconds:.1}"),
        format!("{:.0}", run.waits as f64 / seconds),
        format!("{:.1}", run.bytes as f64 / 1e6),
        format!("{:.1}", run.bytes as f64 / run.waits.max(1) as f64),
        mib(run.peak),
        mib(run.engine_peak),
    ]
}
