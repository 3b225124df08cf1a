//! Starting programs and waiting for their ends.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::sys::ptrace;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::Signal as NixSignal;
use nix::sys::time::TimeValLike as _;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open};

use super::interrupt;

/// How long a program that was asked to end may take.
const GRACE: Duration = Duration::from_secs(30);

/// A program that was started; it and its process group are killed when this is dropped.
pub(super) struct Running {
    name: String,
    child: Child,
    descriptor: OwnedFd,
    log: PathBuf,
    has_ended: bool,
}

/// How a program ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    /// User and system time of it and of its children that it waited for.
    pub(super) cpu_ns: u64,
}

impl Running {
    /// Starts it; what it prints goes to a file in `logs`.
    pub(super) fn start(name: &str, mut command: Command, logs: &Path) -> Result<Self> {
        let log = log(name, &mut command, logs)?;
        Self::spawn(name, command, log)
    }

    /// Starts it; only its errors go to a file in `logs`, and what it prints comes by [`output`](Self::output).
    pub(super) fn start_piped(name: &str, mut command: Command, logs: &Path) -> Result<Self> {
        let log = log(name, &mut command, logs)?;
        command.stdout(Stdio::piped());
        Self::spawn(name, command, log)
    }

    /// Starts it and stops it before its first instruction; [`go_on`](Self::go_on) lets it run.
    pub(super) fn start_stopped(name: &str, mut command: Command, logs: &Path) -> Result<Self> {
        let log = log(name, &mut command, logs)?;
        // SAFETY: the closure runs in the child between fork and exec, where it makes one system call and allocates nothing.
        #[allow(unsafe_code)]
        unsafe {
            command.pre_exec(|| ptrace::traceme().map_err(std::io::Error::from));
        }
        let running = Self::spawn(name, command, log)?;
        // A traced process stops as it has executed the program; let go of it, it stops as by SIGSTOP.
        running.wait_for_stop()?;
        ptrace::detach(running.nix_pid(), NixSignal::SIGSTOP).context("cannot let go of the program")?;
        running.wait_for_stop()?;
        Ok(running)
    }

    fn spawn(name: &str, mut command: Command, log: PathBuf) -> Result<Self> {
        end_with_us(&mut command);
        let mut child = command.spawn().map_err(|error| cannot_start(name, error))?;
        let descriptor = pidfd_open(Pid::from_child(&child), PidfdFlags::empty());
        if descriptor.is_err() {
            // Nobody owns it yet, and it may be stopped.
            let _ = child.kill();
            let _ = child.wait();
        }
        let descriptor = descriptor.context("no pidfd")?;
        Ok(Self { name: name.to_owned(), child, descriptor, log, has_ended: false })
    }

    fn nix_pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(Pid::from_child(&self.child).as_raw_nonzero().get())
    }

    /// Waits until it stops. What has ended instead is left to be waited for by its owner.
    fn wait_for_stop(&self) -> Result<()> {
        let flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        let status =
            waitid(Id::Pid(self.nix_pid()), flags).with_context(|| format!("cannot wait for {}", self.name))?;
        let has_ended = matches!(status, WaitStatus::Exited(..) | WaitStatus::Signaled(..));
        ensure!(!has_ended, "{} ended before it began: {status:?}", self.name);
        Ok(())
    }

    /// Lets a stopped one run.
    pub(super) fn go_on(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn output(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.child), signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// Asks it to end, and waits for that.
    pub(super) fn ask_to_end(&mut self) -> Result<Ended> {
        self.signal(Signal::TERM)?;
        if !wait_for_any(&[self], GRACE)? {
            bail!("{} does not end within {} s of a SIGTERM", self.name, GRACE.as_secs());
        }
        self.end()
    }

    /// Waits for its end, and ends what it has left behind.
    pub(super) fn end(&mut self) -> Result<Ended> {
        while !wait_for_any(&[self], GRACE)? {}
        self.kill_group();
        let before = children_cpu_ns()?;
        let status = self.child.wait().with_context(|| format!("cannot wait for {}", self.name))?;
        self.has_ended = true;
        Ok(Ended { status, cpu_ns: children_cpu_ns()?.saturating_sub(before) })
    }

    pub(super) fn is_over(&self) -> Result<bool> {
        wait_for_any(&[self], Duration::ZERO)
    }

    /// What it started lives on in its group, whose number is its own until it is waited for.
    fn kill_group(&self) {
        // It fails only where nobody is left.
        let _ = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
    }

    /// The end of what it printed, as one line.
    pub(super) fn last_words(&self) -> String {
        last_words(&self.log)
    }

    /// The error of one that failed.
    pub(super) fn expect_success(&self, ended: Ended) -> Result<()> {
        ensure!(
            ended.status.success(),
            "{} failed ({}){}",
            self.name,
            told(ended.status),
            words_after(&self.last_words())
        );
        Ok(())
    }
}

impl AsFd for Running {
    /// Readable once it has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.has_ended {
            self.kill_group();
            // It may have left its group. Both fail only where it is no more.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Waits until one of them, a [`Running`] or a pipe, has ended or has something to be read; false if none does in this time.
///
/// # Errors
/// Where we are interrupted meanwhile.
pub(super) fn wait_for_any(awaited: &[&dyn AsFd], time: Duration) -> Result<bool> {
    let deadline = Instant::now() + time;
    loop {
        let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now()))?;
        let all = awaited.iter().map(|one| one.as_fd()).chain(interrupt::descriptor().map(AsFd::as_fd));
        let mut descriptors: Vec<_> = all.map(|one| PollFd::from_borrowed_fd(one, PollFlags::IN)).collect();
        match poll(&mut descriptors, Some(&left)) {
            Ok(_) => {
                let is_ready = |descriptor: &PollFd<'_>| !descriptor.revents().is_empty();
                ensure!(!descriptors.iter().skip(awaited.len()).any(is_ready), "interrupted");
                return Ok(descriptors.iter().any(is_ready));
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for a process"),
        }
    }
}

fn cannot_start(name: &str, error: std::io::Error) -> anyhow::Error {
    // The one cause that is not of the program's own: whoever is traced cannot be held.
    let is_refused = error.raw_os_error() == Some(rustix::io::Errno::PERM.raw_os_error());
    let hint = if is_refused { " (is it run under strace or a debugger, or is ptrace forbidden?)" } else { "" };
    anyhow::Error::new(error).context(format!("cannot start {name}{hint}"))
}

/// `exit code 3`, `ended by signal 9`.
pub(super) fn told(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// `: WORDS`, or nothing.
pub(super) fn words_after(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(": {words}") }
}

/// In a group of its own, which can be ended as one; and killed when we are, so that nothing is left behind.
fn end_with_us(command: &mut Command) {
    command.process_group(0);
    // SAFETY: the closure runs in the child between fork and exec, where it makes one system call and allocates nothing.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(|| Ok(rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?));
    }
}

fn log(name: &str, command: &mut Command, logs: &Path) -> Result<PathBuf> {
    let path = logs.join(format!("{name}.log"));
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    command.stdin(Stdio::null());
    command.stdout(file.try_clone()?).stderr(file);
    Ok(path)
}

fn last_words(log: &Path) -> String {
    const LINES: usize = 3;
    let text = end_of(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let said: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    said[said.len().saturating_sub(LINES)..].join(" / ")
}

/// Programs may say much.
fn end_of(log: &Path) -> std::io::Result<Vec<u8>> {
    const BYTES: u64 = 4096;
    let mut file = File::open(log)?;
    file.seek(SeekFrom::Start(file.metadata()?.len().saturating_sub(BYTES)))?;
    let mut end = Vec::new();
    file.take(BYTES).read_to_end(&mut end)?;
    Ok(end)
}

/// Of those that were waited for.
fn children_cpu_ns() -> Result<u64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("no getrusage")?;
    let us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(u64::try_from(us).unwrap_or(0) * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_stopped_program_has_done_nothing_until_it_is_let_go_on() {
        let dir = tempfile::tempdir().unwrap();
        let done = dir.path().join("done");
        let mut running =
            Running::start_stopped("sh", shell(&format!("echo said; touch {}", done.display())), dir.path()).unwrap();
        assert!(!done.exists() && !running.is_over().unwrap());
        running.go_on().unwrap();
        let ended = running.end().unwrap();
        running.expect_success(ended).unwrap();
        assert!(done.exists());
        assert_eq!(running.last_words(), "said");
    }

    #[test]
    fn failures_are_told_with_the_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let mut running = Running::start("sh", shell("echo no port >&2; exit 3"), dir.path()).unwrap();
        let ended = running.end().unwrap();
        assert_eq!(running.expect_success(ended).unwrap_err().to_string(), "sh failed (exit code 3): no port");
    }

    #[test]
    fn one_that_goes_on_is_asked_to_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut running = Running::start("sh", shell("exec sleep 1000"), dir.path()).unwrap();
        assert!(!wait_for_any(&[&running], Duration::from_millis(1)).unwrap());
        let ended = running.ask_to_end().unwrap();
        assert_eq!(told(ended.status), "ended by signal 15");
    }
}
