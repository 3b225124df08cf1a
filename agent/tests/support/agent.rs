//! The real program, observing one other.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// Killed when dropped.
pub struct Agent {
    pub child: Child,
    pub stdout: BufReader<ChildStdout>,
}

impl Agent {
    /// Sends to the first of `aggregators` that answers.
    pub fn start(aggregators: &str, pid: u32, more: &[&str]) -> Self {
        Self::start_where(&[], aggregators, pid, more)
    }

    /// The same with these variables of the environment.
    pub fn start_where(variables: &[(&str, &str)], aggregators: &str, pid: u32, more: &[&str]) -> Self {
        let unless_given = [["--probe-interval", "600ms"], ["--symbol-cache", "none"], ["--spool", "none"]];
        let mut child = Command::new(env!("CARGO_BIN_EXE_syncline-agent"))
            .args(["--region", "eu", "--node", "n1", "--aggregator", aggregators, "--pid", &pid.to_string()])
            .args(["--budget", "off", "--require-aggregator", "20s", "--control", "none"])
            .args(unless_given.iter().filter(|[name, _]| !more.contains(name)).flatten())
            .args(more)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    pub fn wait_until_ready(&mut self) {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        if line != "ready\n" {
            panic!("it said {line:?} and {}", self.stderr());
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Ends it by SIGTERM; gives the closing line as key=value.
    pub fn terminate(mut self) -> HashMap<String, u64> {
        self.signal(Signal::TERM);
        let stderr = self.stderr();
        assert!(self.child.wait().unwrap().success(), "{stderr}");
        let last = stderr.lines().last().unwrap();
        let pairs = last.split_whitespace().filter_map(|pair| pair.split_once('='));
        pairs.filter_map(|(key, value)| Some((key.to_owned(), value.parse().ok()?))).collect()
    }

    pub fn stderr(&mut self) -> String {
        let mut stderr = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        stderr
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended, and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
