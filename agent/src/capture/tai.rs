//! The TAI offset of the kernel, with which the BPF programs turn CLOCK_TAI into CLOCK_REALTIME.
#![allow(unsafe_code)] // adjtimex(2) is in no safe wrapper crate that we use

use std::io;

/// TAI - REALTIME as the kernel holds it now, whole seconds (0 until something like an NTP daemon sets it).
///
/// # Errors
/// If the system call is refused, e.g. by a seccomp filter.
pub fn kernel_tai_offset_seconds() -> io::Result<i32> {
    // SAFETY: `timex` is a plain C struct of integers, for which all zeroes is a valid value.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `timex` is a valid, exclusively borrowed struct; with `modes` 0 the kernel only fills it in.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    if state < 0 { Err(io::Error::last_os_error()) } else { Ok(timex.tai) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernel_tells_its_tai_offset() {
        assert!((0..100).contains(&super::kernel_tai_offset_seconds().unwrap()));
    }
}
