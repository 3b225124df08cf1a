//! Keys and values of the maps, to and from their bytes. Byte arrays need no promise about padding or alignment, so user
//! space can hand them to the kernel without unsafe code.

use std::mem::{offset_of, size_of};

use crate::HISTOGRAM_BUCKETS;
use crate::bytes::{put, read, read_u32, read_u64};
use crate::layout::{Binary, Binding, Clock, Config, Key, LEFT_OUT, OfCost, Short, ShortKey, WAIT_PARTS, Watch};
use crate::record::WaitKind;

/// Offsets inside the Go runtime's structs for one binary, in bytes.
///
/// The default is that of a program of whose runtime nothing is known: none of its threads is bound to a goroutine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BinaryLayout {
    /// `runtime.g.goid`.
    pub g_goid: u32,
    /// `runtime.g.m`.
    pub g_m: u32,
    /// `runtime.g.sched.pc`.
    pub g_sched_pc: u32,
    /// `runtime.g.sched.bp`.
    pub g_sched_bp: u32,
    /// `runtime.m.curg`.
    pub m_curg: u32,
    /// `runtime.pollDesc.fd`.
    pub polldesc_fd: u32,
    /// `runtime.pollDesc.rg`.
    pub polldesc_rg: u32,
    /// `runtime.pollDesc.wg`.
    pub polldesc_wg: u32,
    /// `runtime.g.stack.lo`.
    pub g_stack_lo: u32,
    /// `runtime.g.stack.hi`.
    pub g_stack_hi: u32,
    /// Where a thread keeps its g, from its FS base; 0 where not known.
    pub tls_g: i32,
    /// `runtime.m.ncgo`.
    pub m_ncgo: u32,
    /// `runtime.g.labels`.
    pub g_labels: u32,
    /// What that points to; None where that is not known.
    pub labels_form: Option<LabelsForm>,
    /// `runtime.g.coroarg`; 0 where there is none.
    pub g_coroarg: u32,
    /// The number of the wait reason of a goroutine that has changed over to a coroutine.
    pub coroutine_reason: u32,
    /// Its goroutines' time is split by state: it has all the probes for that.
    pub has_states: bool,
    /// `runtime.g.waitreason`.
    pub g_waitreason: u32,
}

/// How a Go version keeps the labels of a goroutine; the numbers are those of `enum labels_form`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum LabelsForm {
    /// As a `map[string]string`.
    Map = 1,
    /// As a slice of pairs of strings.
    Slice = 2,
}

impl BinaryLayout {
    /// An encoded slot that holds no binary: probes with its index do nothing.
    pub const EMPTY: [u8; size_of::<Binary>()] = [0; size_of::<Binary>()];

    /// The map's value for a slot in use.
    #[must_use]
    pub fn encode(&self) -> [u8; size_of::<Binary>()] {
        let mut bytes = Self::EMPTY;
        put(&mut bytes, offset_of!(Binary, g_goid), self.g_goid.to_ne_bytes());
        put(&mut bytes, offset_of!(Binary, g_m), self.g_m.to_ne_bytes());
        put(&mut bytes, offset_of!(Binary, g_sched_pc), self.g_sched_pc.to_ne_bytes());
        put(&mut bytes, offset_of!(Binary, g_sched_bp), self.g_sched_bp.to_ne_bytes());
        put(&mut bytes, offset_of!(Binary, m_curg), self.m_curg.to_ne_bytes());
        put(&mut bytes, offset_of!(Binary, polldesc_fd), self.polldesc_fd.to_ne_bytes());
        put(&mut bytes, offset_of!(Binary, polldesc_rg), self.polldesc_rg.to_ne_bytes());
        put(&mut bytes, offset_of!(Binary, polldesc_wg), self.polldesc_wg.to_ne_bytes());
        put(&mut bytes, offset_of!(Binary, g_stack_lo), self.g_stack_lo.to_ne_bytes());
        put(&mut bytes, offset_of!(Binary, g_stack_hi), self.g_stack_hi.to_ne_bytes());
        put(&mut bytes, offset_of!(Binary, tls_g), self.tls_g.to_ne_bytes());
        put(&mut bytes, offset_of!(Binary, m_ncgo), self.m_ncgo.to_ne_bytes());
        put(&mut bytes, offset_of!(Binary, valid), 1_u32.to_ne_bytes());
        put(&mut bytes, offset_of!(Binary, g_labels), self.g_labels.to_ne_bytes());
        put(&mut bytes, offset_of!(Binary, labels_form), self.labels_form.map_or(0, |form| form as u32).to_ne_bytes());
        put(&mut bytes, offset_of!(Binary, g_coroarg), self.g_coroarg.to_ne_bytes());
        put(&mut bytes, offset_of!(Binary, coroutine_reason), self.coroutine_reason.to_ne_bytes());
        put(&mut bytes, offset_of!(Binary, has_states), u32::from(self.has_states).to_ne_bytes());
        put(&mut bytes, offset_of!(Binary, g_waitreason), self.g_waitreason.to_ne_bytes());
        bytes
    }
}

/// What the probes do with a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaptureSettings {
    /// Waits at least this long become a record, ns.
    pub threshold_ns: u64,
    /// Deepest stack walked, at most [`MAX_STACK`](crate::MAX_STACK).
    pub max_stack: u32,
    /// Only processes in the map of watched ones.
    pub only_watched: bool,
    /// Threads are to be bound to goroutines.
    pub learn_threads: bool,
    /// What is captured of processes that are not in the map of watched ones: [`WATCH_PARK`](crate::layout::WATCH_PARK) and others.
    pub kinds: u32,
}

/// What holds for one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watched {
    /// Slot of its binary.
    pub slot: u32,
    /// Waits at least this long become a record, ns.
    pub threshold_ns: u64,
    /// What is captured of it: [`WATCH_PARK`](crate::layout::WATCH_PARK) and others.
    pub kinds: u32,
    /// When.
    pub window: Window,
}

/// When a process is observed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Window {
    /// All the time.
    #[default]
    Always,
    /// From the first of these moments until the other, CLOCK_MONOTONIC ns.
    Within(u64, u64),
    /// Not now.
    Closed,
}

impl Window {
    fn bounds(self) -> (u64, u64) {
        match self {
            Self::Always => (0, 0),
            Self::Within(from_ns, until_ns) => (from_ns, until_ns.max(1)),
            Self::Closed => (0, 1),
        }
    }
}

impl Watched {
    /// The map's value.
    #[must_use]
    pub fn encode(&self) -> [u8; size_of::<Watch>()] {
        let mut bytes = [0; size_of::<Watch>()];
        put(&mut bytes, offset_of!(Watch, threshold_ns), self.threshold_ns.to_ne_bytes());
        put(&mut bytes, offset_of!(Watch, slot), self.slot.to_ne_bytes());
        put(&mut bytes, offset_of!(Watch, kinds), self.kinds.to_ne_bytes());
        let (from_ns, until_ns) = self.window.bounds();
        put(&mut bytes, offset_of!(Watch, from_ns), from_ns.to_ne_bytes());
        put(&mut bytes, offset_of!(Watch, until_ns), until_ns.to_ne_bytes());
        bytes
    }

    /// The map's value of a process that is left out.
    #[must_use]
    pub fn left_out() -> [u8; size_of::<Watch>()] {
        let mut bytes = [0; size_of::<Watch>()];
        put(&mut bytes, offset_of!(Watch, slot), LEFT_OUT.to_ne_bytes());
        bytes
    }
}

impl CaptureSettings {
    /// The map's value.
    #[must_use]
    pub fn encode(&self) -> [u8; size_of::<Config>()] {
        let mut bytes = [0; size_of::<Config>()];
        put(&mut bytes, offset_of!(Config, threshold_ns), self.threshold_ns.to_ne_bytes());
        put(&mut bytes, offset_of!(Config, max_stack), self.max_stack.to_ne_bytes());
        put(&mut bytes, offset_of!(Config, only_watched), u32::from(self.only_watched).to_ne_bytes());
        put(&mut bytes, offset_of!(Config, learn_threads), u32::from(self.learn_threads).to_ne_bytes());
        put(&mut bytes, offset_of!(Config, kinds), self.kinds.to_ne_bytes());
        bytes
    }
}

/// The map's value for TAI - REALTIME in ns.
#[must_use]
pub fn encode_tai_offset_ns(tai_offset_ns: i64) -> [u8; size_of::<Clock>()] {
    tai_offset_ns.to_ne_bytes()
}

/// Key of a goroutine that is parked now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParkKey {
    /// Process id.
    pub tgid: u32,
    /// Address of its `runtime.g`.
    pub g: u64,
}

impl ParkKey {
    /// The key of the map's bytes.
    #[must_use]
    pub fn decode(bytes: &[u8; size_of::<Key>()]) -> Self {
        Self {
            tgid: read_u32(bytes, offset_of!(Key, tgid)).unwrap_or_default(),
            g: read_u64(bytes, offset_of!(Key, g)).unwrap_or_default(),
        }
    }

    /// The map's bytes: of a parked goroutine at depth 0, of one in C code at that of its call.
    #[must_use]
    pub fn encode(&self, depth: u32) -> [u8; size_of::<Key>()] {
        let mut bytes = [0; size_of::<Key>()];
        put(&mut bytes, offset_of!(Key, depth), depth.to_ne_bytes());
        put(&mut bytes, offset_of!(Key, tgid), self.tgid.to_ne_bytes());
        put(&mut bytes, offset_of!(Key, g), self.g.to_ne_bytes());
        bytes
    }
}

/// Key of a sum of short waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShortWaitKey {
    /// Process id.
    pub tgid: u32,
    /// What waited; None for a kind that this side does not know.
    pub kind: Option<WaitKind>,
    /// Why, as in [`WaitRecord::reason`](crate::WaitRecord::reason).
    pub reason: u16,
    /// Only the parts of them that lay in a window were seen, of waits that had begun before that.
    pub is_parts: bool,
}

impl ShortWaitKey {
    /// The key of the map's bytes.
    #[must_use]
    pub fn decode(bytes: &[u8; size_of::<ShortKey>()]) -> Self {
        let half = |offset| read(bytes, offset).map(u16::from_ne_bytes).unwrap_or_default();
        Self {
            tgid: read_u32(bytes, offset_of!(ShortKey, tgid)).unwrap_or_default(),
            kind: u8::try_from(half(offset_of!(ShortKey, what)) & !WAIT_PARTS).ok().and_then(WaitKind::of),
            reason: half(offset_of!(ShortKey, reason)),
            is_parts: half(offset_of!(ShortKey, what)) & WAIT_PARTS != 0,
        }
    }
}

/// Whose the waits of one process's threads (in system calls, off their CPUs) were that became records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bindings {
    /// Bound to the goroutine that the thread ran.
    pub bound: u64,
    /// The thread ran none: Go's scheduler's own waits, and threads of C code.
    pub scheduler: u64,
    /// Whether the thread ran one could not be found out: which of the Go runtime's threads it is is not known.
    pub no_thread: u64,
    /// The same: the memory of the process could not be read.
    pub unreadable: u64,
}

impl Bindings {
    /// Those that could not be bound.
    #[must_use]
    pub fn unbound(&self) -> u64 {
        self.no_thread.saturating_add(self.unreadable)
    }

    /// Those of the map's bytes.
    #[must_use]
    pub fn decode(bytes: &[u8; size_of::<Binding>()]) -> Self {
        let at = |offset| read_u64(bytes, offset).unwrap_or_default();
        Self {
            bound: at(offset_of!(Binding, bound)),
            scheduler: at(offset_of!(Binding, scheduler)),
            no_thread: at(offset_of!(Binding, no_thread)),
            unreadable: at(offset_of!(Binding, unreadable)),
        }
    }
}

/// What observing a process has cost it, without the way into the programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// How often a uprobe was hit.
    pub uprobes: u64,
    /// How often a system call was seen beginning or ending.
    pub syscalls: u64,
    /// How often a thread was seen leaving its CPU.
    pub switches: u64,
    /// Time in the programs of uprobes, ns.
    pub uprobes_ns: u64,
    /// Time in those of system calls and switches, ns.
    pub tracepoints_ns: u64,
}

impl Cost {
    /// The map's value of one CPU for a process that nothing was counted of.
    pub const NONE: [u8; size_of::<OfCost>()] = [0; size_of::<OfCost>()];

    /// That of one CPU, from the map's bytes.
    #[must_use]
    pub fn decode(bytes: &[u8; size_of::<OfCost>()]) -> Self {
        let at = |offset| read_u64(bytes, offset).unwrap_or_default();
        let hits = |way: usize| at(offset_of!(OfCost, hits) + 8 * way);
        let ns = |way: usize| at(offset_of!(OfCost, program_ns) + 8 * way);
        Self {
            uprobes: hits(0),
            syscalls: hits(1),
            switches: hits(2),
            uprobes_ns: ns(0),
            tracepoints_ns: ns(1).wrapping_add(ns(2)),
        }
    }

    /// Both together (wrapping, as the kernel's counters do).
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.each(other, u64::wrapping_add)
    }

    /// What was added since `earlier`, a former reading of the same.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        self.each(earlier, u64::wrapping_sub)
    }

    fn each(&self, other: &Self, op: fn(u64, u64) -> u64) -> Self {
        Self {
            uprobes: op(self.uprobes, other.uprobes),
            syscalls: op(self.syscalls, other.syscalls),
            switches: op(self.switches, other.switches),
            uprobes_ns: op(self.uprobes_ns, other.uprobes_ns),
            tracepoints_ns: op(self.tracepoints_ns, other.tracepoints_ns),
        }
    }
}

/// Sum of waits below the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShortWaitSum {
    /// Number of waits.
    pub count: u64,
    /// Their total length, ns.
    pub total_ns: u64,
    /// Waits by length, see [`HISTOGRAM_BUCKETS`].
    pub histogram: [u64; HISTOGRAM_BUCKETS],
}

impl ShortWaitSum {
    /// The sum of one CPU, from the map's bytes.
    #[must_use]
    pub fn decode(bytes: &[u8; size_of::<Short>()]) -> Self {
        let histogram_at = |i| read_u64(bytes, offset_of!(Short, histogram) + 8 * i).unwrap_or_default();
        Self {
            count: read_u64(bytes, offset_of!(Short, count)).unwrap_or_default(),
            total_ns: read_u64(bytes, offset_of!(Short, total_ns)).unwrap_or_default(),
            histogram: std::array::from_fn(histogram_at),
        }
    }

    /// Both sums together (wrapping, as the kernel's counters do).
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        self.each(other, u64::wrapping_add)
    }

    /// What was added since `earlier`, a former reading of the same sum.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        self.each(earlier, u64::wrapping_sub)
    }

    fn each(&self, other: &Self, op: fn(u64, u64) -> u64) -> Self {
        Self {
            count: op(self.count, other.count),
            total_ns: op(self.total_ns, other.total_ns),
            histogram: std::array::from_fn(|i| op(self.histogram[i], other.histogram[i])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{WATCH_CGO, WATCH_OFF_CPU, WATCH_STATES, WATCH_SYSCALL};

    #[test]
    fn a_layout_lands_at_the_offsets_of_the_c_struct() {
        let layout = BinaryLayout {
            g_goid: 1,
            g_m: 2,
            g_sched_pc: 3,
            g_sched_bp: 4,
            m_curg: 5,
            polldesc_fd: 6,
            polldesc_rg: 7,
            polldesc_wg: 8,
            g_stack_lo: 9,
            g_stack_hi: 10,
            tls_g: 11,
            m_ncgo: 12,
            g_labels: 14,
            labels_form: Some(LabelsForm::Slice),
            g_coroarg: 16,
            coroutine_reason: 17,
            has_states: true,
            g_waitreason: 19,
        };
        let words: Vec<u32> = (0..19).map(|i| read_u32(&layout.encode(), 4 * i).unwrap()).collect();
        assert_eq!(words, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 1, 14, 2, 16, 17, 1, 19]);
    }

    #[test]
    fn settings_land_at_the_offsets_of_the_c_struct() {
        let kinds = WATCH_SYSCALL | WATCH_OFF_CPU | WATCH_STATES;
        let settings =
            CaptureSettings { threshold_ns: 1_000_000, max_stack: 64, only_watched: true, learn_threads: true, kinds };
        let bytes = settings.encode();
        assert_eq!(read_u64(&bytes, 0), Ok(1_000_000));
        let words: Vec<u32> = (2..6).map(|i| read_u32(&bytes, 4 * i).unwrap()).collect();
        assert_eq!(words, [64, 1, 1, 13]);
    }

    #[test]
    fn what_holds_for_a_process_lands_at_the_offsets_of_the_c_struct() {
        let bytes =
            Watched { slot: 7, threshold_ns: 5_000_000, kinds: WATCH_CGO, window: Window::Within(9, 10) }.encode();
        let words = |bytes: &[u8]| [8, 12].map(|at| read_u32(bytes, at).unwrap());
        assert_eq!((read_u64(&bytes, 0), words(&bytes)), (Ok(5_000_000), [7, 2]));
        assert_eq!([16, 24].map(|at| read_u64(&bytes, at).unwrap()), [9, 10]);
        assert_eq!(words(&Watched::left_out()), [u32::MAX, 0]);
    }

    #[test]
    fn a_closed_window_is_over_and_none_is_never() {
        assert_eq!(Window::Always.bounds().1, 0);
        for over in [Window::Closed, Window::Within(0, 0)] {
            assert_eq!(over.bounds(), (0, 1));
        }
    }

    #[test]
    fn a_difference_and_the_former_reading_give_the_sum_again() {
        let former = ShortWaitSum { count: 3, total_ns: 40, histogram: [1; HISTOGRAM_BUCKETS] };
        let now = ShortWaitSum { count: 5, total_ns: 90, histogram: [4; HISTOGRAM_BUCKETS] };
        assert_eq!(former.plus(&now.since(&former)), now);
    }
}
