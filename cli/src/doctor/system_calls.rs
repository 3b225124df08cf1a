//! The system calls of the doctor that no safe wrapper offers.
#![allow(unsafe_code)] // bpf(2) and adjtimex(2) are in neither rustix nor std.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

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
    let descriptor = i32::try_from(answer).map_err(io::Error::other)?;
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor and nobody else knows it, so we own it; dropping it closes it
    // and frees the map.
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
