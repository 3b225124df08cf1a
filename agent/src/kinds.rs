//! What is captured of a process.

use syncline_bpf::layout::{
    WATCH_CGO, WATCH_KERNEL_STACKS, WATCH_OFF_CPU, WATCH_PARK, WATCH_SEND_LATENCY, WATCH_STATES, WATCH_SYSCALL,
    WATCH_TCP, WATCH_TCP_MESSAGES,
};

/// A kind of what is captured. Each can be left out; one that nobody wants has no probe anywhere, and costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CaptureKind {
    /// Parked goroutines: channels, locks, timers, the network
    Park,
    /// Threads in system calls
    Syscall,
    /// Goroutines in C code
    Cgo,
    /// Threads that the kernel takes off their CPUs
    OffCpu,
    /// How goroutines split their time between running, being able to, calls and being blocked
    States,
    /// TCP sessions; without them neither of the two below
    Tcp,
    /// Sends and receipts on TCP connections, by which the order of events is checked
    TcpMessages,
    /// How long what TCP sends takes to be acknowledged
    SendLatency,
    /// Where in the kernel threads wait, in system calls and off their CPUs; not unless it is asked for
    KernelStacks,
}

impl CaptureKind {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Park,
        Self::Syscall,
        Self::Cgo,
        Self::OffCpu,
        Self::States,
        Self::Tcp,
        Self::TcpMessages,
        Self::SendLatency,
        Self::KernelStacks,
    ];

    /// As options and files have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Park => "park",
            Self::Syscall => "syscall",
            Self::Cgo => "cgo",
            Self::OffCpu => "off-cpu",
            Self::States => "states",
            Self::Tcp => "tcp",
            Self::TcpMessages => "tcp-messages",
            Self::SendLatency => "send-latency",
            Self::KernelStacks => "kernel-stacks",
        }
    }

    /// As the kernel side has it.
    const fn bit(self) -> u32 {
        match self {
            Self::Park => WATCH_PARK,
            Self::Syscall => WATCH_SYSCALL,
            Self::Cgo => WATCH_CGO,
            Self::OffCpu => WATCH_OFF_CPU,
            Self::States => WATCH_STATES,
            Self::Tcp => WATCH_TCP,
            Self::TcpMessages => WATCH_TCP_MESSAGES,
            Self::SendLatency => WATCH_SEND_LATENCY,
            Self::KernelStacks => WATCH_KERNEL_STACKS,
        }
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds(u32);

impl Kinds {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// All of them.
    pub const ALL: Self = Self::of(&CaptureKind::ALL);

    /// Those that are captured unless somebody says otherwise: all but what costs each switch of a thread.
    pub const USUAL: Self = Self::ALL.minus(Self::of(&[CaptureKind::KernelStacks]));

    /// These.
    #[must_use]
    pub const fn of(kinds: &[CaptureKind]) -> Self {
        let mut bits = 0;
        let mut rest = kinds;
        while let [first, others @ ..] = rest {
            bits |= first.bit();
            rest = others;
        }
        Self(bits)
    }

    /// The usual ones but these.
    #[must_use]
    pub const fn without(left_out: &[CaptureKind]) -> Self {
        Self::USUAL.minus(Self::of(left_out))
    }

    /// Whether this one is captured.
    #[must_use]
    pub const fn has(self, kind: CaptureKind) -> bool {
        self.effective().0 & kind.bit() != 0
    }

    /// Whether any is captured.
    #[must_use]
    pub fn is_any(self) -> bool {
        self.effective() != Self::NONE
    }

    /// Whether threads are to be bound to goroutines.
    #[must_use]
    pub const fn bind_threads(self) -> bool {
        self.has(CaptureKind::Syscall) || self.has(CaptureKind::OffCpu) || self.has(CaptureKind::Tcp)
    }

    /// Whether calls that send are to be stamped.
    #[must_use]
    pub const fn stamp_sends(self) -> bool {
        self.has(CaptureKind::TcpMessages) || self.has(CaptureKind::SendLatency)
    }

    /// The kinds of this set, in order.
    #[must_use]
    pub fn list(self) -> Vec<CaptureKind> {
        CaptureKind::ALL.into_iter().filter(|kind| self.0 & kind.bit() != 0).collect()
    }

    /// The usual kinds that this set does not have, in order.
    #[must_use]
    pub fn left_out(self) -> Vec<CaptureKind> {
        Self::USUAL.minus(self).list()
    }

    /// The kinds beyond the usual ones that this set has, in order.
    #[must_use]
    pub fn added(self) -> Vec<CaptureKind> {
        self.minus(Self::USUAL).list()
    }

    /// Those of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that both have.
    #[must_use]
    pub const fn only(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }

    /// Those of this one that the other does not have.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What is captured: nothing of TCP where its sessions are not, and no place in the kernel of a wait that is not.
    #[must_use]
    pub const fn effective(self) -> Self {
        let of_tcp = if self.0 & WATCH_TCP == 0 { WATCH_TCP_MESSAGES | WATCH_SEND_LATENCY } else { 0 };
        let of_kernel = if self.0 & (WATCH_SYSCALL | WATCH_OFF_CPU) == 0 { WATCH_KERNEL_STACKS } else { 0 };
        Self(self.0 & !(of_tcp | of_kernel))
    }

    /// The flags of the kernel side.
    pub(crate) const fn of_kernel(self) -> u32 {
        self.effective().0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_into_it() {
        let kinds = Kinds::without(&[CaptureKind::Park, CaptureKind::Cgo]);
        assert_eq!(kinds.left_out(), [CaptureKind::Park, CaptureKind::Cgo]);
        assert!(kinds.has(CaptureKind::Syscall) && !kinds.has(CaptureKind::Cgo));
        assert_eq!(kinds.and(Kinds::of(&[CaptureKind::Cgo])).left_out(), [CaptureKind::Park]);
        assert_eq!(Kinds::USUAL.minus(kinds), Kinds::of(&[CaptureKind::Cgo, CaptureKind::Park]));
        assert!(Kinds::ALL.is_any() && !Kinds::NONE.is_any() && Kinds::NONE.left_out() == Kinds::USUAL.list());
    }

    #[test]
    fn stacks_in_the_kernel_are_asked_for_and_are_of_waits_of_threads() {
        let kernel = Kinds::of(&[CaptureKind::KernelStacks]);
        assert!(Kinds::USUAL.added().is_empty() && !Kinds::USUAL.has(CaptureKind::KernelStacks));
        assert_eq!(Kinds::USUAL.and(kernel).added(), [CaptureKind::KernelStacks]);
        assert!(Kinds::of(&[CaptureKind::OffCpu]).and(kernel).has(CaptureKind::KernelStacks));
        assert!(!Kinds::of(&[CaptureKind::Park]).and(kernel).has(CaptureKind::KernelStacks) && !kernel.is_any());
    }

    #[test]
    fn without_sessions_there_is_nothing_of_tcp() {
        let kinds = Kinds::without(&[CaptureKind::Tcp]);
        assert!(!kinds.has(CaptureKind::TcpMessages) && !kinds.has(CaptureKind::SendLatency));
        assert_eq!(kinds.left_out(), [CaptureKind::Tcp], "they come back with them");
        assert!(!Kinds::of(&[CaptureKind::TcpMessages, CaptureKind::SendLatency]).is_any());
        assert!(Kinds::of(&[CaptureKind::Tcp, CaptureKind::SendLatency]).stamp_sends());
    }
}
