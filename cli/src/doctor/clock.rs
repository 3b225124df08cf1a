//! The clocks of this machine: what they are made of and what is claimed about them.

use std::fs;
use std::io;

use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};

use super::check::{Check, Need};
use super::system_calls::{self, Discipline};
use crate::units;

const VM_CLOCK: &str = "/dev/vmclock0";
const CLOCKSOURCE: &str = "/sys/devices/system/clocksource/clocksource0";

/// All checks of this file.
pub(crate) fn checks() -> Vec<Check> {
    let read = |name: &str| fs::read_to_string(format!("{CLOCKSOURCE}/{name}")).unwrap_or_default().trim().to_owned();
    vec![
        raw_clock(clock_gettime(ClockId::MonotonicRaw), clock_getres(ClockId::MonotonicRaw)),
        source(&read("current_clocksource"), &read("available_clocksource")),
        discipline(system_calls::clock_discipline()),
        vm_clock(fs::File::open(VM_CLOCK)),
    ]
}

fn raw_clock(now: Timespec, resolution: Timespec) -> Check {
    const NAME: &str = "clock-monotonic-raw";
    let ns = u64::try_from(resolution.tv_nsec).unwrap_or(u64::MAX);
    if resolution.tv_sec != 0 || ns > 1_000 {
        return Check::warn(
            NAME,
            Need::Capture,
            format!("resolution {}", units::span(ns)),
            "the clock ticks coarsely: error bounds will be as wide as its tick",
        );
    }
    Check::ok(NAME, Need::Capture, format!("{} s since boot, resolution {}", now.tv_sec, units::span(ns)))
}

/// Sources that programs read without a system call and that keep their rate.
fn source(current: &str, available: &str) -> Check {
    const NAME: &str = "clocksource";
    match current {
        "tsc" | "kvm-clock" | "hyperv_clocksource_tsc_page" | "arch_sys_counter" => {
            Check::ok(NAME, Need::Capture, current)
        }
        "" => Check::warn(NAME, Need::Capture, "unknown", format!("{CLOCKSOURCE} cannot be read: is /sys mounted?")),
        _ => Check::warn(
            NAME,
            Need::Capture,
            format!("{current} (available: {available})"),
            "slow to read and coarse; see the kernel's log for why the TSC was rejected, and boot with clocksource=tsc if it is sound",
        ),
    }
}

fn discipline(found: io::Result<Discipline>) -> Check {
    const NAME: &str = "clock-discipline";
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            let hint = "allow adjtimex(2) in the seccomp profile: wall time cannot follow TAI without it";
            return Check::warn(NAME, Need::Capture, format!("adjtimex failed: {error}"), hint);
        }
    };
    let error = units::span(u64::try_from(found.max_error_us).unwrap_or(0).saturating_mul(1_000));
    let tai = found.tai_offset_s;
    if found.unsynchronized {
        return Check::warn(
            NAME,
            Need::Capture,
            format!("not synchronized, TAI offset {tai} s"),
            "nobody steers this clock; Syncline measures it all the same, but run chrony so that wall times mean something",
        );
    }
    Check::ok(NAME, Need::Capture, format!("synchronized, claimed error at most {error}, TAI offset {tai} s"))
}

/// Nothing to mend where it is missing: a machine that is no VM needs none, and a VM can only be given one.
fn vm_clock(opened: io::Result<fs::File>) -> Check {
    const NAME: &str = "vmclock";
    match opened {
        Ok(_) => {
            Check::ok(NAME, Need::Capture, format!("{VM_CLOCK}: the hypervisor tells of migrations and snapshots"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Check::ok(
            NAME,
            Need::Capture,
            format!(
                "no {VM_CLOCK} (Linux 6.13 and a hypervisor that has it): a freeze of all clocks shows to probes alone"
            ),
        ),
        Err(error) => Check::warn(
            NAME,
            Need::Capture,
            format!("{VM_CLOCK} cannot be opened: {error}"),
            "run the agent as root or with CAP_DAC_READ_SEARCH: else a freeze of all clocks shows to probes alone",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Status;
    use super::*;

    #[test]
    fn slow_sources_are_named_with_what_there_is_instead() {
        assert_eq!(source("tsc", "tsc").status, Status::Ok);
        let slow = source("hpet", "hpet acpi_pm");
        assert_eq!((slow.status, slow.found.as_str()), (Status::Warn, "hpet (available: hpet acpi_pm)"));
        assert_eq!(source("", "").status, Status::Warn);
    }

    #[test]
    fn the_discipline_is_told_as_claimed() {
        let good = Discipline { unsynchronized: false, max_error_us: 1_500, tai_offset_s: 37 };
        let check = discipline(Ok(good));
        assert_eq!(check.found, "synchronized, claimed error at most 1.50 ms, TAI offset 37 s");
        assert_eq!(discipline(Ok(Discipline { unsynchronized: true, ..good })).status, Status::Warn);
        assert_eq!(discipline(Err(io::Error::from_raw_os_error(libc::EPERM))).status, Status::Warn);
    }

    #[test]
    fn a_missing_vmclock_is_told_and_one_that_may_not_be_read_is_a_warning() {
        let missing = vm_clock(Err(io::ErrorKind::NotFound.into()));
        assert!(missing.status == Status::Ok && missing.found.contains("no /dev/vmclock0"), "{missing:?}");
        assert_eq!(vm_clock(Err(io::ErrorKind::PermissionDenied.into())).status, Status::Warn);
        assert_eq!(vm_clock(fs::File::open("/dev/null")).status, Status::Ok);
    }

    #[test]
    fn a_coarse_clock_is_a_warning() {
        let at = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
        assert_eq!(raw_clock(at(5, 0), at(0, 1)).status, Status::Ok);
        assert_eq!(raw_clock(at(5, 0), at(0, 4_000_000)).status, Status::Warn);
    }
}
