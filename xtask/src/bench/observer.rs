//! The ways to observe the program, one of which is not at all.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use super::child::Child;
use super::region::{self, Region};
use crate::process;

const BPFTRACE: &str = "bpftrace";
const SCRIPT: &str = include_str!("../../bench/pairing.bt");

/// A way to observe.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    Nothing,
    BlockProfile,
    AgentInBudget,
    AgentAboveThreshold,
    AgentEverything,
    Bpftrace,
}

impl Way {
    /// All of them, in the order of the tables.
    pub(super) const ALL: [Self; 6] = [
        Self::Nothing,
        Self::BlockProfile,
        Self::AgentInBudget,
        Self::AgentAboveThreshold,
        Self::AgentEverything,
        Self::Bpftrace,
    ];

    /// For the tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nobody observes",
            Self::BlockProfile => "Go block profile, rate 1",
            Self::AgentInBudget => "syncline-agent (default: threshold 1 ms, budget 1 %)",
            Self::AgentAboveThreshold => "syncline-agent, no budget",
            Self::AgentEverything => "syncline-agent, no budget, threshold 0: every event with its stack",
            Self::Bpftrace => "bpftrace, the same pairing at function entry",
        }
    }

    /// Attaches to the program; returns once it observes. `None` where nothing is attached from outside.
    pub(super) fn attach(self, to: &Target) -> Result<Option<Observer>> {
        match self {
            Self::Nothing | Self::BlockProfile => Ok(None),
            Self::AgentInBudget => agent(to, "1ms", "1%").map(Some),
            Self::AgentAboveThreshold => agent(to, "1ms", "off").map(Some),
            Self::AgentEverything => agent(to, "0ms", "off").map(Some),
            Self::Bpftrace => bpftrace(to).map(Some),
        }
    }
}

/// What is observed, and with what.
pub(super) struct Target<'a> {
    pub(super) program: &'a Path,
    pub(super) pid: u32,
    pub(super) agent: &'a Path,
    pub(super) region: &'a Region,
    pub(super) logs: &'a Path,
}

/// A running observer.
pub(super) struct Observer {
    child: Child,
    is_agent: bool,
}

/// What an observer says that it has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Waits as events.
    pub(super) events: u64,
    /// Waits in sums.
    pub(super) summed: u64,
    /// Waits that it knows to have lost.
    pub(super) lost: u64,
}

impl Seen {
    /// All waits that happened.
    pub(super) fn waits(self) -> u64 {
        self.events + self.summed + self.lost
    }
}

impl Observer {
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Detaches, and asks it what it has seen.
    pub(super) fn end(self) -> Result<Seen> {
        if self.is_agent {
            let (_, log) = self.child.end(Some(Signal::TERM))?;
            agent_summary(&log).with_context(|| format!("the agent gave no summary: {log}"))
        } else {
            let (said, _) = self.child.end(Some(Signal::INT))?;
            bpftrace_count(&said).with_context(|| format!("bpftrace printed no count: {said}"))
        }
    }
}

fn agent(to: &Target, threshold: &str, budget: &str) -> Result<Observer> {
    let mut command = Command::new(to.agent);
    command.args(["run", "--node", "bench", "--region", region::NAME, "--threshold", threshold, "--budget", budget]);
    command.args(["--pid", &to.pid.to_string(), "--aggregator", &format!("http://{}", to.region.address())]);
    command.arg("--spool").arg(to.logs.join("spool"));
    let child = Child::start("agent", command, to.logs)?;
    child.line("ready")?;
    Ok(Observer { child, is_agent: true })
}

/// `captured=.. stored=.. refused=.. undelivered=.. short=.. batches=.. lost=..` at the end of the log.
fn agent_summary(log: &str) -> Option<Seen> {
    let line = log.lines().rev().find(|line| line.contains("captured="))?;
    let number =
        |name| line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok());
    Some(Seen { events: number("captured")?, summed: number("short")?, lost: number("lost")? })
}

fn bpftrace(to: &Target) -> Result<Observer> {
    let script = to.logs.join("pairing.bt");
    std::fs::write(&script, SCRIPT.replace("PROGRAM", &to.program.display().to_string()))?;
    let mut command = Command::new(BPFTRACE);
    // Without it 0.17 complains of a limit that newer kernels do not have.
    command.arg(&script).env("BPFTRACE_NO_RLIMIT", "1");
    let child = Child::start(BPFTRACE, command, to.logs)?;
    child.line("attached")?;
    Ok(Observer { child, is_agent: false })
}

/// The line `@waits: 123`.
fn bpftrace_count(said: &str) -> Option<Seen> {
    let count = said.lines().find_map(|line| line.strip_prefix("@waits: "))?;
    Some(Seen { summed: count.trim().parse().ok()?, ..Seen::default() })
}

/// As `bpftrace v0.17.0`.
///
/// # Errors
/// When it cannot be asked.
pub(super) fn bpftrace_version() -> Result<String> {
    let output = process::capture(Command::new(BPFTRACE).arg("--version"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Installs bpftrace where it is missing.
///
/// # Errors
/// When it cannot be installed; the error says the command to type.
pub(super) fn ensure_bpftrace() -> Result<()> {
    if process::is_installed(BPFTRACE) {
        return Ok(());
    }
    let typed = "apt-get install bpftrace";
    if !process::is_installed("apt-get") || !rustix::process::geteuid().is_root() {
        bail!("bpftrace is missing: as root `{typed}`, or leave it out with --without-bpftrace");
    }
    let install = ["install", "-y", "--no-install-recommends", BPFTRACE];
    if apt_get(&install).is_err() {
        apt_get(&["update", "-q"]).with_context(|| format!("no package lists; check the network, then `{typed}`"))?;
        apt_get(&install).with_context(|| format!("bpftrace is missing; check the network, then `{typed}`"))?;
    }
    Ok(())
}

fn apt_get(words: &[&str]) -> Result<()> {
    process::capture(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(words)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_observer_says_is_understood() {
        let log = "INFO connected\nsyncline-agent: captured=5 stored=4 refused=0 undelivered=1 short=70 batches=2 lost=3 (ring_buffer_full=3)\n";
        assert_eq!(agent_summary(log), Some(Seen { events: 5, summed: 70, lost: 3 }));
        assert_eq!(agent_summary(log).unwrap().waits(), 78);
        assert_eq!(agent_summary("syncline-agent: error"), None);
        assert_eq!(bpftrace_count("@by_reason: x\n@waits: 12\n").unwrap().waits(), 12);
    }
}
