//! Mirrors of the structs in `c/records.h`, used for their sizes and offsets. A change on one side only does not compile.

use std::mem::{offset_of, size_of};

use crate::{HISTOGRAM_BUCKETS, MAX_STACK, MAX_WAKER_STACK, SYSCALLS};

/// First word of a finished wait.
pub const RECORD_WAIT: u32 = 1;
/// First word of an exec notice.
pub const RECORD_EXEC: u32 = 2;
/// First word of the notice that a process has ended.
pub const RECORD_EXIT: u32 = 3;

/// `ready_mono_ns` is a measurement.
pub const WAIT_READY_SEEN: u8 = 1 << 0;
/// Made runnable by the network poller.
pub const WAIT_BY_NETPOLL: u8 = 1 << 1;
/// The stack is deeper than the configured depth.
pub const WAIT_STACK_TRUNCATED: u8 = 1 << 2;
/// A frame could not be read; the stack ends there.
pub const WAIT_STACK_UNREADABLE: u8 = 1 << 3;
/// `stack[1]` is the word on top of the stack.
pub const WAIT_TOP_OF_STACK: u8 = 1 << 4;
/// The thread ran no goroutine.
pub const WAIT_OF_SCHEDULER: u8 = 1 << 5;
/// Whether the thread ran a goroutine could not be found out.
pub const WAIT_UNBOUND: u8 = 1 << 6;

/// `enum wait_kind`: a parked goroutine.
pub const WAIT_GOROUTINE: u8 = 1;
/// A thread in a system call.
pub const WAIT_SYSCALL: u8 = 2;
/// A thread off its CPU.
pub const WAIT_OFF_CPU: u8 = 3;
/// A goroutine in C code.
pub const WAIT_CGO: u8 = 4;

/// Beside the kind in the key of a sum: of these waits a part was seen.
pub const WAIT_PARTS: u16 = 0x100;

/// `enum off_cpu_reason`: it could have gone on running.
pub const OFF_CPU_PREEMPTED: u16 = 1;
/// In the kernel, for a page or a lock.
pub const OFF_CPU_UNINTERRUPTIBLE: u16 = 2;
/// Asleep in a system call that is not captured.
pub const OFF_CPU_INTERRUPTIBLE: u16 = 3;
/// By a signal or a debugger.
pub const OFF_CPU_STOPPED: u16 = 4;

/// `enum syscall_flags`: its waits are captured.
pub const SYSCALL_TRACED: u8 = 1 << 0;
/// Its first argument is a file descriptor.
pub const SYSCALL_FD: u8 = 1 << 1;
/// Its first argument is the address that it waits on.
pub const SYSCALL_ADDRESS: u8 = 1 << 2;
/// It may send on a socket.
pub const SYSCALL_SENDS: u8 = 1 << 3;
/// Several times.
pub const SYSCALL_SENDS_OFTEN: u8 = 1 << 4;

/// `enum watch_kinds`: threads in system calls.
pub const WATCH_SYSCALL: u32 = 1 << 0;
/// Goroutines in C code.
pub const WATCH_CGO: u32 = 1 << 1;
/// Threads off their CPUs.
pub const WATCH_OFF_CPU: u32 = 1 << 2;
/// How goroutines spend their time.
pub const WATCH_STATES: u32 = 1 << 3;
/// Parked goroutines.
pub const WATCH_PARK: u32 = 1 << 4;
/// TCP sessions.
pub const WATCH_TCP: u32 = 1 << 5;
/// Sends and receipts on them.
pub const WATCH_TCP_MESSAGES: u32 = 1 << 6;
/// How long what they send takes to be acknowledged.
pub const WATCH_SEND_LATENCY: u32 = 1 << 7;
/// Where in the kernel its threads wait.
pub const WATCH_KERNEL_STACKS: u32 = 1 << 8;
/// The slot of a process that is left out.
pub const LEFT_OUT: u32 = u32::MAX;

macro_rules! kernel_struct {
    ($(#[$doc:meta])* $name:ident, $size:expr, { $($field:ident: $type:ty = $offset:expr),+ $(,)? }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Debug, Clone, Copy)]
        #[expect(missing_docs, reason = "documented at the C definition")]
        pub struct $name { $(pub $field: $type),+ }
        const _: () = assert!(size_of::<$name>() == $size);
        $(const _: () = assert!(offset_of!($name, $field) == $offset);)+
    };
}
pub(crate) use kernel_struct;

kernel_struct!(
    /// `struct socket_ends`.
    Ends, 40, {
        local_address: [u8; 16] = 0, remote_address: [u8; 16] = 16, local_port: u16 = 32, remote_port: u16 = 34,
        netns: u32 = 36,
    }
);
kernel_struct!(
    /// `struct file_info`.
    File, 72, {
        magic: u32 = 0, mode: u16 = 4, family: u16 = 6, protocol: u16 = 8, reserved: u16 = 10, reserved2: u32 = 12,
        ends: Ends = 16, name: [u8; 16] = 56,
    }
);
kernel_struct!(
    /// `struct wait_record`.
    Wait, 200 + 8 * (MAX_STACK + MAX_WAKER_STACK), {
        kind: u32 = 0, stack_len: u32 = 4, tgid: u32 = 8, tid: u32 = 12, goid: u64 = 16,
        park_mono_ns: u64 = 24, park_wall_ns: u64 = 32, ready_mono_ns: u64 = 40, run_mono_ns: u64 = 48,
        waker_goid: u64 = 56, binary: u32 = 64, reason: u16 = 68, flags: u8 = 70, what: u8 = 71,
        address: u64 = 72, result: i64 = 80, fd: i32 = 88, further_len: u32 = 92, file: File = 96,
        trace_id_high: u64 = 168, trace_id_low: u64 = 176, span_id: u64 = 184, began_before: u32 = 192,
        reserved: u32 = 196, stack: [u64; MAX_STACK + MAX_WAKER_STACK] = 200,
    }
);
kernel_struct!(
    /// `struct process_record`.
    OfProcess, 16, { kind: u32 = 0, tgid: u32 = 4, mono_ns: u64 = 8 }
);
kernel_struct!(
    /// `struct binary_layout`.
    Binary, 76, {
        g_goid: u32 = 0, g_m: u32 = 4, g_sched_pc: u32 = 8, g_sched_bp: u32 = 12, m_curg: u32 = 16, polldesc_fd: u32 = 20,
        polldesc_rg: u32 = 24, polldesc_wg: u32 = 28, g_stack_lo: u32 = 32, g_stack_hi: u32 = 36, tls_g: i32 = 40,
        m_ncgo: u32 = 44, valid: u32 = 48, g_labels: u32 = 52, labels_form: u32 = 56, g_coroarg: u32 = 60,
        coroutine_reason: u32 = 64, has_states: u32 = 68, g_waitreason: u32 = 72,
    }
);
kernel_struct!(
    /// `struct capture_config`.
    Config, 24, { threshold_ns: u64 = 0, max_stack: u32 = 8, only_watched: u32 = 12, learn_threads: u32 = 16, kinds: u32 = 20 }
);
kernel_struct!(
    /// `struct watch`.
    Watch, 32, { threshold_ns: u64 = 0, slot: u32 = 8, kinds: u32 = 12, from_ns: u64 = 16, until_ns: u64 = 24 }
);
kernel_struct!(
    /// `struct cost`.
    OfCost, 48, { hits: [u64; 3] = 0, program_ns: [u64; 3] = 24 }
);
kernel_struct!(
    /// `struct clock_config`.
    Clock, 8, { tai_offset_ns: i64 = 0 }
);
kernel_struct!(
    /// `struct park_key`.
    Key, 16, { tgid: u32 = 0, depth: u32 = 4, g: u64 = 8 }
);
kernel_struct!(
    /// `struct park`.
    Park, 72, {
        goid: u64 = 0, park_mono_ns: u64 = 8, park_wall_ns: u64 = 16, ready_mono_ns: u64 = 24, waker_goid: u64 = 32,
        address: u64 = 40, tid: u32 = 48, reason: u8 = 52, flags: u8 = 53, is_part: u16 = 54, fd: i32 = 56,
        reserved2: u32 = 60, found_pc: u64 = 64,
    }
);
kernel_struct!(
    /// `struct in_c`.
    InC, 32, { mono_ns: u64 = 0, wall_ns: u64 = 8, goid: u64 = 16, tid: u32 = 24, found: u32 = 28 }
);
kernel_struct!(
    /// `struct in_syscall`.
    InSyscall, 56, {
        mono_ns: u64 = 0, wall_ns: u64 = 8, woken_mono_ns: u64 = 16, run_delay_ns: u64 = 24, nr: u32 = 32, tgid: u32 = 36,
        was_woken: u16 = 40, is_wait: u16 = 42, has_sent: u32 = 44, found: u32 = 48, has_kernel_stack: u32 = 52,
    }
);
kernel_struct!(
    /// `struct off_cpu`.
    OffCpu, 552, { mono_ns: u64 = 0 , wall_ns: u64 = 8, ready_mono_ns: u64 = 16, goid: u64 = 24, tgid: u32 = 32, reason: u8 = 36, unbound: u8 = 37, flags: u8 = 38, stack_len: u8 = 39, stack: [u64; 64] = 40 }
);
kernel_struct!(
    /// `struct thread`.
    Thread, 16, { m: u64 = 0, tgid: u32 = 8, reserved: u32 = 12 }
);
kernel_struct!(
    /// `struct binding`.
    Binding, 32, { bound: u64 = 0, scheduler: u64 = 8, no_thread: u64 = 16, unreadable: u64 = 24 }
);
kernel_struct!(
    /// `struct syscall_config`.
    Syscalls, SYSCALLS, { flags: [u8; SYSCALLS] = 0 }
);
kernel_struct!(
    /// `struct short_wait_key`.
    ShortKey, 8, { tgid: u32 = 0, reason: u16 = 4, what: u16 = 6 }
);
kernel_struct!(
    /// `struct short_wait`.
    Short, 16 + 8 * HISTOGRAM_BUCKETS, {
        count: u64 = 0, total_ns: u64 = 8, histogram: [u64; HISTOGRAM_BUCKETS] = 16,
    }
);

/// `enum counter`: what was seen and what was lost, as the index into the map of counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Counter {
    /// Goroutines that began to wait.
    Parks,
    /// Parked goroutines seen being made ready.
    Readies,
    /// Parked goroutines seen running again.
    Finished,
    /// Records put into the ring.
    Emitted,
    /// Waits added to the sums of short waits.
    Aggregated,
    /// Lost: no room in the ring.
    RingFull,
    /// Lost: no room for another parked goroutine.
    MapFull,
    /// Lost: the map of parked goroutines refused for another cause.
    MapError,
    /// Lost: parked again although its run was never seen.
    ParkReplaced,
    /// Lost: g unreadable at park (not counted as parked).
    ParkFault,
    /// Lost: no room for another sum of short waits.
    AggregateFull,
    /// Lost: the g was given to another goroutine meanwhile.
    GoidMismatch,
    /// Lost: g unreadable when it ran again.
    ExecuteFault,
    /// Lost: no free slot to build the record in.
    ScratchBusy,
    /// Kept with a shorter stack: a frame was unreadable.
    StackUnreadable,
    /// Kept with a shorter stack: deeper than configured.
    StackTruncated,
    /// Kept without a waker: its g was unreadable.
    WakerFault,
    /// Kept without a ready stamp: the poller's descriptor was unreadable.
    NetpollFault,
    /// An exec notice was lost.
    ExecRingFull,
    /// Waits of threads that ended.
    ThreadWaits,
    /// Lost: no room for another thread in a system call, in C code, or off its CPU.
    ThreadMapFull,
    /// Kept without the waker's stack.
    WakerStackLost,
    /// Kept without a trace, which may be among labels that were not looked at.
    LabelsUnread,
    /// Kept without a trace: its labels were unreadable.
    LabelsFault,
    /// Kept without a trace or a span: what its label holds is no id.
    LabelsMalformed,
    /// Put in by user space when it did not wait any more: nothing is told of it.
    FoundStale,
    /// Kept without the kernel's stack.
    KernelStackLost,
    /// Found going on, and ended sooner after that than the threshold.
    FoundShort,
    /// Goroutines that were made ready in a window in which they had not parked.
    WindowFound,
}

/// Number of counters.
pub const COUNTERS: usize = 29;
const _: () = assert!(Counter::WindowFound as usize + 1 == COUNTERS);

/// Size of a wait record without its stack, in bytes.
pub const WAIT_HEADER_BYTES: usize = offset_of!(Wait, stack);
