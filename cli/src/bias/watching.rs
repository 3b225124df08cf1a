//! The agent beside a run: everything captured, with every stack.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use super::launch::{Running, wait_for_any, words_after};
use super::program;
use crate::failure::usage;

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

/// An agent that watches a process.
pub(super) struct Watching {
    agent: Running,
    lines: Receiver<String>,
    events: File,
}

/// What it says at the end.
pub(super) struct Watched {
    pub(super) events: File,
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

impl Watching {
    /// Attaches to a process; returns when every block is captured from now on.
    pub(super) fn start(agent: &Path, pid: u32, ring_bytes: &str, directory: &Path) -> Result<Self> {
        let path = directory.join("events.jsonl");
        let mut command = Command::new(agent);
        command.args([
            "watch",
            &pid.to_string(),
            "--min",
            "0ns",
            "--stack-depth",
            "127",
            "--top",
            "1",
            "--interval",
            INTERVAL,
        ]);
        command.args(["--ring-bytes", ring_bytes, "--out"]).arg(&path).env_remove("RUST_LOG");
        let mut agent = Running::start_piped(NAME, command, directory)?;
        let lines = lines(&mut agent)?;
        if !has_begun(&lines)? {
            let ended = agent.end()?;
            let words = agent.last_words();
            let said = words.trim_start_matches("syncline-agent: ").trim_start_matches("error: ");
            if ended.status.code() == Some(WRONG_USE) {
                return Err(usage(said));
            }
            bail!(
                "the agent cannot capture ({}){}; `syncline doctor` says what is missing",
                super::launch::told(ended.status),
                words_after(said)
            );
        };
        let events = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
        // Events may be many; what has no name is gone with us, however we end.
        std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        Ok(Self { agent, lines, events })
    }

    /// Waits until it has written all of a process that has ended.
    pub(super) fn end(mut self) -> Result<Watched> {
        if !wait_for_any(&[&self.agent], PATIENCE)? {
            self.agent.signal(Signal::TERM)?;
            bail!("the agent does not come to an end{}", words_after(&self.agent.last_words()));
        }
        let ended = self.agent.end()?;
        self.agent.expect_success(ended)?;
        let lost = self.lines.iter().last();
        let (lost, parked) = losses(&lost.context("the agent gave no last table")?)?;
        Ok(Watched { events: self.events, lost, parked })
    }
}

/// Of what it prints, the last line of each table.
fn lines(agent: &mut Running) -> Result<Receiver<String>> {
    let output = agent.output().context("no pipe")?;
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        for line in lines.filter(|line| line.starts_with(LOST)) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    Ok(lines)
}

/// Waits for the first table; false if there is none.
fn has_begun(lines: &Receiver<String>) -> Result<bool> {
    match lines.recv_timeout(PATIENCE) {
        Ok(_) => Ok(true),
        Err(RecvTimeoutError::Disconnected) => Ok(false),
        Err(RecvTimeoutError::Timeout) => bail!("the agent says nothing"),
    }
}

/// Of `lost: 7 (park_abandoned=5, ring_buffer_full=2); goroutines parked at the end, ...: 3`, the losses and who was parked at the end.
fn losses(line: &str) -> Result<(u64, u64)> {
    let number = |text: &str| {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u64>().ok()
    };
    let all = line.strip_prefix(LOST).and_then(number);
    let all = all.with_context(|| format!("the agent says {line:?}: is it of another version?"))?;
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
        assert!(losses("lost: some").unwrap_err().to_string().contains("another version"));
    }

    #[test]
    fn an_agent_that_is_not_there_is_asked_for() {
        let error = find(Some(Path::new("/nowhere/agent"))).unwrap_err().to_string();
        assert_eq!(error, "--agent: /nowhere/agent is no executable file");
    }
}
