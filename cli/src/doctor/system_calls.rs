//! The system calls of the doctor that no safe wrapper offers.
#![allow(unsafe_code)] // bpf(2), perf_event_open(2) and adjtimex(2) are in neither rustix nor std.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::fs::MemfdFlags;

/// `BPF_MAP_CREATE`'s part of `union bpf_attr` (linux/bpf.h), as far as an array needs it.
#[repr(C)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
}

const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_MAP_TYPE_RINGBUF: u32 = 27;

/// Creates and drops an array of one element: the smallest proof that bpf(2) works.
pub(super) fn create_bpf_array() -> io::Result<()> {
    create_map(&MapCreate { map_type: BPF_MAP_TYPE_ARRAY, key_size: 4, value_size: 8, max_entries: 1, map_flags: 0 })
}

/// Creates and drops a ring buffer of one page.
pub(super) fn create_bpf_ring_buffer() -> io::Result<()> {
    let page = u32::try_from(rustix::param::page_size()).unwrap_or(4096);
    create_map(&MapCreate {
        map_type: BPF_MAP_TYPE_RINGBUF,
        key_size: 0,
        value_size: 0,
        max_entries: page,
        map_flags: 0,
    })
}

fn create_map(attributes: &MapCreate) -> io::Result<()> {
    // SAFETY: the kernel reads exactly `size_of::<MapCreate>()` bytes from a live, initialized, padding-free struct, takes
    // the fields beyond that size as zero, and writes nothing. There is no safe wrapper of bpf(2) among our dependencies.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            BPF_MAP_CREATE,
            std::ptr::from_ref(attributes),
            size_of::<MapCreate>() as libc::c_long,
        )
    };
    close_answer(answer)
}

/// `struct perf_event_attr` (linux/perf_event.h) as of its second version, the first that holds a probe's offset.
#[repr(C)]
#[derive(Default)]
struct PerfEvent {
    pmu_type: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    breakpoint_type: u32,
    /// `config1`: the address of the path.
    uprobe_path: u64,
    /// `config2`.
    probe_offset: u64,
}

const EVERY_PROCESS: libc::c_int = -1;
const FIRST_CPU: libc::c_int = 0;
const NO_GROUP: libc::c_int = -1;
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 1 << 3;

/// Opens and closes the event by which a uprobe is attached, for all processes as the agent does. The probed file is one in
/// memory that no process maps, so no breakpoint is written anywhere. (At any place of a file that is mapped privately, even
/// in an ELF header that nobody executes, one would be.)
pub(super) fn open_uprobe(pmu_type: u32) -> io::Result<()> {
    let file = File::from(rustix::fs::memfd_create("syncline-doctor", MemfdFlags::CLOEXEC)?);
    file.set_len(1)?;
    let path = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let size = u32::try_from(size_of::<PerfEvent>()).map_err(io::Error::other)?;
    let event = PerfEvent { pmu_type, size, uprobe_path: path.as_ptr().addr() as u64, ..PerfEvent::default() };
    // SAFETY: the kernel reads `size` bytes, no more than the live, initialized, padding-free struct has, and the
    // NUL-terminated path, which lives until the end of this function and whose address is all that is needed of it; it
    // writes nothing. There is no safe wrapper of perf_event_open(2) among our dependencies.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            std::ptr::from_ref(&event),
            EVERY_PROCESS,
            FIRST_CPU,
            NO_GROUP,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    close_answer(answer)
}

/// Closes the descriptor that a system call has answered with.
fn close_answer(answer: libc::c_long) -> io::Result<()> {
    let descriptor = i32::try_from(answer).map_err(io::Error::other)?;
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor and nobody else knows it, so we own it; dropping it closes it
    // and frees what it stands for.
    drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
    Ok(())
}

/// What the kernel's clock discipline says about itself (adjtimex(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Discipline {
    /// `TIME_ERROR` or `STA_UNSYNC`: nobody claims that the clock is right.
    pub(super) unsynchronized: bool,
    /// The claimed maximum error in microseconds.
    pub(super) max_error_us: i64,
    /// TAI - UTC in seconds; 0 when nobody has set it.
    pub(super) tai_offset_s: i32,
}

/// Reads the discipline without changing it.
pub(super) fn clock_discipline() -> io::Result<Discipline> {
    // SAFETY: `timex` is a C struct of integers, for which all zeros is a valid value.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live `timex` of the type that libc declares for this call; `modes` is 0, so the kernel
    // only fills it in. There is no safe wrapper of adjtimex(2) among our dependencies.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    if state < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Discipline {
        unsynchronized: state == libc::TIME_ERROR || timex.status & libc::STA_UNSYNC != 0,
        max_error_us: timex.maxerror,
        tai_offset_s: timex.tai,
    })
}
