//! A program that is started again whenever it ends, as a supervisor does it.

use std::fs::{File, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::bench::usage;

/// After an end.
const START_AFTER: Duration = Duration::from_millis(200);
/// Who is to end serves for so long first: what an earlier life has left gets a chance to go.
const END_AFTER: Duration = Duration::from_secs(3);
/// Starts without having served in between.
const MOST_FAILED_STARTS: u32 = 200;

/// One program, over all its lives.
pub(crate) struct Service {
    name: &'static str,
    command: Box<dyn Fn() -> Command>,
    /// What its output has once it serves.
    ready: &'static str,
    dir: PathBuf,
    child: Option<Child>,
    ready_since: Option<Instant>,
    start_at: Instant,
    failed_starts: u32,
    /// It is to end by itself, and not to be started again.
    is_ending: bool,
    /// Its present life was told so.
    was_told: bool,
    ended_well: bool,
    /// Signals that ended it and were not ours.
    pub(crate) died_of: Vec<i32>,
    pub(crate) kills: u32,
    pub(crate) starts: u32,
    pub(crate) peak_bytes: u64,
}

impl Service {
    /// It begins with the first [`Self::tick`]; its files go into `dir`.
    pub(crate) fn new(
        name: &'static str,
        ready: &'static str,
        dir: &Path,
        command: impl Fn() -> Command + 'static,
    ) -> Self {
        Self {
            name,
            command: Box::new(command),
            ready,
            dir: dir.to_owned(),
            child: None,
            ready_since: None,
            start_at: Instant::now(),
            failed_starts: 0,
            is_ending: false,
            was_told: false,
            ended_well: false,
            died_of: Vec::new(),
            kills: 0,
            starts: 0,
            peak_bytes: 0,
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.ready_since.is_some()
    }

    /// Since when it serves.
    pub(crate) fn serves_since(&self) -> Option<Instant> {
        self.ready_since
    }

    /// Whether it was told to end, and did with success.
    pub(crate) fn ended_well(&self) -> bool {
        self.ended_well
    }

    /// Starts it if it is not there, and sees how it is.
    ///
    /// # Errors
    /// When it cannot be started, or does not get to serve however often it is.
    pub(crate) fn tick(&mut self) -> Result<()> {
        if let Some(child) = &mut self.child {
            let pid = child.id();
            match child.try_wait()? {
                Some(status) => {
                    self.ended_well |= self.is_ending && status.success();
                    // Whom we kill we have waited for.
                    self.died_of.extend(status.signal());
                    self.gone();
                }
                None => {
                    // It may end while it is looked at.
                    self.peak_bytes = self.peak_bytes.max(usage::peak_memory(pid).unwrap_or(0));
                    if self.ready_since.is_none() && self.output().contains(self.ready) {
                        self.ready_since = Some(Instant::now());
                        self.failed_starts = 0;
                    }
                }
            }
        }
        let is_time = self.ready_since.is_some_and(|since| since.elapsed() >= END_AFTER);
        if self.is_ending && !self.was_told && is_time {
            self.signal(Signal::TERM);
            self.was_told = true;
        }
        if self.child.is_none() && !self.ended_well && Instant::now() >= self.start_at {
            self.start()?;
        }
        Ok(())
    }

    /// Until it serves.
    ///
    /// # Errors
    /// When it does not within so long.
    pub(crate) fn wait_until_ready(&mut self, at_most: Duration) -> Result<()> {
        let deadline = Instant::now() + at_most;
        while !self.is_ready() {
            self.tick()?;
            ensure!(Instant::now() < deadline, "{} is not ready after {at_most:?}: {}", self.name, self.last_words());
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// SIGKILL; false if it is not there.
    pub(crate) fn kill(&mut self) -> bool {
        let Some(child) = &mut self.child else { return false };
        self.peak_bytes = self.peak_bytes.max(usage::peak_memory(child.id()).unwrap_or(0));
        let was_killed = child.kill().is_ok();
        let _ = child.wait();
        self.kills += u32::from(was_killed);
        self.gone();
        was_killed
    }

    /// From now on who has served for a while is terminated, until one ends with success: that one is the last.
    pub(crate) fn end(&mut self) {
        self.is_ending = true;
    }

    /// That one was not the last: another one shall come, and end.
    pub(crate) fn once_more(&mut self) {
        self.ended_well = false;
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            // It fails only if it has ended.
            let _ = kill_process(Pid::from_child(child), signal);
        }
    }

    /// All that it has logged, in all its lives.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path("log")).unwrap_or_default()).into_owned()
    }

    /// What its present life has printed.
    pub(crate) fn output(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.path("out")).unwrap_or_default()).into_owned()
    }

    fn start(&mut self) -> Result<()> {
        self.failed_starts += 1;
        if self.failed_starts > MOST_FAILED_STARTS {
            bail!("{} does not get to serve: {}", self.name, self.last_words());
        }
        let out = File::create(self.path("out")).with_context(|| format!("cannot write to {}", self.dir.display()))?;
        let log = OpenOptions::new().create(true).append(true).open(self.path("log"))?;
        let mut command = (self.command)();
        command.stdin(Stdio::null()).stdout(out).stderr(log);
        let program = command.get_program().to_owned();
        self.child =
            Some(command.spawn().with_context(|| format!("{}: cannot start {}", self.name, program.display()))?);
        self.starts += 1;
        self.was_told = false;
        Ok(())
    }

    fn gone(&mut self) {
        self.child = None;
        self.ready_since = None;
        self.start_at = Instant::now() + START_AFTER;
    }

    fn path(&self, extension: &str) -> PathBuf {
        self.dir.join(format!("{}.{extension}", self.name))
    }

    fn last_words(&self) -> String {
        const LINES: usize = 3;
        let log = self.log();
        let said: Vec<_> = log.lines().filter(|line| !line.trim().is_empty()).collect();
        said[said.len().saturating_sub(LINES)..].join(" / ")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &'static str, dir: &Path) -> Service {
        let within = dir.to_owned();
        Service::new("shell", "serving", dir, move || {
            let mut command = Command::new("sh");
            command.args(["-c", script]).current_dir(&within);
            command
        })
    }

    #[test]
    fn what_is_killed_comes_again_and_what_is_to_end_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let mut service = shell("trap 'exit 0' TERM; echo serving; while :; do sleep 0.01; done", dir.path());
        for life in 1..=3 {
            service.wait_until_ready(Duration::from_secs(20)).unwrap();
            assert_eq!(service.starts, life);
            assert!(service.kill() && !service.is_ready());
        }
        assert!(!service.kill(), "it is not there");
        service.wait_until_ready(Duration::from_secs(20)).unwrap();
        service.end();
        let deadline = Instant::now() + Duration::from_secs(20);
        while !service.ended_well() {
            assert!(Instant::now() < deadline);
            service.tick().unwrap();
        }
        service.start_at = Instant::now();
        service.tick().unwrap();
        assert_eq!((service.kills, service.starts, service.pid()), (3, 4, None));
        service.once_more();
        service.tick().unwrap();
        assert_eq!((service.starts, service.ended_well()), (5, false));
    }

    #[test]
    fn a_death_that_is_not_ours_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut service = shell("[ -e died ] || { touch died; kill -ABRT $$; }; echo serving; sleep 60", dir.path());
        service.wait_until_ready(Duration::from_secs(20)).unwrap();
        assert!(service.kill());
        assert_eq!((&*service.died_of, service.starts), (&[Signal::ABORT.as_raw()][..], 2));
    }

    #[test]
    fn what_never_serves_is_told_with_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let mut service = shell("echo no port >&2; exit 1", dir.path());
        let error = service.wait_until_ready(Duration::from_millis(600)).unwrap_err().to_string();
        assert!(error.contains("shell is not ready") && error.contains("no port"), "{error}");
    }
}
