//! `cargo xtask test`: every test that there is.

mod binaries;
mod output;

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Result, bail};
use clap::Args;

use crate::steps::{Notes, Steps};
use crate::{demo, fetch, place, process};
use binaries::Binary;

/// What `cargo xtask test` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// Fail where a test of the eBPF path, of the embedded engine, of a Kafka broker, of chronyd, of Prometheus or of other tools' formats would be
    /// skipped
    #[arg(long)]
    pub(crate) require_bpf: bool,
    /// Only the test binaries of these packages, by their directories: `agent`, `aggregator`, `clock` ...
    #[arg(value_name = "PACKAGE")]
    pub(crate) packages: Vec<String>,
}

/// # Errors
/// When there is no such package, or a step failed; the summary printed before says which.
pub(crate) fn run(options: &Options) -> Result<()> {
    binaries::check_packages(&options.packages)?;
    let mut steps = Steps::default();
    add_to(&mut steps, options);
    steps.finish()
}

/// Adds all the tests to a run of steps.
pub(crate) fn add_to(steps: &mut Steps, options: &Options) {
    if !steps.run("fetch what is missing", |_| fetch::run(fetch::Part::All)) {
        return;
    }
    let mut built = Vec::new();
    let build = |_: &mut Notes| {
        built = binaries::build()?;
        built.retain(|binary| options.packages.is_empty() || options.packages.contains(&binary.package()));
        Ok(())
    };
    let is_built = steps.run("cargo test --workspace --no-run", build);
    if is_built {
        steps.run("cargo test --workspace", |notes| run_all(&built, options, notes));
    }
    if !options.packages.is_empty() {
        return;
    }
    if is_built {
        steps.run("cargo test --workspace --doc", |_| doc_tests());
    }
    steps.run("go test, the demo's services", |_| go_test());
    let check = demo::Options::checked(options.require_bpf);
    steps.run("cargo xtask demo --check", |_| demo::run(&check));
}

/// All of them whatever fails: those that mostly wait two at a time, the others one after the other.
fn run_all(built: &[Binary], options: &Options, notes: &mut Notes) -> Result<()> {
    let (mut waiting, busy): (Vec<_>, Vec<_>) = built.iter().partition(|binary| binary.mostly_waits());
    // The one that takes by far the longest is among the last by name: it has to begin early.
    waiting.reverse();
    let mut failed = run_at_once(1, &busy, options, notes)?;
    failed.extend(run_at_once(2, &waiting, options, notes)?);
    if !failed.is_empty() {
        bail!("{} of {} test binaries failed: {}", failed.len(), built.len(), failed.join(", "));
    }
    Ok(())
}

/// So many at once. Gives the names of those that failed.
fn run_at_once(lanes: usize, built: &[&Binary], options: &Options, notes: &mut Notes) -> Result<Vec<String>> {
    let next = AtomicUsize::new(0);
    let lane = || -> Result<(Vec<String>, Notes)> {
        let (mut failed, mut notes) = (Vec::new(), Notes::default());
        while let Some(binary) = built.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (name, mut command) = (binary.name(), binary.command());
            add_parts(&mut command, options)?;
            println!("\n     Running {name}");
            let show = |line: &str| if lanes == 1 { println!("{line}") } else { println!("{name}: {line}") };
            if !output::pass_on(&mut command, show, &mut notes)? {
                failed.push(name);
            }
        }
        Ok((failed, notes))
    };
    let ended = thread::scope(|scope| {
        let lanes: Vec<_> = (0..lanes).map(|_| scope.spawn(lane)).collect();
        lanes.into_iter().map(thread::ScopedJoinHandle::join).collect::<Vec<_>>()
    });
    let mut all = Vec::new();
    for ended in ended {
        let (failed, mut noted) = ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        all.extend(failed);
        notes.skipped.append(&mut noted.skipped);
        notes.failed.append(&mut noted.failed);
    }
    Ok(all)
}

/// Says where the parts are that were fetched, and which of them have to be there.
fn add_parts(command: &mut Command, options: &Options) -> Result<()> {
    command.env(fetch::libchdb::OVERRIDE, fetch::libchdb::path()?);
    command.env(fetch::formats::OVERRIDE, fetch::formats::path()?);
    if let Some(chronyd) = fetch::chrony::path() {
        command.env(fetch::chrony::OVERRIDE, chronyd);
    }
    command.env(fetch::kafka::OVERRIDE, fetch::kafka::path()?);
    if let Some(dir) = fetch::prometheus::path() {
        command.env(fetch::prometheus::OVERRIDE, dir);
    }
    if options.require_bpf {
        for part in ["BPF", "ENGINE", "KAFKA", "PROMETHEUS", "CHRONY", "FORMATS"] {
            command.env(format!("SYNCLINE_REQUIRE_{part}"), "1");
        }
    }
    Ok(())
}

fn doc_tests() -> Result<()> {
    process::run(process::cargo().args(["test", "--workspace", "--doc"]))
}

fn go_test() -> Result<()> {
    let dir = place::workspace().join("demo");
    process::run(go(&dir).args(["vet", "./..."]))?;
    process::run(go(&dir).args(["test", "./..."]))
}

fn go(dir: &Path) -> Command {
    let mut command = Command::new("go");
    command.current_dir(dir).env("GOTOOLCHAIN", fetch::NEWEST_GO);
    command
}
