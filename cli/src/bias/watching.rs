//! The agent beside a run: everything captured, with every stack.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sys::signal::{SigHandler, Signal, signal};
use rustix::process::{Resource, Rlimit, setrlimit};

use super::launch::{Running, wait_for_any, words_after};
use super::program;
use crate::failure::usage;
use crate::units;

const NAME: &str = "syncline-agent";
/// Attaching takes a second; reading the rest of a long run may take many.
const PATIENCE: Duration = Duration::from_secs(300);
/// The agent's exit code where it was asked wrongly, which is by our options.
const WRONG_USE: i32 = 2;
/// Between two tables, and until the first, which says that it captures.
const INTERVAL: &str = "200ms";
/// The last line of each table.
const LOST: &str = "lost: ";
/// Who was parked as the program ended is no loss.
const ABANDONED: &str = "park_abandoned=";
/// Where it could attach to threads only.
const NOT_OBSERVED: &str = "goroutines not observed of process ";

/// How an agent is run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits<'a> {
    /// Of the ring between kernel and agent, as the agent reads it.
    pub(super) ring_bytes: &'a str,
    /// The most that the events of a run may take.
    pub(super) events_bytes: u64,
}

/// An agent that watches a process.
pub(super) struct Watching {
    agent: Running,
    /// Gives the last line that says what was lost.
    lost: JoinHandle<Option<String>>,
    events: File,
    events_bytes: u64,
}

/// What it says at the end.
pub(super) struct Watched {
    pub(super) events: File,
    /// Their size.
    pub(super) bytes: u64,
    /// Blocks that are not in the events.
    pub(super) lost: u64,
    /// Goroutines that were parked when the program ended, Go's own among them.
    pub(super) parked: u64,
}

/// The agent to use.
///
/// # Errors
/// If there is none.
pub(super) fn find(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(given) = given {
        let name = given.to_string_lossy();
        return program::executable(&name).ok_or_else(|| usage(format!("--agent: {name} is no executable file")));
    }
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name(NAME));
    let found =
        beside.and_then(|path| program::executable(&path.to_string_lossy())).or_else(|| program::executable(NAME));
    found.ok_or_else(|| usage(format!("there is no {NAME} beside this program or in PATH: give it by --agent FILE")))
}

impl AsFd for Watching {
    /// Readable once the agent has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.agent.as_fd()
    }
}

impl Watching {
    /// Attaches to a process; returns when every block is captured from now on.
    pub(super) fn start(agent: &Path, pid: u32, limits: Limits<'_>, directory: &Path) -> Result<Self> {
        let path = directory.join("events.jsonl");
        let mut command = Command::new(agent);
        command.args(["watch", &pid.to_string(), "--min", "0ns", "--stack-depth", "127", "--top", "1"]);
        command.args(["--interval", INTERVAL, "--ring-bytes", limits.ring_bytes, "--out"]).arg(&path);
        command.env_remove("RUST_LOG");
        limit_files(&mut command, limits.events_bytes);
        let mut agent = Running::start_piped(NAME, command, directory)?;
        let mut output = BufReader::new(agent.output().context("no pipe")?);
        if !wait_for_any(&[output.get_ref()], PATIENCE)? {
            bail!("the agent says nothing");
        }
        // A table, or the end of a pipe.
        if output.fill_buf().context("cannot read what the agent says")?.is_empty() {
            return Err(refusal(agent)?);
        }
        let lost = std::thread::spawn(move || {
            output.lines().map_while(Result::ok).filter(|line| line.starts_with(LOST)).last()
        });
        let events = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
        // Events may be many; what has no name is gone with us, however we end.
        std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        Ok(Self { agent, lost, events, events_bytes: limits.events_bytes })
    }

    /// Waits until it has written all of a process that has ended.
    pub(super) fn end(mut self) -> Result<Watched> {
        if !wait_for_any(&[&self.agent], PATIENCE)? {
            bail!("the agent does not come to an end{}", words_after(&self.agent.last_words()));
        }
        let ended = self.agent.end()?;
        let bytes = self.events.metadata().context("no size of the events")?.len();
        ensure!(
            ended.status.success() || bytes < self.events_bytes,
            "the blocks of a run fill the {} that they may take in {}: shorten it, or give more by --events-bytes",
            units::bytes(self.events_bytes),
            std::env::temp_dir().display()
        );
        self.agent.expect_success(ended)?;
        let lost = self.lost.join().ok().flatten();
        let (lost, parked) = losses(&lost.context("the agent gave no last table")?)?;
        Ok(Watched { events: self.events, bytes, lost, parked })
    }

    /// Why it has ended before the program.
    pub(super) fn failure(self) -> anyhow::Error {
        self.end().err().unwrap_or_else(|| anyhow!("the agent ended before the program"))
    }
}

/// Files that it writes end there, which it is told as an error of writing.
fn limit_files(command: &mut Command, bytes: u64) {
    let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
    // SAFETY: the closure runs in the child between fork and exec, where it makes two system calls and allocates nothing; no function
    // of ours becomes a handler.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(move || {
            signal(Signal::SIGXFSZ, SigHandler::SigIgn)?;
            Ok(setrlimit(Resource::Fsize, limit)?)
        });
    }
}

/// What an agent that does not capture says.
fn refusal(mut agent: Running) -> Result<anyhow::Error> {
    let ended = agent.end()?;
    let words = agent.last_words();
    let said = words.trim_start_matches("syncline-agent: ").trim_start_matches("error: ");
    if ended.status.code() == Some(WRONG_USE) {
        return Ok(usage(said));
    }
    Ok(anyhow!(
        "the agent cannot capture ({}){}; `syncline doctor` says what is missing",
        super::launch::told(ended.status),
        words_after(said)
    ))
}

/// Of `lost: 7 (park_abandoned=5, ring_buffer_full=2); goroutines parked at the end, ...: 3`, the losses and who was parked at the end.
fn losses(line: &str) -> Result<(u64, u64)> {
    let number = |text: &str| {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u64>().ok()
    };
    let all = line.strip_prefix(LOST).and_then(number);
    let all = all.with_context(|| format!("the agent says {line:?}: is it of another version?"))?;
    if let Some((_, process)) = line.split_once(NOT_OBSERVED) {
        bail!("the agent could not observe goroutines of process {process}");
    }
    let abandoned = line.split_once(ABANDONED).and_then(|(_, rest)| number(rest)).unwrap_or(0);
    let parked = line.rsplit_once(": ").filter(|(before, _)| before.contains("parked at the end"));
    let parked = parked.and_then(|(_, rest)| number(rest)).unwrap_or(0);
    Ok((all.saturating_sub(abandoned), abandoned.saturating_add(parked)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_from_who_was_parked_at_the_end() {
        let parked = "; goroutines parked at the end, whose waits are not in this: 3";
        assert_eq!(losses(&format!("lost: 7 (park_abandoned=5, ring_buffer_full=2){parked}")).unwrap(), (2, 8));
        assert_eq!(losses("lost: 0").unwrap(), (0, 0));
        assert_eq!(losses("lost: 4 (ring_buffer_full=4)").unwrap(), (4, 0));
        let blind = losses("lost: 0; goroutines not observed of process 7: no symbols").unwrap_err().to_string();
        assert_eq!(blind, "the agent could not observe goroutines of process 7: no symbols");
        assert!(losses("lost: some").unwrap_err().to_string().contains("another version"));
    }

    #[test]
    fn an_agent_that_is_not_there_is_asked_for() {
        let error = find(Some(Path::new("/nowhere/agent"))).unwrap_err().to_string();
        assert_eq!(error, "--agent: /nowhere/agent is no executable file");
    }
}
