//! What a scan of the processes found.

use std::collections::BTreeMap;
use std::path::PathBuf;

/// What changed since the last report.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RescanReport {
    /// Processes that are observed from now on.
    pub attached: Vec<Attached>,
    /// Go processes that cannot be observed, and why. Programs that are not Go are not listed.
    pub skipped: Vec<Skipped>,
    /// Pids of processes that ended, or now run another program.
    pub ended: Vec<u32>,
    /// Pids of Go processes that are left out from now on.
    pub left_out: Vec<u32>,
    /// Plugins that are observed from now on.
    pub plugins: Vec<LoadedPlugin>,
    /// Number of processes that this user may not look at now; Go programs among them are not observed.
    pub unreadable: usize,
}

/// What is not observed although it may be a Go program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Go processes that were not observed since the start, by reason in one word.
    pub skipped: BTreeMap<&'static str, u64>,
    /// Processes of which only the threads are observed now, by reason in one word.
    pub limited: BTreeMap<&'static str, u64>,
    /// Number of processes that this user may not look at now.
    pub unreadable: usize,
}

/// A process that is observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Its pid.
    pub pid: u32,
    /// Its executable.
    pub exe: PathBuf,
    /// The Go version that built it.
    pub go_version: String,
    /// Why its goroutines are not observed, only its threads, if so: in one line.
    pub limited: Option<String>,
}

/// A plugin of an observed process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadedPlugin {
    /// The process's pid.
    pub pid: u32,
    /// The plugin's file.
    pub path: PathBuf,
}

/// A process that cannot be observed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its pid.
    pub pid: u32,
    /// Its executable.
    pub exe: PathBuf,
    /// The cause, in one line.
    pub why: String,
}

impl RescanReport {
    /// Whether there are processes that were not there before.
    pub(super) fn has_new(&self) -> bool {
        !self.attached.is_empty() || !self.skipped.is_empty() || !self.left_out.is_empty()
    }

    /// Whether nothing changed (`unreadable` is a state, not a change).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.attached.is_empty()
            && self.skipped.is_empty()
            && self.ended.is_empty()
            && self.left_out.is_empty()
            && self.plugins.is_empty()
    }
}
