//! `cargo xtask test`: every test that there is.

use std::io::{BufRead, BufReader, Write, stdout};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::steps::Steps;
use crate::{demo, fetch, place, process};

/// A test that cannot run here prints a line that begins with this, and why.
const SKIPPED: &str = "skipped:";

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
    steps.run("cargo test --workspace", |skipped| cargo_test(options, skipped));
    steps.run("go test, the demo's services", |_| go_test());
    let check = demo::Options::checked(options.require_bpf);
    steps.run("cargo xtask demo --check", |_| demo::run(&check));
}

fn cargo_test(options: &Options, skipped: &mut Vec<String>) -> Result<()> {
    let mut command = process::cargo();
    command.args(["test", "--workspace", "--no-fail-fast", "--", "--show-output"]);
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
    run_noting_skipped(&mut command, &mut stdout(), skipped)
}

/// Passes the output on to `shown` and keeps the lines that say what was skipped.
fn run_noting_skipped(command: &mut Command, shown: &mut impl Write, skipped: &mut Vec<String>) -> Result<()> {
    let typed = process::shown(command);
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start `{typed}`"))?;
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            writeln!(shown, "{line}")?;
            if let Some(reason) = line.trim_start().strip_prefix(SKIPPED) {
                skipped.push(reason.trim().to_owned());
            }
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{typed} failed ({status})");
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skipped_lines_are_kept_and_the_exit_status_decides() {
        let mut skipped = Vec::new();
        // Not our own output: when we are tested, what is skipped in it would be taken for real.
        let mut shown = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo 'skipped: not root'; echo other; echo '  skipped: no BTF'; exit 1"]);
        let error = run_noting_skipped(&mut command, &mut shown, &mut skipped).unwrap_err().to_string();
        assert!(error.contains("failed"), "{error}");
        assert_eq!(skipped, ["not root", "no BTF"]);
        assert_eq!(String::from_utf8(shown).unwrap().lines().count(), 3);
    }
}
