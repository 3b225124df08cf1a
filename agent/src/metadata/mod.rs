//! What an observed process is part of: its service, its container, its pod.
//!
//! ```text
//! /proc/PID/cgroup ─> Place ────────────┐           [cgroup]
//! /proc/PID/environ ─> Environment ─────┤           [environment]
//! the node's files of the runtime ──────┼─> Sources ─> service, Container     [runtime_record, describe]
//! /proc/PID/root/etc/podinfo, ... ──────┘           [downward, rooted]
//! ```
//!
//! Read once for each program of a process. What a container says of itself is believed for itself, and can do no more: reads
//! are bounded in bytes and in time, of regular files only, and never lead out of its root.

mod cgroup;
mod describe;
mod downward;
mod environment;
mod reader;
pub(crate) mod rooted;
mod runtime_record;

use std::path::{Path, PathBuf};
use std::time::Duration;

use syncline_event::Container;

pub(crate) use describe::fitting;

use crate::patience::{Found, Patience, Unfinished};
use describe::Sources;
use reader::ProcDir;

/// How long a process may keep us waiting, once in its life. Reading takes some 0.1 ms where nobody is in the way.
const LONGEST: Duration = Duration::from_secs(1);

/// What was found of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Name of its service.
    pub service: String,
    /// Its container and pod.
    pub container: Container,
}

impl Metadata {
    /// Of a process of which nothing can be read.
    pub fn unread(executable: &Path) -> Self {
        Self::of(&Sources::default(), executable)
    }

    fn of(sources: &Sources, executable: &Path) -> Self {
        Self { service: sources.service(executable), container: sources.container() }
    }
}

/// Reads metadata of processes.
#[derive(Debug)]
pub struct MetadataReader {
    node_root: PathBuf,
    patience: Patience,
}

impl MetadataReader {
    /// One that finds the files of container runtimes below `node_root`: `/`, unless the agent has a root of its own.
    pub fn new(node_root: PathBuf) -> Self {
        Self { node_root, patience: Patience::default() }
    }

    /// What there is to know of a process that started at `start_time` (clock ticks since boot) and runs `executable`. Of one
    /// that has ended, or keeps us waiting, less.
    pub fn read(&self, pid: u32, start_time: u64, executable: &Path) -> Metadata {
        Metadata::of(&self.sources(pid, start_time), executable)
    }

    fn sources(&self, pid: u32, start_time: u64) -> Sources {
        let Ok(process) = ProcDir::open(pid, start_time) else { return Sources::default() };
        let place = process.place();
        let (known, node_root) = (place.clone(), self.node_root.clone());
        let (found, unfinished) = self.patience.wait_for(LONGEST, move |found: &Found<Sources>| {
            found.lock().place = known;
            reader::read(&process, &node_root, found);
        });
        match unfinished {
            None => {}
            Some(Unfinished::Stuck) => tracing::warn!(
                pid,
                container = place.container_id,
                "reading what tells of its service and pod does not end (a file system that does not answer?): going on without"
            ),
            Some(Unfinished::NotBegun) => tracing::warn!(
                pid,
                container = place.container_id,
                "too many processes keep the agent waiting: only the cgroup tells of its container"
            ),
        }
        // Where nothing was read, the place is still known.
        Sources { place, ..found }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc_stat::start_time_in;

    fn own_start_time() -> u64 {
        start_time_in(&std::fs::read("/proc/self/stat").unwrap()).unwrap()
    }

    #[test]
    fn nothing_is_said_of_another_process_with_the_same_pid() {
        let reader = MetadataReader::new("/".into());
        let (pid, executable) = (std::process::id(), Path::new("/bin/app"));
        let of_another = reader.read(pid, own_start_time() + 1, executable);
        assert_eq!(of_another, Metadata { service: "app".into(), container: Container::default() });
        assert!(!reader.sources(pid, own_start_time()).environment.first(&["PATH"]).unwrap_or_default().is_empty());
    }
}
