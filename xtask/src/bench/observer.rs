//! The ways to observe a program, one of which is not at all.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::child::Child;
use super::region::{self, Region};

const SCRIPT: &str = include_str!("../../bench/pairing.bt");
/// Until the observed program is as warm as it gets.
const WARM: Duration = Duration::from_millis(500);
/// Until the budget's governor has found how much of the program it may see.
const GOVERNED: Duration = Duration::from_secs(5);
/// Less is no trace, but the beginning of one.
const SHORTEST_TRACE: u64 = 1024;

/// A way to observe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Nothing,
    BlockProfile,
    ExecutionTrace,
    EmptyUprobes,
    AgentInBudget,
    AgentAboveThreshold,
    AgentEverything,
    Bpftrace,
}

impl Way {
    /// All of them, in the order of the tables.
    pub(super) const ALL: [Self; 8] = [
        Self::Nothing,
        Self::BlockProfile,
        Self::ExecutionTrace,
        Self::EmptyUprobes,
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
            Self::ExecutionTrace => "Go runtime/trace, into a file",
            Self::EmptyUprobes => "empty uprobes where the agent has its own",
            Self::AgentInBudget => "syncline-agent, default: budget 1 %, threshold 1 ms",
            Self::AgentAboveThreshold => "syncline-agent, no budget, threshold 1 ms",
            Self::AgentEverything => "syncline-agent, no budget, threshold 0: every event with its stack",
            Self::Bpftrace => "bpftrace, the same pairing at function entry",
        }
    }

    /// For pictures.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Nothing => "nobody",
            Self::BlockProfile => "block profile",
            Self::ExecutionTrace => "runtime/trace",
            Self::EmptyUprobes => "empty uprobes",
            Self::AgentInBudget => "agent, default",
            Self::AgentAboveThreshold => "agent, no budget",
            Self::AgentEverything => "agent, every event",
            Self::Bpftrace => "bpftrace",
        }
    }

    /// How long the program works before it is measured.
    pub(super) fn settling(self) -> Duration {
        if self == Self::AgentInBudget { GOVERNED } else { WARM }
    }

    /// What the observed program is told by its environment (`xtask/bench/observing`), with a trace in `dir`.
    pub(super) fn tell(self, program: &mut Command, dir: &Path) {
        match self {
            Self::BlockProfile => drop(program.env("BENCH_BLOCK_PROFILE", "1")),
            Self::ExecutionTrace => drop(program.env("BENCH_TRACE", trace(dir))),
            _ => {}
        }
    }

    /// Checks that a program which has ended was observed by itself, and removes what is left of that.
    pub(super) fn clean_up(self, dir: &Path) -> Result<()> {
        if self == Self::ExecutionTrace {
            let length = std::fs::metadata(trace(dir)).context("there is no trace")?.len();
            ensure!(length > SHORTEST_TRACE, "the trace has {length} bytes only");
            std::fs::remove_file(trace(dir))?;
        }
        Ok(())
    }

    /// Attaches to the program; returns once it observes. `None` where nothing is attached from outside.
    pub(super) fn attach(self, to: &Target) -> Result<Option<Observer>> {
        match self {
            Self::Nothing | Self::BlockProfile | Self::ExecutionTrace => Ok(None),
            Self::EmptyUprobes => empty_uprobes(to).map(Some),
            Self::AgentInBudget => agent(to, "1ms", "1%").map(Some),
            Self::AgentAboveThreshold => agent(to, "1ms", "off").map(Some),
            Self::AgentEverything => agent(to, "0ms", "off").map(Some),
            Self::Bpftrace => bpftrace(to).map(Some),
        }
    }
}

fn trace(dir: &Path) -> PathBuf {
    dir.join("trace")
}

/// What is observed, and with what.
pub(super) struct Target<'a> {
    pub(super) program: &'a Path,
    pub(super) pid: u32,
    pub(super) agent: &'a Path,
    pub(super) empty_uprobes: &'a Path,
    pub(super) region: &'a Region,
    pub(super) logs: &'a Path,
}

/// A running observer.
pub(super) struct Observer {
    child: Child,
    says: Says,
}

/// How one tells at its end what it has seen.
#[derive(Clone, Copy)]
enum Says {
    Summary,
    Count,
    Nothing,
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

    /// Detaches, and asks it what it has seen; `None` of one that sees nothing.
    pub(super) fn end(self) -> Result<Option<Seen>> {
        match self.says {
            Says::Summary => {
                let (_, log) = self.child.end(Some(Signal::TERM))?;
                agent_summary(&log).with_context(|| format!("the agent gave no summary: {log}")).map(Some)
            }
            Says::Count => {
                let (said, _) = self.child.end(Some(Signal::INT))?;
                bpftrace_count(&said).with_context(|| format!("bpftrace printed no count: {said}")).map(Some)
            }
            Says::Nothing => self.child.end(None).map(|_| None),
        }
    }
}

fn empty_uprobes(to: &Target) -> Result<Observer> {
    let mut command = Command::new(to.empty_uprobes);
    command.arg(to.program);
    let child = Child::start("empty-uprobes", command, to.logs)?;
    child.line("ready")?;
    Ok(Observer { child, says: Says::Nothing })
}

fn agent(to: &Target, threshold: &str, budget: &str) -> Result<Observer> {
    let mut command = Command::new(to.agent);
    command.args(["run", "--node", "bench", "--region", region::NAME, "--threshold", threshold, "--budget", budget]);
    command.args(["--pid", &to.pid.to_string(), "--aggregator", &format!("http://{}", to.region.address())]);
    command.arg("--spool").arg(fresh(to.logs.join("spool"))?);
    let child = Child::start("agent", command, to.logs)?;
    child.line("ready")?;
    Ok(Observer { child, says: Says::Summary })
}

/// A directory in which nothing is left of an agent before: it would be sent now.
fn fresh(dir: PathBuf) -> Result<PathBuf> {
    if dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    Ok(dir)
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
    let mut command = Command::new("bpftrace");
    // Without it 0.17 complains of a limit that newer kernels do not have.
    command.arg(&script).env("BPFTRACE_NO_RLIMIT", "1");
    let child = Child::start("bpftrace", command, to.logs)?;
    child.line("attached")?;
    Ok(Observer { child, says: Says::Count })
}

/// The line `@waits: 123`.
fn bpftrace_count(said: &str) -> Option<Seen> {
    let count = said.lines().find_map(|line| line.strip_prefix("@waits: "))?;
    Some(Seen { summed: count.trim().parse().ok()?, ..Seen::default() })
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
        assert_eq!(bpftrace_count("attached\n"), None);
    }

    #[test]
    fn a_program_that_has_not_traced_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Way::ExecutionTrace.clean_up(dir.path()).is_err());
        std::fs::write(trace(dir.path()), b"go 1.27 trace").unwrap();
        assert!(Way::ExecutionTrace.clean_up(dir.path()).unwrap_err().to_string().contains("13 bytes only"));
        std::fs::write(trace(dir.path()), [0; 4096]).unwrap();
        Way::ExecutionTrace.clean_up(dir.path()).unwrap();
        assert!(!trace(dir.path()).exists());
    }
}
