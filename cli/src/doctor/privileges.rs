//! What this process may do and see: its capabilities, the system's settings that make up for missing ones, and whose pids it
//! sees.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::check::{Check, Need};

/// Bits of a capability set that matter here (linux/capability.h).
const DAC_READ_SEARCH: u32 = 2;
const SYS_PTRACE: u32 = 19;
const SYS_ADMIN: u32 = 21;
const PERFMON: u32 = 38;
const BPF: u32 = 39;

/// Inode of the initial PID namespace, the same on every Linux (`PROC_PID_INIT_INO` in linux/proc_ns.h).
const INITIAL_PID_NAMESPACE: u64 = 0xEFFF_FFFC;

/// The effective capabilities of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Capabilities(u64);

impl Capabilities {
    /// Those of this process; none if `/proc` does not tell.
    pub(crate) fn of_this_process() -> Self {
        fs::read_to_string("/proc/self/status").ok().and_then(|status| Self::from_status(&status)).unwrap_or(Self(0))
    }

    fn from_status(status: &str) -> Option<Self> {
        let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(mask.trim(), 16).ok().map(Self)
    }

    fn has(self, bit: u32) -> bool {
        self.0 & (1 << bit) != 0
    }

    fn may_load(self) -> bool {
        self.has(SYS_ADMIN) || (self.has(BPF) && self.has(PERFMON))
    }
}

/// All checks of this file.
pub(crate) fn checks(capabilities: Capabilities) -> Vec<Check> {
    let setting = |path: &str| fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok());
    vec![
        loading(capabilities),
        other_processes(capabilities),
        pid_namespace(fs::metadata("/proc/self/ns/pid").ok().map(|metadata| metadata.ino())),
        perf_event_paranoid(setting("/proc/sys/kernel/perf_event_paranoid"), capabilities),
        unprivileged_bpf(setting("/proc/sys/kernel/unprivileged_bpf_disabled"), capabilities),
    ]
}

/// Whether the BPF object may be loaded; what attaching takes depends on the kernel and is found out by trying.
fn loading(capabilities: Capabilities) -> Check {
    const NAME: &str = "capabilities";
    let missing: Vec<&str> = [(BPF, "CAP_BPF"), (PERFMON, "CAP_PERFMON")]
        .into_iter()
        .filter(|(bit, _)| !capabilities.has(*bit))
        .map(|(_, name)| name)
        .collect();
    if capabilities.may_load() {
        let found = if capabilities.has(SYS_ADMIN) { "CAP_SYS_ADMIN" } else { "CAP_BPF and CAP_PERFMON" };
        return Check::ok(NAME, Need::Capture, found);
    }
    Check::fail(
        NAME,
        Need::Capture,
        format!("without {}", missing.join(" and ")),
        "run the agent as root, or: setcap cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search+ep syncline-agent \
         (and cap_sys_admin where the kernel demands it for uprobes)",
    )
}

/// `/proc/PID/exe` and the maps of other users' processes open only with these.
fn other_processes(capabilities: Capabilities) -> Check {
    const NAME: &str = "other-users-processes";
    let missing: Vec<&str> = [(SYS_PTRACE, "CAP_SYS_PTRACE"), (DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH")]
        .into_iter()
        .filter(|(bit, _)| !capabilities.has(*bit))
        .map(|(_, name)| name)
        .collect();
    if missing.is_empty() {
        return Check::ok(NAME, Need::Capture, "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH");
    }
    Check::warn(
        NAME,
        Need::Capture,
        format!("without {}", missing.join(" and ")),
        "only Go programs of this user can be found and read; give the agent both capabilities to see all",
    )
}

/// The kernel's probes speak of pids as the host numbers them.
fn pid_namespace(inode: Option<u64>) -> Check {
    const NAME: &str = "pid-namespace";
    match inode {
        Some(INITIAL_PID_NAMESPACE) => Check::ok(NAME, Need::Capture, "the host's"),
        Some(_) => Check::fail(
            NAME,
            Need::Capture,
            "not the host's: none of the node's programs would be seen",
            "run the agent in the host's PID namespace: hostPID: true in Kubernetes, --pid=host in Docker or Podman",
        ),
        None => Check::warn(
            NAME,
            Need::Capture,
            "/proc/self/ns/pid cannot be read",
            "mount /proc; the agent must run in the host's PID namespace",
        ),
    }
}

fn perf_event_paranoid(level: Option<i32>, capabilities: Capabilities) -> Check {
    const NAME: &str = "perf-event-paranoid";
    match level {
        None => Check::fail(
            NAME,
            Need::Capture,
            "/proc/sys/kernel/perf_event_paranoid is missing",
            "this kernel has no perf events (CONFIG_PERF_EVENTS), without which no uprobe attaches",
        ),
        Some(level) if level > 2 && !capabilities.has(PERFMON) && !capabilities.has(SYS_ADMIN) => Check::fail(
            NAME,
            Need::Capture,
            format!("{level}: unprivileged use is forbidden"),
            "give the agent CAP_PERFMON, or: sysctl kernel.perf_event_paranoid=2",
        ),
        Some(level) => Check::ok(NAME, Need::Capture, level.to_string()),
    }
}

fn unprivileged_bpf(value: Option<i32>, capabilities: Capabilities) -> Check {
    const NAME: &str = "unprivileged-bpf-disabled";
    let Some(value) = value else { return Check::ok(NAME, Need::Capture, "no such setting in this kernel") };
    if capabilities.may_load() || value == 0 {
        return Check::ok(NAME, Need::Capture, value.to_string());
    }
    Check::warn(
        NAME,
        Need::Capture,
        format!("{value}: bpf(2) needs CAP_BPF"),
        "this is the safe setting; leave it, and give the agent its capabilities",
    )
}

#[cfg(test)]
mod tests {
    use super::super::check::Status;
    use super::*;

    fn with(bits: &[u32]) -> Capabilities {
        Capabilities(bits.iter().map(|bit| 1u64 << bit).sum())
    }

    #[test]
    fn capabilities_are_read_from_proc() {
        let status = "Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t000000c000000000\nCapBnd:\t0\n";
        assert_eq!(Capabilities::from_status(status), Some(with(&[BPF, PERFMON])));
        assert_eq!(Capabilities::from_status("Name: x"), None);
    }

    #[test]
    fn bpf_and_perfmon_are_enough_to_load_and_either_alone_is_not() {
        assert_eq!(loading(with(&[BPF, PERFMON])).status, Status::Ok);
        assert_eq!(loading(with(&[SYS_ADMIN])).status, Status::Ok);
        let alone = loading(with(&[BPF]));
        assert_eq!((alone.status, alone.found.as_str()), (Status::Fail, "without CAP_PERFMON"));
        assert!(alone.hint.is_some());
    }

    #[test]
    fn only_the_hosts_pid_namespace_will_do() {
        assert_eq!(pid_namespace(Some(4_026_531_836)).status, Status::Ok);
        assert_eq!(pid_namespace(Some(4_026_532_198)).status, Status::Fail);
        assert_eq!(pid_namespace(None).status, Status::Warn);
    }

    #[test]
    fn settings_matter_only_without_capabilities() {
        assert_eq!(perf_event_paranoid(Some(4), with(&[PERFMON])).status, Status::Ok);
        assert_eq!(perf_event_paranoid(Some(4), with(&[])).status, Status::Fail);
        assert_eq!(perf_event_paranoid(None, with(&[SYS_ADMIN])).status, Status::Fail);
        assert_eq!(unprivileged_bpf(Some(2), with(&[])).status, Status::Warn);
        assert_eq!(unprivileged_bpf(Some(2), with(&[BPF, PERFMON])).status, Status::Ok);
        assert_eq!(other_processes(with(&[SYS_PTRACE])).status, Status::Warn);
    }
}
