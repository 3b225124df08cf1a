//! `cargo xtask test`: every test that there is.

mod binaries;
mod output;

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;

use crate::steps::{Notes, Steps};
use crate::{demo, fetch, place, process};

/// What `cargo xtask test` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// Fail where a test of the eBPF path, of the embedded engine, of a Kafka broker, of chronyd or of Prometheus would be skipped
    #[arg(long)]
    pub(crate) require_bpf: bool,
}

/// # Errors
/// When a step failed; the summary printed before says which.
pub(crate) fn run(options: &Options) -> Result<()> {
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
        Ok(())
    };
    if steps.run("cargo test --workspace --no-run", build) {
        steps.run("cargo test --workspace", |notes| run_all(&built, options, notes));
        steps.run("cargo test --workspace --doc", |_| doc_tests());
    }
    steps.run("go test, the demo's services", |_| go_test());
    let check = demo::Options::checked(options.require_bpf);
    steps.run("cargo xtask demo --check", |_| demo::run(&check));
}

/// One binary after the other, all of them whatever fails.
fn run_all(built: &[binaries::Binary], options: &Options, notes: &mut Notes) -> Result<()> {
    let mut failed = Vec::new();
    for binary in built {
        let mut command = binary.command();
        add_parts(&mut command, options)?;
        println!("\n     Running {}", binary.name());
        if !output::pass_on(&mut command, &mut std::io::stdout(), notes)? {
            failed.push(binary.name());
        }
    }
    if !failed.is_empty() {
        bail!("{} of {} test binaries failed: {}", failed.len(), built.len(), failed.join(", "));
    }
    Ok(())
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
        for part in ["BPF", "ENGINE", "KAFKA", "PROMETHEUS", "CHRONY"] {
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
