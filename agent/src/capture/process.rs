//! One observed process, as /proc shows it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::binary::Binary;
use super::error::Refusal;
use super::executable::{FileId, exe_link};
use super::frames::{AddressSpace, load_bias};
use super::memory::Memory;
use super::retry::Retry;
use super::told::Told;
use crate::choice::Settings;
use crate::metadata::Metadata;
use crate::proc_stat::{is_gone, start_time};

const NS_PER_S: u64 = 1_000_000_000;
const NS_PER_MS: u64 = 1_000_000;

/// What was found to hold for a process.
pub(super) struct Chosen {
    pub(super) settings: Settings,
    /// Its names, if they were asked for.
    pub(super) names: Option<Arc<Metadata>>,
}

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
    /// What holds its Go code: its executable, or a library that it has loaded.
    pub binary: Arc<Binary>,
    /// Run-time address minus link-time address; 0 unless position-independent.
    pub load_bias: u64,
    /// What code it has where.
    pub(super) address_space: Arc<AddressSpace>,
    /// What holds for it: what was chosen, as far as its budget allows.
    pub settings: Settings,
    /// What was chosen.
    pub(super) chosen: Settings,
    /// What it belongs to, where a rule has asked for that.
    pub(crate) names: Option<Arc<Metadata>>,
    /// From which age on its waits are told of before they end.
    pub(super) told: Told,
    /// Slot of the binary: the attach cookie of its probes.
    pub(super) slot: u32,
    pub(super) file: FileId,
    /// It did nothing before, CLOCK_MONOTONIC ns: when it exec'ed its program if that was noticed, else 0.
    pub(super) since_mono_ns: u64,
    /// When it was looked at, CLOCK_MONOTONIC ns.
    pub(super) seen_mono_ns: u64,
    /// When to look for plugins that it has loaded.
    pub(super) look_for_plugins: Retry,
}

impl ObservedProcess {
    pub(super) fn look(
        pid: u32,
        slot: u32,
        file: FileId,
        binary: Arc<Binary>,
        chosen: Chosen,
    ) -> Result<Self, Refusal> {
        let Chosen { settings, names } = chosen;
        let told = Told::new(&settings);
        let seen_mono_ns = mono_ns();
        let unreadable = |what: &str, cause| Refusal::of_proc_file(format!("/proc/{pid}/{what}").into(), cause);
        let start_time = start_time(pid).map_err(|e| unreadable("stat", e))?;
        let exe = std::fs::read_link(exe_link(pid)).map_err(|e| unreadable("exe", e))?;
        let cmdline = cmdline(&read(pid, "cmdline").unwrap_or_default());
        let maps = read(pid, "maps").map_err(|e| unreadable("maps", e))?;
        let code = load_bias(&maps, binary.text_segment(), binary.file_id().ino());
        let (load_bias, code) = code.ok_or(Refusal::NotMapped)?;
        let address_space = Arc::new(AddressSpace::new(pid, start_time, (file, code), &maps));
        let look_for_plugins =
            if binary.loads_plugins() { Retry::after(None, Instant::now()).at_once() } else { Retry::Never };
        Ok(Self {
            pid,
            start_time,
            exe,
            cmdline,
            binary,
            load_bias,
            address_space,
            settings,
            chosen: settings,
            names,
            told,
            slot,
            file,
            since_mono_ns: 0,
            seen_mono_ns,
            look_for_plugins,
        })
    }

    /// When it exec'ed its program, CLOCK_MONOTONIC ns, if that was noticed.
    #[must_use]
    pub fn exec_mono_ns(&self) -> Option<u64> {
        (self.since_mono_ns != 0).then_some(self.since_mono_ns)
    }

    /// Since when it runs its program, CLOCK_MONOTONIC ns: its exec if that was noticed, else its start, to a clock tick.
    #[must_use]
    pub fn program_since_mono_ns(&self) -> u64 {
        self.exec_mono_ns().unwrap_or_else(|| ticks_to_mono_ns(self.start_time))
    }

    /// Why its goroutines are not observed, only its threads; None where they are.
    #[must_use]
    pub fn limited(&self) -> Option<&syncline_gosym::Error> {
        self.binary.probe_sites().err()
    }

    /// Where its threads keep their g, bytes from their bases, where that was decided when its Go code was loaded.
    pub(super) fn thread_local_offset(&self) -> Option<i32> {
        let slot = self.binary.thread_local_slot()?.wrapping_add(self.load_bias);
        let offset = Memory::of(self.pid).ok()?.word(slot)?;
        i32::try_from(offset.cast_signed()).ok()
    }

    /// Whether the pid still belongs to this process, running this program; true where that cannot be told now.
    pub(super) fn is_still(&self, file: FileId) -> bool {
        let is_same_process = match start_time(self.pid) {
            Ok(start_time) => start_time == self.start_time,
            Err(cause) => !is_gone(&cause),
        };
        self.file.inode == file.inode && is_same_process
    }
}

/// CLOCK_MONOTONIC as the kernel's probes read it.
pub(crate) fn mono_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let ns = now.tv_sec.saturating_mul(1_000_000_000).saturating_add(now.tv_nsec);
    ns.unsigned_abs()
}

/// CLOCK_REALTIME, ns.
pub(super) fn wall_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    now.tv_sec.saturating_mul(1_000_000_000).saturating_add(now.tv_nsec).unsigned_abs()
}

/// A time of `/proc/PID/stat`, which counts on while the machine is suspended as CLOCK_MONOTONIC does not. What it was suspended
/// is taken to a millisecond, so that the same process has the same time whenever it is asked.
fn ticks_to_mono_ns(ticks: u64) -> u64 {
    let boot_ns = ticks.saturating_mul(NS_PER_S / procfs::ticks_per_second().max(1));
    boot_ns.saturating_sub(suspended_ns().saturating_add(NS_PER_MS / 2) / NS_PER_MS * NS_PER_MS)
}

fn suspended_ns() -> u64 {
    let mono_ns = mono_ns();
    let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let boot_ns = boot.tv_sec.saturating_mul(1_000_000_000).saturating_add(boot.tv_nsec);
    boot_ns.unsigned_abs().saturating_sub(mono_ns)
}

fn cmdline(bytes: &[u8]) -> Vec<String> {
    let arguments = bytes.strip_suffix(b"\0").unwrap_or(bytes).split(|byte| *byte == 0);
    arguments.map(|argument| String::from_utf8_lossy(argument).into_owned()).collect()
}

fn read(pid: u32, what: &str) -> io::Result<Vec<u8>> {
    std::fs::read(format!("/proc/{pid}/{what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_starts_between_boot_and_now_and_its_time_does_not_change() {
        let ticks = start_time(std::process::id()).unwrap();
        let started_mono_ns = ticks_to_mono_ns(ticks);
        assert!(started_mono_ns > 0 && started_mono_ns <= mono_ns());
        assert_eq!(ticks_to_mono_ns(ticks), started_mono_ns);
        assert_eq!(ticks_to_mono_ns(0), 0);
    }

    #[test]
    fn arguments_in_any_encoding_are_kept() {
        assert_eq!(cmdline(b"app\0-x\0\xff\0"), ["app", "-x", "\u{fffd}"]);
    }
}
