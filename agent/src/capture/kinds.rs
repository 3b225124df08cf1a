//! What is captured beside the waits of parked goroutines.

/// A kind that can be left out. One that is left out has no probe anywhere, and costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
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
}
