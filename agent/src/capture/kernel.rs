//! The loaded BPF object: its maps, opened once, and its programs.

use std::error::Error;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray, PerCpuHashMap, RingBuf};
use aya::programs::raw_trace_point::RawTracePointLink;
use aya::programs::uprobe::{UProbeAttachLocation, UProbeAttachPoint, UProbeLink, UProbeScope};
use aya::programs::{ProgramError, RawTracePoint, UProbe};
use aya::{Ebpf, EbpfLoader};
use rustix::fs::MemfdFlags;
use syncline_bpf::layout::{
    Binary, Binding, Clock, Config, InC, InSyscall, Key, OffCpu, Park, Short, ShortKey, Syscalls, Thread, Watch,
};
use syncline_bpf::{map, program};

use super::error::{KernelError, os_error_of};
use super::governing::KernelCosts;
use super::multi::MultiPrograms;

/// Maps of the object, each with its key and value as plain bytes.
pub(super) struct Maps {
    pub(super) events: RingBuf<MapData>,
    pub(super) config: Array<MapData, [u8; size_of::<Config>()]>,
    pub(super) clock: Array<MapData, [u8; size_of::<Clock>()]>,
    pub(super) binaries: Array<MapData, [u8; size_of::<Binary>()]>,
    pub(super) watched: HashMap<MapData, u32, [u8; size_of::<Watch>()]>,
    pub(super) parks: HashMap<MapData, [u8; size_of::<Key>()], [u8; size_of::<Park>()]>,
    pub(super) in_c: HashMap<MapData, [u8; size_of::<Key>()], [u8; size_of::<InC>()]>,
    pub(super) in_syscalls: HashMap<MapData, u32, [u8; size_of::<InSyscall>()]>,
    pub(super) off_cpus: HashMap<MapData, u32, [u8; size_of::<OffCpu>()]>,
    pub(super) threads: HashMap<MapData, u32, [u8; size_of::<Thread>()]>,
    pub(super) syscall_config: Array<MapData, [u8; size_of::<Syscalls>()]>,
    pub(super) bindings: HashMap<MapData, u32, [u8; size_of::<Binding>()]>,
    pub(super) tls_offsets: HashMap<MapData, u32, i32>,
    pub(super) short_waits: PerCpuHashMap<MapData, [u8; size_of::<ShortKey>()], [u8; size_of::<Short>()]>,
    pub(super) counters: PerCpuArray<MapData, u64>,
    pub(super) costs: KernelCosts,
}

impl Maps {
    pub(super) fn take(take: &mut TakeMap<'_>) -> Result<Self, MapError> {
        Ok(Self {
            events: take(map::EVENTS)?.try_into()?,
            config: take(map::CONFIG)?.try_into()?,
            clock: take(map::CLOCK_CONFIG)?.try_into()?,
            binaries: take(map::BINARIES)?.try_into()?,
            watched: take(map::WATCHED)?.try_into()?,
            parks: take(map::PARKS)?.try_into()?,
            in_c: take(map::IN_C)?.try_into()?,
            in_syscalls: take(map::IN_SYSCALLS)?.try_into()?,
            off_cpus: take(map::OFF_CPUS)?.try_into()?,
            threads: take(map::THREADS)?.try_into()?,
            syscall_config: take(map::SYSCALL_CONFIG)?.try_into()?,
            bindings: take(map::BINDINGS)?.try_into()?,
            tls_offsets: take(map::TLS_OFFSETS)?.try_into()?,
            short_waits: take(map::SHORT_WAITS)?.try_into()?,
            counters: take(map::COUNTERS)?.try_into()?,
            costs: take(map::COSTS)?.try_into()?,
        })
    }
}

/// Takes a map of the object by its name.
pub(super) type TakeMap<'a> = dyn FnMut(&str) -> Result<Map, MapError> + 'a;

/// The programs, loaded and verified, and not yet attached to anything.
pub(super) struct Programs {
    ebpf: Ebpf,
    /// Those on the Go runtime, where the kernel has links for them.
    multi: Option<MultiPrograms>,
}

/// A probe that is attached, until it is dropped.
#[derive(Debug)]
pub(super) enum ProbeLink {
    /// A link for uprobes.
    Multi { _link: OwnedFd },
    /// A perf event.
    Perf { _link: UProbeLink },
}

/// Set to 1 it has uprobes be perf events also where the kernel has links for them: should those not work.
const PERF_UPROBES: &str = "SYNCLINE_PERF_UPROBES";

/// How often a program is given to the verifier.
const LOAD_TRIES: u32 = 5;

/// Programs on the Go runtime.
const UPROBES: [&str; 16] = [
    program::MEASURE_WAY_IN,
    program::PARK,
    program::READY,
    program::NETPOLLREADY,
    program::EXECUTE,
    program::CGO_ENTER,
    program::CGO_EXIT,
    program::CREATE,
    program::DESTROY,
    program::YIELD,
    program::LOST_PROCESSOR,
    program::NO_PROCESSOR,
    program::COROUTINE_SWITCH,
    program::CALLBACK_ENTER,
    program::CALLBACK_EXIT,
    program::DROP_M,
];

/// Loads the object into the kernel, with these maps (name and entries) of other sizes than it says.
pub(super) fn load(ring_bytes: u32, sizes: &[(&'static str, u32)]) -> Result<Programs, KernelError> {
    let mut loader = EbpfLoader::new();
    loader.map_max_entries(map::EVENTS, ring_bytes);
    for (map, entries) in sizes {
        loader.map_max_entries(map, *entries);
    }
    let ebpf = loader.load(syncline_bpf::OBJECT).map_err(|e| KernelError::new("load the BPF object", e))?;
    // It has the kernel's types, which are some MiB.
    drop(loader);
    let mut programs = Programs { ebpf, multi: None };
    if are_perf_events_wanted(std::env::var(PERF_UPROBES).ok().as_deref()) || !programs.load_multi() {
        programs.load_uprobes()?;
    }
    Ok(programs)
}

/// By the value of [`PERF_UPROBES`].
fn are_perf_events_wanted(value: Option<&str>) -> bool {
    if !matches!(value, None | Some("" | "0" | "1")) {
        tracing::warn!(
            "{PERF_UPROBES} is neither 0 nor 1: it changes nothing; set it to 1 to have uprobes be perf events"
        );
    }
    value == Some("1")
}

impl Programs {
    /// Loads the programs on the Go runtime for links of their kind. False where the kernel (before 6.6) has none or does not let us have them: what
    /// is wrong then is told by loading them as perf events.
    fn load_multi(&mut self) -> bool {
        let loaded = MultiPrograms::load(syncline_bpf::OBJECT, &self.ebpf, &UPROBES).and_then(|multi| {
            self.multi = Some(multi);
            self.try_attaching()
        });
        if let Err(error) = &loaded {
            tracing::debug!("uprobes are perf events here, which takes longer to detach: {error}");
            self.multi = None;
        }
        loaded.is_ok()
    }

    fn load_uprobes(&mut self) -> Result<(), KernelError> {
        UPROBES.into_iter().try_for_each(|name| {
            unless_interrupted(|| uprobe(&mut self.ebpf, name).and_then(UProbe::load))
                .map_err(|e| KernelError::new(format!("load {name}"), e))
        })
    }

    /// Takes maps out of the object, which can be done once.
    pub(super) fn maps<M>(
        &mut self,
        take: impl FnOnce(&mut TakeMap<'_>) -> Result<M, MapError>,
    ) -> Result<M, KernelError> {
        let ebpf = &mut self.ebpf;
        let mut map = |name: &str| ebpf.take_map(name).ok_or_else(|| MapError::InvalidName { name: name.to_owned() });
        take(&mut map).map_err(|e| KernelError::new("open the maps of the BPF object", e))
    }

    /// A program that is loaded.
    pub(super) fn fd(&self, name: &str) -> Option<BorrowedFd<'_>> {
        if let Some(fd) = self.multi.as_ref().and_then(|multi| multi.fd(name)) {
            return Some(fd);
        }
        self.ebpf.program(name)?.fd().ok().map(AsFd::as_fd)
    }

    /// Attaches one program to an instruction of an executable, for all processes that run it.
    pub(super) fn attach(
        &mut self,
        name: &str,
        path: &Path,
        file_offset: u64,
        cookie: u32,
    ) -> Result<ProbeLink, KernelError> {
        if let Some(multi) = &self.multi {
            let attached = multi.attach(name, path, file_offset, cookie);
            return attached
                .map(|link| ProbeLink::Multi { _link: link })
                .map_err(|e| KernelError::new(format!("attach {name}"), e));
        }
        let point = UProbeAttachPoint {
            location: UProbeAttachLocation::AbsoluteOffset(file_offset),
            cookie: Some(cookie.into()),
        };
        let attached = uprobe(&mut self.ebpf, name).and_then(|program| {
            let id = program.attach(point, path, UProbeScope::AllProcesses)?;
            program.take_link(id)
        });
        attached.map(|link| ProbeLink::Perf { _link: link }).map_err(|e| KernelError::new(format!("attach {name}"), e))
    }

    /// Finds out whether the kernel lets us attach at all: attaches to a file in memory, and detaches. No process maps that
    /// file, so no breakpoint is written anywhere.
    pub(super) fn try_attaching(&mut self) -> Result<(), KernelError> {
        let file = file_in_memory().map_err(|e| KernelError::new("create a file in memory", e))?;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        self.attach(program::EXECUTE, Path::new(&path), 0, 0).map(drop)
    }

    /// Attaches one program to a raw tracepoint.
    pub(super) fn attach_raw_tracepoint(
        &mut self,
        name: &str,
        tracepoint: &str,
    ) -> Result<RawTracePointLink, KernelError> {
        // It stays loaded when it is detached.
        let load = |program: &mut RawTracePoint| if program.fd().is_ok() { Ok(()) } else { program.load() };
        let loaded = unless_interrupted(|| raw_tracepoint(&mut self.ebpf, name).and_then(load));
        loaded.map_err(|e| KernelError::new(format!("load {name}"), e))?;
        let attached = raw_tracepoint(&mut self.ebpf, name).and_then(|program| {
            let id = program.attach(tracepoint)?;
            program.take_link(id)
        });
        attached.map_err(|e| KernelError::new(format!("attach to {tracepoint}"), e))
    }
}

/// Loads a program, again where a signal has interrupted the verifier: it says EAGAIN then (`bpf_check` in kernel/bpf/verifier.c). As often as
/// libbpf does.
pub(super) fn unless_interrupted<T, E: Error + 'static>(mut load: impl FnMut() -> Result<T, E>) -> Result<T, E> {
    let was_interrupted = |error: &E| os_error_of(error).and_then(io::Error::raw_os_error) == Some(libc::EAGAIN);
    let mut loaded = load();
    for _ in 1..LOAD_TRIES {
        if loaded.as_ref().is_err_and(was_interrupted) {
            loaded = load();
        }
    }
    loaded
}

fn file_in_memory() -> io::Result<File> {
    let file = File::from(rustix::fs::memfd_create("syncline-agent", MemfdFlags::CLOEXEC)?);
    file.set_len(1)?;
    Ok(file)
}

fn uprobe<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut UProbe, ProgramError> {
    ebpf.program_mut(name).ok_or_else(|| ProgramError::InvalidName { name: name.to_owned() })?.try_into()
}

fn raw_tracepoint<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut RawTracePoint, ProgramError> {
    ebpf.program_mut(name).ok_or_else(|| ProgramError::InvalidName { name: name.to_owned() })?.try_into()
}

/// Steps through a map of goroutines before giving up for now; twice the kernel's map.
pub(super) const MAX_STEPS: usize = 2 << 20;

/// Keys of a hash map that probes change meanwhile. The kernel restarts an iteration whose last key has gone, so the number
/// of steps is bounded; None when it was exceeded.
pub(super) fn stable_keys<K: aya::Pod>(
    keys: impl Iterator<Item = Result<K, MapError>>,
    max_steps: usize,
) -> Option<Vec<K>> {
    let mut collected = Vec::new();
    for (step, key) in keys.enumerate() {
        if step >= max_steps {
            return None;
        }
        collected.push(key.ok()?);
    }
    Some(collected)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often it is tried, and whether it was loaded.
    fn tries(answers: &[i32]) -> (usize, bool) {
        let mut tries = 0;
        let loaded = unless_interrupted(|| {
            tries += 1;
            answers.get(tries - 1).map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(*errno)))
        });
        (tries, loaded.is_ok())
    }

    #[test]
    fn perf_events_are_wanted_by_one_word_alone() {
        assert!(are_perf_events_wanted(Some("1")));
        assert!([None, Some(""), Some("0"), Some("yes")].into_iter().all(|value| !are_perf_events_wanted(value)));
    }

    #[test]
    fn a_program_whose_verifier_was_interrupted_is_loaded_again() {
        assert_eq!(tries(&[]), (1, true));
        assert_eq!(tries(&[libc::EAGAIN; 3]), (4, true));
        assert_eq!(tries(&[libc::EAGAIN; 9]), (5, false));
        assert_eq!(tries(&[libc::EACCES]), (1, false));
    }
}
