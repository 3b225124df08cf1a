//! What the kernel holds of its wall clock, which whoever disciplines it keeps up: `struct timex` of adjtimex(2).
#![allow(unsafe_code, reason = "adjtimex(2) is in no safe wrapper crate that we use")]

use std::io;

use crate::UtcClaim;

/// What the kernel claims; `None` where nobody disciplines it (`STA_UNSYNC`).
///
/// UTC - WALL is what remains of the phase adjustment (`offset`), the bound `maxerror`, which grows by 500 ppm until the daemon
/// sets it again (kernel/time/ntp.c, `second_overflow`).
///
/// # Errors
/// If the system call is refused, as by a seccomp filter.
pub fn kernel() -> io::Result<Option<UtcClaim>> {
    let timex = timex()?;
    Ok(claim(timex.status, timex.offset, timex.maxerror))
}

/// TAI - WALL as the kernel holds it now, whole seconds (0 until something like an NTP daemon sets it).
///
/// # Errors
/// If the system call is refused, as by a seccomp filter.
pub fn kernel_tai_offset_seconds() -> io::Result<i32> {
    Ok(timex()?.tai)
}

fn timex() -> io::Result<libc::timex> {
    // SAFETY: `timex` is a plain C struct of integers, for which all zeroes is a valid value.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `timex` is a valid, exclusively borrowed struct; with `modes` 0 the kernel only fills it in.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    if state < 0 { Err(io::Error::last_os_error()) } else { Ok(timex) }
}

fn claim(status: i32, offset: i64, maxerror_us: i64) -> Option<UtcClaim> {
    let has = |flag: i32| status & flag != 0;
    if has(libc::STA_UNSYNC) {
        return None;
    }
    let unit_ns = if has(libc::STA_NANO) { 1 } else { 1_000 };
    let bound_ns = u64::try_from(maxerror_us).ok()?.saturating_mul(1_000);
    Some(UtcClaim { utc_minus_wall_ns: offset.saturating_mul(unit_ns), bound_ns })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_and_states_are_the_kernels() {
        assert_eq!(claim(libc::STA_UNSYNC, 5, 5), None);
        assert_eq!(claim(libc::STA_NANO, -5, 7), Some(UtcClaim { utc_minus_wall_ns: -5, bound_ns: 7_000 }));
        assert_eq!(claim(0, -5, 7), Some(UtcClaim { utc_minus_wall_ns: -5_000, bound_ns: 7_000 }));
        assert_eq!(claim(0, i64::MAX, -1), None);
        kernel().unwrap();
    }

    #[test]
    fn the_kernel_tells_its_tai_offset() {
        assert!((0..100).contains(&kernel_tai_offset_seconds().unwrap()));
    }
}
