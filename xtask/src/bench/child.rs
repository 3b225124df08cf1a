//! Programs of a measurement: started, spoken with line by line, and ended. Each is killed when its handle is dropped.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child as Started, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything here takes: starting, a run, ending.
const PATIENCE: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A running program.
pub(crate) struct Child {
    name: &'static str,
    process: Started,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    log: PathBuf,
}

impl Child {
    /// Starts it; its errors go to a file in `logs`.
    pub(crate) fn start(name: &'static str, mut command: Command, logs: &Path) -> Result<Self> {
        let log = logs.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(file);
        let program = command.get_program().to_owned();
        let mut process = command.spawn().with_context(|| format!("{name}: cannot start {}", program.display()))?;
        let output = process.stdout.take().context("no pipe")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || pass_on(output, &sender));
        Ok(Self { name, input: process.stdin.take(), process, lines, log })
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Writes a line to its input.
    pub(crate) fn order(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().context("its input is closed")?;
        writeln!(input, "{line}").with_context(|| format!("{} takes no orders: {}", self.name, self.last_words()))
    }

    /// Its next line that begins with `beginning`.
    pub(crate) fn line(&self, beginning: &str) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if line.starts_with(beginning) => return Ok(line),
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => bail!("{} ended early: {}", self.name, self.last_words()),
                Err(RecvTimeoutError::Timeout) => bail!("{} is silent: {}", self.name, self.last_words()),
            }
        }
    }

    /// Waits until its log has this text.
    pub(crate) fn logged(&self, text: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.has_logged(text) {
            if Instant::now() > deadline {
                bail!("{} does not log {text:?}: {}", self.name, self.last_words());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    /// Whether its log has this text.
    pub(crate) fn has_logged(&self, text: &str) -> bool {
        self.log_text().contains(text)
    }

    /// Whether it has not ended.
    pub(crate) fn is_running(&mut self) -> Result<bool> {
        Ok(self.process.try_wait()?.is_none())
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_child(&self.process);
        kill_process(pid, signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// Sends a signal (none: only closes its input), waits for its end, and gives what else it printed and its log.
    pub(crate) fn end(mut self, signal: Option<Signal>) -> Result<(String, String)> {
        self.input = None;
        if let Some(signal) = signal {
            self.signal(signal)?;
        }
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match self.process.try_wait()? {
                Some(status) => break status,
                None if Instant::now() > deadline => bail!("{} does not end: {}", self.name, self.last_words()),
                None => std::thread::sleep(LOOK_EVERY),
            }
        };
        if !status.success() {
            bail!("{} failed ({status}): {}", self.name, self.last_words());
        }
        let said: Vec<String> = self.lines.iter().collect();
        Ok((said.join("\n"), self.log_text()))
    }

    fn log_text(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    fn last_words(&self) -> String {
        const LINES: usize = 3;
        let text = self.log_text();
        let said: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        said[said.len().saturating_sub(LINES)..].join(" / ")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn pass_on(output: ChildStdout, lines: &Sender<String>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if lines.send(line).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, logs: &Path) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Child::start("shell", command, logs).unwrap()
    }

    #[test]
    fn orders_are_obeyed_and_the_rest_is_given_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut child = shell("echo ready; read order; echo got $order; echo bye; echo log >&2", dir.path());
        child.line("ready").unwrap();
        child.order("work").unwrap();
        assert_eq!(child.line("got").unwrap(), "got work");
        assert_eq!(child.end(None).unwrap(), ("bye".to_owned(), "log\n".to_owned()));
    }

    #[test]
    fn an_early_end_is_told_with_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let child = shell("echo no port >&2; exit 1", dir.path());
        let error = child.line("ready").unwrap_err().to_string();
        assert!(error.contains("shell ended early: no port"), "{error}");
    }
}
