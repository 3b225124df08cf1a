//! The demo's processes. Each writes a log; each is stopped when its handle is dropped, also on a panic.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// How long a process may take to print its ready line.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// How long a process may take to end after SIGTERM.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// A running process that has said that it is ready.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    ready: HashMap<String, String>,
}

impl Process {
    /// Starts the program and waits for its line `ready key=value ...`.
    ///
    /// # Errors
    /// When it cannot be started, ends, or is silent for too long; the error holds the end of its log.
    pub(crate) async fn start(name: &str, mut command: Command, logs: &Path) -> Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file.try_clone()?).kill_on_drop(true);
        let program = command.as_std().get_program().to_owned();
        let mut child = command.spawn().with_context(|| format!("{name}: cannot start {}", program.display()))?;
        let output = child.stdout.take().context("no pipe")?;
        let mut lines = BufReader::new(output).lines();
        let ready = match timeout(READY_WITHIN, ready_line(&mut lines)).await {
            Ok(Some(line)) => line,
            Ok(None) => bail!("{name} ended before it was ready: {}", last_lines(&log)),
            Err(_) => bail!("{name} is not ready after {} s: {}", READY_WITHIN.as_secs(), last_lines(&log)),
        };
        tokio::spawn(keep_output(lines, file));
        Ok(Self { name: name.to_owned(), child, log, ready: parse_ready(&ready) })
    }

    /// A value of the ready line.
    ///
    /// # Errors
    /// When the process did not print it.
    pub(crate) fn said(&self, key: &str) -> Result<&str> {
        let value = self.ready.get(key).map(String::as_str);
        value.with_context(|| format!("{} did not print {key}= in its ready line", self.name))
    }

    /// The process id.
    ///
    /// # Errors
    /// When the process has ended.
    pub(crate) fn pid(&self) -> Result<u32> {
        self.child.id().with_context(|| format!("{} has ended: {}", self.name, last_lines(&self.log)))
    }

    /// # Errors
    /// When the process has ended.
    pub(crate) fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended early ({status}): {}", self.name, last_lines(&self.log)),
        }
    }

    /// Asks the process to end and waits until it has.
    ///
    /// # Errors
    /// When it does not end in time, or not with success.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.check_alive()?;
        let pid = i32::try_from(self.pid()?).ok().and_then(Pid::from_raw).context("not a process id")?;
        kill_process(pid, Signal::TERM).with_context(|| format!("cannot stop {}", self.name))?;
        let Ok(status) = timeout(STOP_WITHIN, self.child.wait()).await else {
            bail!("{} ignored SIGTERM for {} s: {}", self.name, STOP_WITHIN.as_secs(), last_lines(&self.log));
        };
        let status = status?;
        if !status.success() {
            bail!("{} did not end well ({status}): {}", self.name, last_lines(&self.log));
        }
        Ok(())
    }

    /// Runs the program to its end.
    ///
    /// # Errors
    /// When it cannot be started or does not succeed; the error holds the end of its log.
    pub(crate) async fn finish(name: &str, mut command: Command, logs: &Path) -> Result<()> {
        let log = logs.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).kill_on_drop(true);
        let status = command.status().await.with_context(|| format!("{name} cannot be started"))?;
        if !status.success() {
            bail!("{name} failed ({status}): {}", last_lines(&log));
        }
        Ok(())
    }

    /// Ends a process that has nothing to finish.
    pub(crate) async fn kill(mut self) -> Result<()> {
        self.check_alive()?;
        self.child.kill().await.with_context(|| format!("cannot stop {}", self.name))
    }
}

async fn ready_line(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<String> {
    while let Ok(Some(line)) = lines.next_line().await {
        if line.split_whitespace().next() == Some("ready") {
            return Some(line);
        }
    }
    None
}

fn parse_ready(line: &str) -> HashMap<String, String> {
    let pairs = line.split_whitespace().filter_map(|word| word.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Reads on, so that the process never waits for a full pipe.
async fn keep_output(mut lines: Lines<BufReader<ChildStdout>>, file: File) {
    let mut file = tokio::fs::File::from_std(file);
    while let Ok(Some(line)) = lines.next_line().await {
        // A log that cannot be written is no reason to stop reading.
        let _ = file.write_all(format!("{line}\n").as_bytes()).await;
    }
}

fn last_lines(log: &Path) -> String {
    const LINES: usize = 4;
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let said: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let end = said[said.len().saturating_sub(LINES)..].join(" / ");
    format!("{end} (log: {})", log.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_ready_process_gives_its_words_and_ends_on_request() {
        let dir = tempfile::tempdir().unwrap();
        let script =
            "trap 'exit 0' TERM; echo noise; echo ready listen=1.2.3.4:5 store=x=y; while :; do sleep 0.01; done";
        let mut process = Process::start("good", shell(script), dir.path()).await.unwrap();
        assert_eq!(process.said("listen").unwrap(), "1.2.3.4:5");
        assert_eq!(process.said("store").unwrap(), "x=y");
        assert!(process.said("anchor").unwrap_err().to_string().contains("good did not print anchor="));
        process.check_alive().unwrap();
        process.stop().await.unwrap();
    }

    #[tokio::test]
    async fn a_process_that_ends_early_is_told_with_the_end_of_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let error = Process::start("bad", shell("echo port in use >&2; exit 1"), dir.path()).await.err().unwrap();
        let text = format!("{error:#}");
        assert!(text.contains("bad ended before it was ready") && text.contains("port in use"), "{text}");
    }

    #[tokio::test]
    async fn a_bad_exit_code_after_sigterm_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done";
        let process = Process::start("sour", shell(script), dir.path()).await.unwrap();
        assert!(process.stop().await.unwrap_err().to_string().contains("did not end well"));
    }
}
