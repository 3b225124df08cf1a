//! Builds, runs and observes the program.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::observation::Observation;
use crate::bench::child::Child;
use crate::{fetch, place, process};

/// Every wait is an event, also the short ones: whether a wait is above a limit should not depend on whose measure it is.
const THRESHOLD: &str = "0ms";
/// Holds some seconds of all that happens.
const RING: &str = "64MiB";

/// Builds a program of `xtask/truth` into `dir`.
///
/// # Errors
/// When it does not build.
pub(super) fn build(name: &str, go: &str, dir: &Path) -> Result<PathBuf> {
    let program = dir.join(format!("{name}-{go}"));
    let mut command = Command::new("go");
    command.current_dir(place::workspace().join("xtask/truth").join(name));
    command.env("GOTOOLCHAIN", go).env("GOWORK", "off").args(["build", "-trimpath", "-o"]).arg(&program).arg(".");
    process::run(&mut command).with_context(|| format!("{name} with {go}"))?;
    Ok(program)
}

/// The reader of traces, which needs a new Go whatever made the trace.
///
/// # Errors
/// When it does not build.
pub(super) fn build_reader(dir: &Path) -> Result<PathBuf> {
    build("reader", fetch::NEWEST_GO, dir)
}

/// Runs the program under observation.
///
/// # Errors
/// When something fails. What the agent says it has lost is only printed: it shows in the recall.
pub(super) fn observe(agent: &Path, reader: &Path, program: &Path, length_ms: u32, dir: &Path) -> Result<Observation> {
    let (trace, events) = (dir.join("trace"), dir.join("events.jsonl"));
    let mut command = Command::new(program);
    command.arg(&trace).arg(length_ms.to_string());
    let mut child = Child::start("program", command, dir)?;
    child.line("ready")?;
    let mut watch = Command::new(agent);
    watch.args(["watch", &child.id().to_string(), "--min", THRESHOLD, "--runtime", "--ring-bytes", RING]);
    watch.args(["--interval", "1s", "--out"]).arg(&events);
    let watch = Child::start("watch", watch, dir)?;
    watch.line("lost: ")?;
    child.order("begin")?;
    let mut told = Vec::new();
    loop {
        let line = child.line("")?;
        if line == "done" {
            break;
        }
        told.push(line);
    }
    child.end(None)?;
    let (said, log) = watch.end(None)?;
    ensure!(log.is_empty(), "the watch says: {log}");
    let lost = said.lines().rev().find(|line| line.starts_with("lost: ")).context("no last table")?;
    eprintln!("{lost}");
    let mut command = Command::new(reader);
    command.stdin(Stdio::from(File::open(&trace)?));
    let output = command.output().context("the reader of the trace")?;
    ensure!(output.status.success(), "the reader of the trace: {}", String::from_utf8_lossy(&output.stderr));
    let events = std::fs::read_to_string(&events).context("no events")?;
    Observation::read(&told, &String::from_utf8_lossy(&output.stdout), &events)
}
