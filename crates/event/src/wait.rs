//! Columns of finished waits.

use syncline_timebase::{Instant, Mono, Offset, Wall};

use crate::{StackId, TraceContext};

/// What kind of waiting an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A goroutine parked (`runtime.gopark`) until it ran again.
    Goroutine,
    /// A thread in a system call, on behalf of a goroutine or of none.
    Syscall,
    /// A thread that the kernel took off its CPU outside of a system call.
    OffCpu,
    /// A goroutine in C code.
    Cgo,
}

/// What a wait was for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// In the memory of the process: the lock of a channel, a futex's word; of a mutex the lock of the runtime's list of those that wait,
    /// which some other mutexes share; 0 where not known.
    pub address: u64,
    /// What the system call returned: a negative number is minus its errno. 0 for other kinds.
    pub result: i64,
    /// The file descriptor.
    pub fd: Option<u32>,
    /// 1 + index into [`crate::Batch::file_types`]: what the descriptor stood for; 0 where not known.
    pub file_type: u32,
    /// 1 + index into [`crate::Batch::flows`]: the descriptor's connection; 0 where it has none.
    pub flow: u32,
}

/// What else is known of a wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct WaitFlags(u16);

impl WaitFlags {
    /// The moment it became runnable was seen; without it `run_delay_ns` is 0 because it is unknown.
    pub const READY_SEEN: Self = Self(1);
    /// The network poller made it runnable.
    pub const BY_NETPOLL: Self = Self(2);
    /// The stack was deeper than the configured depth, and is cut.
    pub const STACK_CUT: Self = Self(4);
    /// A frame of the stack could not be read; the stack ends there.
    pub const STACK_UNREADABLE: Self = Self(8);
    /// The thread ran no goroutine: it was a wait of Go's scheduler itself, or of C code's own thread.
    pub const NO_GOROUTINE: Self = Self(16);
    /// Whether the thread ran a goroutine could not be found out.
    pub const UNBOUND: Self = Self(32);
    /// It never ended: its process, or its program, did in the middle of it.
    pub const ABANDONED: Self = Self(64);
    /// It was found going on when the observation of its process, or a window of it, began, and that is its begin here: it began before, and
    /// is longer.
    pub const BEGAN_BEFORE: Self = Self(128);

    /// From the wire; unknown bits are kept.
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    /// For the wire and the store.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// Whether all of `other`'s flags are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets of flags.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Waits, one per index; finished ones in the order of their sequence numbers. All columns have the same length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// What kind of waiting.
    pub kind: Vec<Kind>,
    /// Index into [`crate::Batch::reasons`].
    pub reason: Vec<u32>,
    /// Index into [`crate::Batch::processes`].
    pub process: Vec<u32>,
    /// Thread on which the goroutine parked.
    pub tid: Vec<u32>,
    /// The goroutine.
    pub goid: Vec<u64>,
    /// When it parked.
    pub start: Vec<Instant<Mono>>,
    /// Kernel wall time minus MONO as it parked.
    pub wall_offset: Vec<Offset<Mono, Wall>>,
    /// From park to running again, ns of MONO.
    pub duration_ns: Vec<u64>,
    /// From ready to running again, ns of MONO; part of the duration.
    pub run_delay_ns: Vec<u64>,
    /// Its stack, or [`StackId::NONE`].
    pub stack: Vec<StackId>,
    /// The goroutine that made it runnable; 0 where it was the runtime itself (network, timers) or not seen.
    pub waker_goid: Vec<u64>,
    /// More.
    pub flags: Vec<WaitFlags>,
    /// What it was for.
    pub target: Vec<Target>,
    /// The stack of the goroutine that made it runnable, or [`StackId::NONE`].
    pub waker_stack: Vec<StackId>,
    /// The trace that it belongs to, or [`TraceContext::NONE`].
    pub trace: Vec<TraceContext>,
    /// How many such waits each stands for, in thousandths: of a process that is observed in windows only a part is seen.
    pub weight_milli: Vec<u32>,
}

impl Waits {
    /// Number of waits.
    pub fn len(&self) -> usize {
        self.start.len()
    }

    /// No waits.
    pub fn is_empty(&self) -> bool {
        self.start.is_empty()
    }

    /// When wait `index` ended.
    pub fn end(&self, index: usize) -> Instant<Mono> {
        let duration = i64::try_from(self.duration_ns[index]).unwrap_or(i64::MAX);
        self.start[index] + syncline_timebase::Span::from_ns(duration)
    }

    /// Lengths of all columns, by name, for the check that they agree.
    pub(crate) fn lengths(&self) -> [(&'static str, usize); 16] {
        [
            ("kind", self.kind.len()),
            ("reason", self.reason.len()),
            ("process", self.process.len()),
            ("tid", self.tid.len()),
            ("goid", self.goid.len()),
            ("start", self.start.len()),
            ("wall_offset", self.wall_offset.len()),
            ("duration_ns", self.duration_ns.len()),
            ("run_delay_ns", self.run_delay_ns.len()),
            ("stack", self.stack.len()),
            ("waker_goid", self.waker_goid.len()),
            ("flags", self.flags.len()),
            ("target", self.target.len()),
            ("waker_stack", self.waker_stack.len()),
            ("trace", self.trace.len()),
            ("weight_milli", self.weight_milli.len()),
        ]
    }
}
