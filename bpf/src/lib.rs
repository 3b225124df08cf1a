//! Kernel side: the BPF object (C with CO-RE), embedded, and its records mirrored in Rust.
//!
//! The programs live in `c/`: the probes on the Go runtime (`goroutine.h`, `cgo.h`), on system calls (`syscall.h`), on threads off their
//! CPUs (`off_cpu.h`), on TCP (`tcp.h`) and on `execve` (`process.h`), compiled into one object by the build script. [`OBJECT`]
//! holds its bytes; [`layout`] mirrors each record and map value, with
//! sizes and offsets asserted at compile time on both sides; [`record`] turns the ring's bytes into checked values.
//! This crate loads nothing itself and contains no unsafe code.

mod bytes;
pub mod layout;
pub mod map_value;
pub mod open;
pub mod record;
pub mod states;
pub mod tcp;

pub use bytes::DecodeError;
pub use map_value::{
    BinaryLayout, Bindings, CaptureSettings, Cost, LabelsForm, ParkKey, ShortWaitKey, ShortWaitSum, Watched, Window,
    encode_tai_offset_ns,
};
pub use open::{Calling, InCall, Parked};
pub use record::{FileInfo, Record, SocketEnds, WaitKind, WaitRecord, decode};

/// Alignment that an ELF reader wants of the bytes it parses.
#[repr(C, align(32))]
struct Aligned<B: ?Sized>(B);

static ALIGNED: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/syncline.bpf.o")));

/// The compiled BPF object (ELF with BTF), aligned for parsing.
pub static OBJECT: &[u8] = &ALIGNED.0;

/// Most return addresses one record can carry.
pub const MAX_STACK: usize = 127;

/// Most return addresses taken of whoever ended a wait.
pub const MAX_WAKER_STACK: usize = 32;

/// System call numbers that can be told apart.
pub const SYSCALLS: usize = 512;

/// Buckets of a short wait's histogram: bucket i counts waits of [2^i, 2^(i+1)) ns; the last also counts longer ones.
pub const HISTOGRAM_BUCKETS: usize = 32;

/// Names of the object's programs and the functions of the Go runtime they are meant for.
pub mod program {
    /// `runtime.gopark`: a goroutine parks.
    pub const PARK: &str = "go_park";
    /// `runtime.ready`: a goroutine is made ready.
    pub const READY: &str = "go_ready";
    /// `runtime.netpollready`: goroutines are made ready by the network poller.
    pub const NETPOLLREADY: &str = "go_netpollready";
    /// `runtime.execute`: a goroutine runs again.
    pub const EXECUTE: &str = "go_execute";
    /// Any instruction: it does nothing.
    pub const MEASURE_WAY_IN: &str = "measure_way_in";
    /// The raw tracepoint `sched_process_exec`.
    pub const PROCESS_EXEC: &str = "process_exec";
    /// The raw tracepoint `sched_process_exit`.
    pub const THREAD_EXIT: &str = "thread_exit";
    /// The raw tracepoint `sys_enter`.
    pub const SYSCALL_ENTER: &str = "syscall_enter";
    /// The raw tracepoint `sys_exit`.
    pub const SYSCALL_EXIT: &str = "syscall_exit";
    /// The raw tracepoint `sched_switch`.
    pub const THREAD_SWITCH: &str = "thread_switch";
    /// The raw tracepoint `sched_wakeup`.
    pub const THREAD_WAKEUP: &str = "thread_wakeup";
    /// `runtime.cgocall` at its call of `asmcgocall`: a goroutine goes to C code.
    pub const CGO_ENTER: &str = "cgo_enter";
    /// `runtime.cgocall` at its call of `exitsyscall`: it comes back.
    pub const CGO_EXIT: &str = "cgo_exit";
    /// `runtime.cgocallbackg` at its call of `exitsyscall`: C code calls back.
    pub const CALLBACK_ENTER: &str = "callback_enter";
    /// `runtime.cgocallbackg` at its call of `reentersyscall`: that returns.
    pub const CALLBACK_EXIT: &str = "callback_exit";
    /// `runtime.dropm`: a thread that C made is done with Go.
    pub const DROP_M: &str = "go_drop_m";
    /// `runtime.newproc1` at its calls of `casgstatus`: a goroutine begins.
    pub const CREATE: &str = "go_create";
    /// `runtime.gdestroy`: it ends.
    pub const DESTROY: &str = "go_destroy";
    /// `runtime.goschedImpl` and others: it stops running and could go on.
    pub const YIELD: &str = "go_yield";
    /// `runtime.exitsyscallTryGetP`: back from a call, its processor is gone.
    pub const LOST_PROCESSOR: &str = "go_lost_processor";
    /// `runtime.exitsyscallNoP`: there is no other.
    pub const NO_PROCESSOR: &str = "go_no_processor";
    /// `runtime.coroswitch_m`: it changes over to a coroutine.
    pub const COROUTINE_SWITCH: &str = "go_coroutine_switch";
    /// The raw tracepoint `inet_sock_set_state`.
    pub const TCP_STATE: &str = "tcp_state";
    /// The raw tracepoint `sock_send_length`.
    pub const TCP_SENT: &str = "tcp_sent";
    /// The raw tracepoint `sock_recv_length`.
    pub const TCP_RECEIVED: &str = "tcp_received";
    /// The raw tracepoint `tcp_probe`.
    pub const TCP_SEGMENT: &str = "tcp_segment";
}

/// Names of the object's maps.
pub mod map {
    /// Ring buffer of records.
    pub const EVENTS: &str = "events";
    /// Array of one [`CaptureSettings`](crate::CaptureSettings).
    pub const CONFIG: &str = "config";
    /// Array of one TAI offset, see [`encode_tai_offset_ns`](crate::encode_tai_offset_ns).
    pub const CLOCK_CONFIG: &str = "clock_config";
    /// Array of [`BinaryLayout`](crate::BinaryLayout) by attach cookie.
    pub const BINARIES: &str = "binaries";
    /// Hash of watched process ids (`u32`) to what holds for them ([`Watched`](crate::Watched)).
    pub const WATCHED: &str = "watched";
    /// Hash of goroutines in C code now, by [`ParkKey`](crate::ParkKey).
    pub const IN_C: &str = "in_c";
    /// Hash of goroutines parked now, by [`ParkKey`](crate::ParkKey).
    pub const PARKS: &str = "parks";
    /// Hash of threads in system calls now ([`InCall`](crate::InCall)) by thread id (`u32`).
    pub const IN_SYSCALLS: &str = "in_syscalls";
    /// Hash of threads that are off their CPUs now ([`layout::OffCpu`](crate::layout::OffCpu)) by thread id (`u32`).
    pub const OFF_CPUS: &str = "off_cpus";
    /// Hash of each thread's `runtime.m` ([`open::m_and_tgid`](crate::open::m_and_tgid)) by thread id (`u32`).
    pub const THREADS: &str = "threads";
    /// Hash of where threads keep their g, bytes from their bases (`i32`), by process id (`u32`): of processes whose binary does not say.
    pub const TLS_OFFSETS: &str = "tls_offsets";
    /// Array of one [`layout::Syscalls`](crate::layout::Syscalls).
    pub const SYSCALL_CONFIG: &str = "syscall_config";
    /// Hash of [`Bindings`](crate::Bindings) by process id (`u32`).
    pub const BINDINGS: &str = "bindings";
    /// Per-CPU hash of [`ShortWaitSum`](crate::ShortWaitSum) by [`ShortWaitKey`](crate::ShortWaitKey).
    pub const SHORT_WAITS: &str = "short_waits";
    /// Per-CPU hash of [`Cost`](crate::Cost) by process id (`u32`).
    pub const COSTS: &str = "costs";
    /// Array of one [`Config`](crate::states::Config): see [`encode_epoch`](crate::states::encode_epoch).
    pub const STATE_CONFIG: &str = "state_config";
    /// Hash of [`Goroutine`](crate::states::Goroutine) that live, by [`ParkKey`](crate::ParkKey).
    pub const GOROUTINES: &str = "goroutines";
    /// Per-CPU hash of [`Short`](crate::states::Short) by process id (`u32`).
    pub const SHORT_LIVES: &str = "short_lives";
    /// Per-CPU array of `u64` by [`StateCounter`](crate::states::StateCounter).
    pub const STATE_COUNTERS: &str = "state_counters";
    /// Per-CPU array of `u64` by [`Counter`](crate::layout::Counter).
    pub const COUNTERS: &str = "counters";
    /// Hash of open sessions of observed processes ([`tcp::Session`](crate::tcp::Session)) by the address of the socket.
    pub const TCP_SESSIONS: &str = "tcp_sessions";
    /// The same of those whose owner is not known yet.
    pub const TCP_EMBRYOS: &str = "tcp_embryos";
    /// Hash of the sends of open sessions ([`tcp::Sends`](crate::tcp::Sends)) by the address of the socket.
    pub const TCP_SENDS: &str = "tcp_sends";
    /// Array of one [`TcpSettings`](crate::tcp::TcpSettings).
    pub const TCP_CONFIG: &str = "tcp_config";
    /// Per-CPU array of `u64` by [`TcpCounter`](crate::tcp::TcpCounter).
    pub const TCP_COUNTERS: &str = "tcp_counters";
    /// Stacks of connect() by the key in a session.
    pub const TCP_STACKS: &str = "tcp_stacks";
}
