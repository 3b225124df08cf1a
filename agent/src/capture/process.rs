//! One observed process, as /proc shows it.

use std::path::PathBuf;
use std::sync::Arc;

use procfs::process::{MMPermissions, MMapPath, MemoryMap, Process};
use syncline_gosym::TextSegment;

use super::binary::Binary;
use super::error::Refusal;
use super::executable::FileId;

/// A process whose goroutines are observed.
#[derive(Debug, Clone)]
pub struct ObservedProcess {
    /// Process id (in the agent's PID namespace, which has to be the host's).
    pub pid: u32,
    /// When it started, clock ticks since boot (`/proc/PID/stat`): tells two processes with one pid apart.
    pub start_time: u64,
    /// Path of its executable, as `/proc/PID/exe` shows it.
    pub exe: PathBuf,
    /// Its command line.
    pub cmdline: Vec<String>,
    /// Its executable.
    pub binary: Arc<Binary>,
    /// Run-time address minus link-time address; 0 unless position-independent.
    pub load_bias: u64,
    /// Slot of the binary: the attach cookie of its probes.
    pub(super) slot: u32,
    pub(super) file: FileId,
}

impl ObservedProcess {
    pub(super) fn look(pid: u32, slot: u32, file: FileId, binary: Arc<Binary>) -> Result<Self, Refusal> {
        let process = open(pid).ok_or(Refusal::Ended)?;
        let start_time = process.stat().map_err(|_| Refusal::Ended)?.starttime;
        let exe = process.exe().map_err(|_| Refusal::Ended)?;
        let cmdline = process.cmdline().unwrap_or_default();
        let load_bias = load_bias(&process, binary.text_segment(), file.ino()).ok_or(Refusal::Ended)?;
        Ok(Self { pid, start_time, exe, cmdline, binary, load_bias, slot, file })
    }

    /// Whether the pid still belongs to this process, running this program.
    pub(super) fn is_still(&self, file: FileId) -> bool {
        self.file.inode == file.inode && start_time(self.pid) == Some(self.start_time)
    }
}

pub(super) fn start_time(pid: u32) -> Option<u64> {
    open(pid)?.stat().ok().map(|stat| stat.starttime)
}

fn open(pid: u32) -> Option<Process> {
    Process::new(i32::try_from(pid).ok()?).ok()
}

/// Where the process maps the Go code, minus where the linker put it.
fn load_bias(process: &Process, text: TextSegment, inode: u64) -> Option<u64> {
    let maps = process.maps().ok()?;
    maps.iter().find(|map| holds(map, text, inode)).map(|map| bias_of(map, text))
}

fn holds(map: &MemoryMap, text: TextSegment, inode: u64) -> bool {
    let length = map.address.1.saturating_sub(map.address.0);
    map.perms.contains(MMPermissions::EXECUTE)
        && matches!(map.pathname, MMapPath::Path(_))
        && map.inode == inode
        // The mapping starts at the page that holds the segment's first byte.
        && (map.offset..map.offset.saturating_add(length)).contains(&text.file_offset)
}

fn bias_of(map: &MemoryMap, text: TextSegment) -> u64 {
    let run_time_start = map.address.0.wrapping_add(text.file_offset.wrapping_sub(map.offset));
    run_time_start.wrapping_sub(text.vaddr)
}
