//! What is captured beside the waits of parked goroutines.

/// A kind that can be left out. One that is left out has no probe anywhere, and costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OptionalKind {
    /// Threads in system calls
    Syscall,
    /// Goroutines in C code
    Cgo,
    /// Threads that the kernel takes off their CPUs
    OffCpu,
    /// How goroutines split their time between running, being able to, calls and being blocked
    States,
}

impl OptionalKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Syscall, Self::Cgo, Self::OffCpu, Self::States];

    /// As options and files have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Syscall => "syscall",
            Self::Cgo => "cgo",
            Self::OffCpu => "off-cpu",
            Self::States => "states",
        }
    }
}

/// What is captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds {
    /// Threads in system calls.
    pub syscall: bool,
    /// Goroutines in C code.
    pub cgo: bool,
    /// Threads off their CPUs, and how long those that were in system calls waited for a CPU after they were woken.
    pub off_cpu: bool,
    /// How goroutines spend their time.
    pub states: bool,
}

impl Kinds {
    /// All of them.
    pub const ALL: Self = Self { syscall: true, cgo: true, off_cpu: true, states: true };

    /// None of them.
    pub const NONE: Self = Self { syscall: false, cgo: false, off_cpu: false, states: false };

    /// All but these.
    #[must_use]
    pub fn without(left_out: &[OptionalKind]) -> Self {
        let has = |kind| !left_out.contains(&kind);
        Self {
            syscall: has(OptionalKind::Syscall),
            cgo: has(OptionalKind::Cgo),
            off_cpu: has(OptionalKind::OffCpu),
            states: has(OptionalKind::States),
        }
    }

    /// The kinds that are left out.
    #[must_use]
    pub fn left_out(&self) -> Vec<OptionalKind> {
        OptionalKind::ALL.into_iter().filter(|kind| !self.has(*kind)).collect()
    }

    /// Those of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            syscall: self.syscall || other.syscall,
            cgo: self.cgo || other.cgo,
            off_cpu: self.off_cpu || other.off_cpu,
            states: self.states || other.states,
        }
    }

    fn has(&self, kind: OptionalKind) -> bool {
        match kind {
            OptionalKind::Syscall => self.syscall,
            OptionalKind::Cgo => self.cgo,
            OptionalKind::OffCpu => self.off_cpu,
            OptionalKind::States => self.states,
        }
    }

    pub(super) fn of_kernel(self) -> syncline_bpf::WatchKinds {
        let Self { syscall, cgo, off_cpu, states } = self;
        syncline_bpf::WatchKinds { syscall, cgo, off_cpu, states }
    }
}
