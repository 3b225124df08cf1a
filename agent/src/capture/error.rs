//! What can go wrong with capturing, told in one line each: what, where, and how to mend it.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::privileges;

/// Why capturing cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// A setting is outside what the kernel can do.
    #[error("capture setting {setting}: {why}")]
    Setting {
        /// The setting's name.
        setting: &'static str,
        /// What is wrong with it and what would be right.
        why: String,
    },
    /// The process to observe does not exist.
    #[error("no process with pid {pid}: it ended, or the pid belongs to another PID namespace")]
    NoSuchProcess {
        /// The pid asked for.
        pid: u32,
    },
    /// The executable to observe cannot be opened.
    #[error("cannot open {}: {cause}", path.display())]
    Executable {
        /// Path asked for.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// The process or executable to observe cannot be observed.
    #[error("cannot observe {what}: {why}")]
    Refused {
        /// The process or executable.
        what: String,
        /// The cause.
        why: Arc<Refusal>,
    },
    /// The kernel refused.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

/// Why one binary cannot be observed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Not a Go binary that is understood.
    #[error("{exe}: {cause}", exe = exe.display())]
    Binary {
        /// The executable.
        exe: PathBuf,
        /// The cause.
        cause: syncline_gosym::Error,
    },
    /// The executable cannot be read.
    #[error("{exe} cannot be read: {cause}{hint}", exe = exe.display(), hint = read_hint(cause))]
    Unreadable {
        /// The executable.
        exe: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// The file's mode forbids to read the executable of a process.
    #[error("its executable may not be read: {cause} (CAP_DAC_READ_SEARCH is needed where the file's mode forbids it)")]
    Forbidden {
        /// The cause.
        cause: io::Error,
    },
    /// The bytes at a probe site are not those that were analysed.
    #[error("{exe} changed while it was being read: {function} does not start as analysed; try again", exe = exe.display())]
    Changed {
        /// The executable.
        exe: PathBuf,
        /// The function of the site.
        function: &'static str,
    },
    /// The process has no executable.
    #[error("it has no executable: it is a kernel thread, or has ended")]
    NoExecutable,
    /// The process ended, or ended its program, meanwhile.
    #[error("it ended while it was being looked at")]
    Ended,
    /// All slots for binaries are taken.
    #[error("more than {limit} different Go binaries run here; the probes of further ones are left out")]
    TooManyBinaries {
        /// Number of slots.
        limit: u32,
    },
    /// The kernel refused a probe.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

impl Refusal {
    /// Why the executable of a process cannot be looked at.
    pub(super) fn of_unreadable_process(exe: PathBuf, cause: io::Error) -> Self {
        match cause.kind() {
            io::ErrorKind::NotFound => Self::NoExecutable,
            _ => Self::Unreadable { exe, cause },
        }
    }

    /// Why the executable of a process that we may look at cannot be opened.
    pub(super) fn of_unopened(cause: io::Error) -> Self {
        match cause.kind() {
            io::ErrorKind::PermissionDenied => Self::Forbidden { cause },
            _ => Self::Ended,
        }
    }

    /// Whether the file simply is not a Go program, so that nobody expects it to be observed.
    #[must_use]
    pub fn is_not_go(&self) -> bool {
        use syncline_gosym::Error::{NotElf, NotGo};
        matches!(self, Self::Binary { cause: NotElf { .. } | NotGo { .. }, .. })
    }

    /// Whether a later attempt at the same file may succeed.
    pub(super) fn is_transient(&self) -> bool {
        matches!(self, Self::Ended | Self::Changed { .. } | Self::Unreadable { .. })
    }
}

fn read_hint(cause: &io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::PermissionDenied => format!(" ({})", hidden_because(privileges::hold_sys_ptrace())),
        _ => String::new(),
    }
}

fn hidden_because(hold_sys_ptrace: bool) -> String {
    if hold_sys_ptrace {
        format!("the kernel does not let the agent look at this process: {}", privileges::HIDDEN_FROM_SYS_PTRACE)
    } else {
        "CAP_SYS_PTRACE is needed to look at processes of other users".to_owned()
    }
}

/// A refusal of the kernel, with a hint on what may be missing.
#[derive(Debug, thiserror::Error)]
#[error("the kernel refused to {doing}: {cause}{hint}")]
pub struct KernelError {
    doing: String,
    cause: String,
    hint: String,
    /// The library's own error, for `{:?}`; its text may be a verifier's log of many lines.
    detail: Box<dyn Error + Send + Sync>,
}

impl KernelError {
    pub(super) fn new(doing: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        let os_error = os_error_of(&source);
        Self {
            doing: doing.into(),
            cause: os_error.map_or_else(|| first_line(&source.to_string()), ToString::to_string),
            hint: hint(os_error.and_then(io::Error::raw_os_error)),
            detail: Box::new(source),
        }
    }
}

/// The operating system's error at the bottom of a chain of causes.
fn os_error_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io_error) = error.downcast_ref::<io::Error>() {
            return Some(io_error);
        }
        next = error.source();
    }
    None
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn hint(errno: Option<i32>) -> String {
    match errno {
        Some(libc::EPERM | libc::EACCES) => format!(
            " (the agent needs root, or CAP_BPF and CAP_PERFMON, plus CAP_SYS_ADMIN to attach on kernels with the fix of \
             CVE-2025-38466, as those since July 2025; grant them e.g. with AmbientCapabilities= of its systemd unit; here \
             kernel.perf_event_paranoid = {}, kernel.unprivileged_bpf_disabled = {})",
            sysctl("perf_event_paranoid"),
            sysctl("unprivileged_bpf_disabled"),
        ),
        Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP) => {
            format!(" (Linux 6.1 or newer with BPF and uprobes is needed; this is {})", sysctl("osrelease"))
        }
        Some(libc::ENOMEM) => " (out of memory, or the memory limit of the agent's cgroup is too low)".to_owned(),
        _ => String::new(),
    }
}

fn sysctl(name: &str) -> String {
    std::fs::read_to_string(format!("/proc/sys/kernel/{name}")).map_or_else(|_| "?".into(), |text| text.trim().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_error_names_the_capabilities_and_sysctls() {
        let text = KernelError::new("load programs", io::Error::from_raw_os_error(libc::EPERM)).to_string();
        for word in [
            "load programs",
            "CAP_BPF",
            "CAP_PERFMON",
            "CAP_SYS_ADMIN",
            "perf_event_paranoid",
            "unprivileged_bpf_disabled",
        ] {
            assert!(text.contains(word), "{word} is missing in: {text}");
        }
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn no_capability_is_said_to_be_missing_that_is_held() {
        assert!(hidden_because(false).contains("CAP_SYS_PTRACE is needed"));
        assert!(!hidden_because(true).contains("CAP_SYS_PTRACE"));
    }
}
