//! What can go wrong with capturing, told in one line each: what, where, and how to mend it.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::library::Library;
use super::privileges;
use crate::proc_stat;

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
    /// The agent numbers processes otherwise than the host does.
    #[error(
        "the agent runs in a PID namespace of its own and would see none of the node's programs: run it in the host's \
         (hostPID: true in Kubernetes, --pid=host in Docker or Podman)"
    )]
    PidNamespace,
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
    /// A Go binary for another processor.
    #[error("{exe} is built for {machine}, and this agent is not: use the agent that is built for {machine}", exe = exe.display())]
    OtherMachine {
        /// The executable.
        exe: PathBuf,
        /// Its processor.
        machine: syncline_gosym::Machine,
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
    /// A library was written to while it is used.
    #[error("{exe} was overwritten in place while a process has it loaded: replace a library by renaming another one over it", exe = exe.display())]
    Replaced {
        /// The library.
        exe: PathBuf,
    },
    /// A library in a Go program has a runtime of its own.
    #[error("{exe} has a Go runtime of its own beside the program's, and one runtime of each process is observed", exe = exe.display())]
    OwnRuntime {
        /// The library.
        exe: PathBuf,
    },
    /// The process has no executable.
    #[error("it has no executable: it is a kernel thread, or has ended")]
    NoExecutable,
    /// The executable of a process cannot be opened.
    #[error("its executable cannot be opened: {cause}")]
    Unopened {
        /// The cause.
        cause: io::Error,
    },
    /// The process ended meanwhile.
    #[error("it ended while it was being looked at")]
    Ended,
    /// The process does not map the code of its executable.
    #[error("its executable's code is not mapped: it is just starting another program, or was unpacked in memory")]
    NotMapped,
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
            _ if proc_stat::is_gone(&cause) => Self::Ended,
            _ => Self::Unopened { cause },
        }
    }

    /// Why a library cannot be read.
    pub(super) fn of_library(library: &Library, cause: io::Error) -> Self {
        Self::Unreadable { exe: library.path().to_owned(), cause }
    }

    /// Why a file of `/proc/PID` cannot be read.
    pub(super) fn of_proc_file(file: PathBuf, cause: io::Error) -> Self {
        if proc_stat::is_gone(&cause) { Self::Ended } else { Self::Unreadable { exe: file, cause } }
    }

    /// Whether the file simply is not a Go program, so that nobody expects it to be observed.
    #[must_use]
    pub fn is_not_go(&self) -> bool {
        use syncline_gosym::Error::{NotElf, NotGo};
        matches!(self, Self::Binary { cause: NotElf { .. } | NotGo { .. }, .. })
    }

    /// Whether a later attempt at the same file may succeed.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Binary { .. } | Self::OwnRuntime { .. } | Self::OtherMachine { .. } | Self::NoExecutable => false,
            Self::Kernel(error) => error.is_transient(),
            Self::Unreadable { .. }
            | Self::Forbidden { .. }
            | Self::Changed { .. }
            | Self::Replaced { .. }
            | Self::Unopened { .. }
            | Self::Ended
            | Self::NotMapped
            | Self::TooManyBinaries { .. } => true,
        }
    }

    /// The reason in one word, under which processes are counted. None for what nobody expects to be observed.
    pub(super) fn counted_as(&self) -> Option<&'static str> {
        match self {
            Self::NoExecutable | Self::Ended => None,
            Self::Binary { cause, .. } => binary_counted_as(cause),
            Self::OtherMachine { .. } => Some("unsupported_machine"),
            Self::Unreadable { .. } | Self::Unopened { .. } | Self::Forbidden { .. } => Some("unreadable"),
            Self::Changed { .. } | Self::Replaced { .. } => Some("changed"),
            Self::OwnRuntime { .. } => Some("own_runtime"),
            Self::NotMapped => Some("not_mapped"),
            Self::TooManyBinaries { .. } => Some("too_many_binaries"),
            Self::Kernel(_) => Some("kernel_refused"),
        }
    }
}

/// What is wrong with a file in one word. None for what is no Go program.
pub(super) fn binary_counted_as(cause: &syncline_gosym::Error) -> Option<&'static str> {
    use syncline_gosym::Error;
    match cause {
        Error::NotElf { .. } | Error::NotGo { .. } => None,
        Error::UnsupportedVersion { .. } => Some("unsupported_version"),
        Error::UnsupportedMachine { .. } => Some("unsupported_machine"),
        Error::Garbled { .. } => Some("garbled"),
        Error::UnknownPrologue { .. } => Some("unknown_prologue"),
        Error::Truncated { .. } => Some("damaged"),
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
    errno: Option<i32>,
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
            errno: os_error.and_then(io::Error::raw_os_error),
            detail: Box::new(source),
        }
    }
}

impl KernelError {
    /// Whether something was short that may be there again later: memory, descriptors, places.
    fn is_transient(&self) -> bool {
        let short = [libc::ENOMEM, libc::EMFILE, libc::ENFILE, libc::EAGAIN, libc::E2BIG, libc::ENOSPC, libc::EINTR];
        self.errno.is_some_and(|errno| short.contains(&errno))
    }
}

/// The operating system's error at the bottom of a chain of causes.
pub(super) fn os_error_of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
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
            " (the agent needs root, or CAP_BPF and CAP_PERFMON, plus CAP_SYS_ADMIN to attach on kernels before 6.6 with the \
             fix of CVE-2025-38466, as those since July 2025; grant them e.g. with AmbientCapabilities= of its systemd unit; here \
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
    fn what_is_short_now_may_be_there_later() {
        let kernel = |errno| Refusal::from(KernelError::new("attach", io::Error::from_raw_os_error(errno)));
        for refusal in [kernel(libc::ENOMEM), kernel(libc::EMFILE), Refusal::TooManyBinaries { limit: 1 }] {
            assert!(refusal.is_transient(), "{refusal}");
        }
        assert!(!kernel(libc::EPERM).is_transient());
        let not_go = syncline_gosym::Error::NotGo { what: "x".to_owned() };
        assert!(!Refusal::Binary { exe: "/x".into(), cause: not_go }.is_transient());
    }

    #[test]
    fn only_what_is_gone_is_said_to_have_ended() {
        let stat = |errno| Refusal::of_proc_file("/proc/7/stat".into(), io::Error::from_raw_os_error(errno));
        assert!(matches!(stat(libc::ESRCH), Refusal::Ended) && matches!(stat(libc::ENOENT), Refusal::Ended));
        assert!(stat(libc::EMFILE).to_string().contains("/proc/7/stat cannot be read: Too many open files"));
        let open = |errno| Refusal::of_unopened(io::Error::from_raw_os_error(errno));
        assert!(matches!(open(libc::ENOENT), Refusal::Ended) && matches!(open(libc::EMFILE), Refusal::Unopened { .. }));
    }

    #[test]
    fn no_capability_is_said_to_be_missing_that_is_held() {
        assert!(hidden_because(false).contains("CAP_SYS_PTRACE is needed"));
        assert!(!hidden_because(true).contains("CAP_SYS_PTRACE"));
    }
}
