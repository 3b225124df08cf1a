//! What the kernel offers: its version, BTF, bpf(2), uprobes, locked memory.

use std::fs;
use std::io;

use super::check::{Check, Need, Status};
use super::system_calls;
use crate::units;

/// The first kernel whose BPF programs can read the TAI clock, from which the wall time of an event is made.
const OLDEST: Version = Version(6, 1);
/// The first kernel that accounts BPF memory to the cgroup instead of RLIMIT_MEMLOCK.
const WITHOUT_MEMLOCK: Version = Version(5, 11);

/// Major and minor version of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32);

impl Version {
    fn parse(release: &str) -> Option<Self> {
        let mut parts = release.split(|c: char| !c.is_ascii_digit());
        Some(Self(parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }
}

/// All checks of this file.
pub(crate) fn checks() -> Vec<Check> {
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy().into_owned();
    let mut checks = vec![
        kernel(&release),
        machine(&uname.machine().to_string_lossy()),
        btf(fs::metadata("/sys/kernel/btf/vmlinux").ok().map(|file| file.len())),
        bpf(system_calls::create_bpf_array(), system_calls::create_bpf_ring_buffer()),
        uprobes(uprobe_type().map(system_calls::open_uprobe)),
    ];
    if Version::parse(&release).is_none_or(|version| version < WITHOUT_MEMLOCK) {
        checks.push(locked_memory(rustix::process::getrlimit(rustix::process::Resource::Memlock).current));
    }
    checks
}

fn kernel(release: &str) -> Check {
    const NAME: &str = "kernel";
    match Version::parse(release) {
        Some(version) if version >= OLDEST => Check::ok(NAME, Need::Capture, format!("Linux {release}")),
        _ => Check::fail(
            NAME,
            Need::Capture,
            format!("Linux {release}"),
            "6.1 or newer is needed (wall time in the kernel)",
        ),
    }
}

fn machine(name: &str) -> Check {
    const NAME: &str = "machine";
    match name {
        "x86_64" => Check::ok(NAME, Need::Capture, name),
        _ => Check::fail(NAME, Need::Capture, name, "Go programs are captured on x86_64 only so far"),
    }
}

fn btf(size: Option<u64>) -> Check {
    const NAME: &str = "btf";
    match size {
        Some(size) => Check::ok(NAME, Need::Capture, format!("/sys/kernel/btf/vmlinux, {}", units::bytes(size))),
        None => Check::fail(
            NAME,
            Need::Capture,
            "/sys/kernel/btf/vmlinux is missing",
            "run a kernel built with CONFIG_DEBUG_INFO_BTF=y, as all current distributions have it",
        ),
    }
}

fn bpf(array: io::Result<()>, ring_buffer: io::Result<()>) -> Check {
    const NAME: &str = "bpf";
    let refused = |what: &str, error: &io::Error| {
        let hint = match error.raw_os_error() {
            Some(libc::EPERM) => "run as root or with CAP_BPF; in a container also allow bpf(2) in its seccomp profile",
            Some(libc::ENOSYS) => "run a kernel built with CONFIG_BPF_SYSCALL=y",
            _ => "bpf(2) refused for another reason than permission: see the kernel's log",
        };
        Check::fail(NAME, Need::Capture, format!("{what} was refused: {error}"), hint)
    };
    match (array, ring_buffer) {
        (Err(error), _) => refused("creating a map", &error),
        (_, Err(error)) => refused("creating a ring buffer", &error),
        _ => Check::ok(NAME, Need::Capture, "created a map and a ring buffer"),
    }
}

/// The number of the kernel's uprobe unit; None when it has none.
fn uprobe_type() -> Option<u32> {
    fs::read_to_string("/sys/bus/event_source/devices/uprobe/type").ok()?.trim().parse().ok()
}

/// Judges an attempt to attach; None when the kernel has no uprobes.
fn uprobes(attempt: Option<io::Result<()>>) -> Check {
    const NAME: &str = "uprobes";
    let (found, hint) = match attempt {
        Some(Ok(())) => return Check::ok(NAME, Need::Capture, "attached one and detached it"),
        Some(Err(error)) => (format!("attaching one was refused: {error}"), refused_uprobe_hint(&error)),
        None => (
            "/sys/bus/event_source/devices/uprobe is missing".to_owned(),
            "run a kernel built with CONFIG_UPROBE_EVENTS=y, and see that /sys is mounted",
        ),
    };
    Check::fail(NAME, Need::Capture, found, hint)
}

fn refused_uprobe_hint(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => {
            "run as root or with CAP_SYS_ADMIN: since the fix of CVE-2025-38466 (July 2025) the kernel demands it for uprobes, \
             older ones CAP_PERFMON; in a container also allow perf_event_open(2) in its seccomp profile"
        }
        _ => "perf_event_open(2) refused for another reason than permission: see the kernel's log",
    }
}

fn locked_memory(limit: Option<u64>) -> Check {
    const NAME: &str = "locked-memory";
    const NEEDED: u64 = 64 << 20;
    match limit {
        Some(limit) if limit < NEEDED => Check {
            status: Status::Warn,
            ..Check::fail(
                NAME,
                Need::Capture,
                units::bytes(limit),
                "kernels before 5.11 count maps against it: ulimit -l unlimited, or LimitMEMLOCK=infinity in the unit",
            )
        },
        Some(limit) => Check::ok(NAME, Need::Capture, units::bytes(limit)),
        None => Check::ok(NAME, Need::Capture, "unlimited"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared_as_numbers() {
        assert_eq!(Version::parse("6.18.0-rc1-amd64"), Some(Version(6, 18)));
        assert_eq!(Version::parse("5.15-custom"), Some(Version(5, 15)));
        assert_eq!(Version::parse("linux"), None);
        assert!(Version(5, 9) < Version(5, 15));
    }

    #[test]
    fn old_kernels_fail() {
        let status = |release| kernel(release).status;
        assert_eq!(
            [status("6.1.0"), status("6.0.9"), status("5.10.0"), status("?")],
            [Status::Ok, Status::Fail, Status::Fail, Status::Fail]
        );
    }

    #[test]
    fn a_refusal_says_why_and_what_helps() {
        let check = bpf(Err(io::Error::from_raw_os_error(libc::EPERM)), Ok(()));
        assert_eq!(check.status, Status::Fail);
        assert!(check.hint.unwrap().contains("CAP_BPF"));
        assert_eq!(bpf(Ok(()), Err(io::Error::from_raw_os_error(libc::EINVAL))).status, Status::Fail);
        assert_eq!(bpf(Ok(()), Ok(())).status, Status::Ok);
    }

    #[test]
    fn a_refused_uprobe_names_the_capability_that_helps() {
        for errno in [libc::EACCES, libc::EPERM] {
            let check = uprobes(Some(Err(io::Error::from_raw_os_error(errno))));
            assert_eq!(check.status, Status::Fail);
            let hint = check.hint.unwrap();
            assert!(hint.contains("CAP_SYS_ADMIN") && hint.contains("CVE-2025-38466"), "{hint}");
        }
        let other = uprobes(Some(Err(io::Error::from_raw_os_error(libc::EINVAL))));
        assert!(other.status == Status::Fail && !other.hint.unwrap().contains("CAP_SYS_ADMIN"));
        assert_eq!(uprobes(Some(Ok(()))).status, Status::Ok);
    }

    #[test]
    fn absent_things_fail_with_a_hint() {
        for check in [btf(None), uprobes(None), machine("riscv64")] {
            assert_eq!(check.status, Status::Fail);
            assert!(check.hint.is_some());
        }
        assert_eq!(locked_memory(Some(65_536)).status, Status::Warn);
        assert_eq!(locked_memory(None).status, Status::Ok);
    }
}
