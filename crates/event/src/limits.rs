//! What one batch may hold. A peer that sends more is refused, so that a broken or lying node costs bounded memory.

/// Finished waits in one batch.
pub const WAITS: usize = 65_536;
/// Waits that go on in one batch.
pub const OPEN_WAITS: usize = 8_192;
/// Processes, stacks or wait reasons in one batch's dictionaries.
pub const DICTIONARY: usize = 65_536;
/// Frames of one stack: the kernel's own limit (`PERF_MAX_STACK_DEPTH`).
pub const STACK_DEPTH: usize = 127;
/// Stacks that are asked for at once, whether they need to be told.
pub const ASKED_STACKS: usize = 4_096;
/// Symbols in one batch.
pub const SYMBOLS: usize = 131_072;
/// Knots or probes in one batch: ten minutes at 10 Hz, and some.
pub const CLOCK_SAMPLES: usize = 8_192;
/// Disruptions of a node's clocks that one batch tells of: an agent has no room for more and tells of several as one.
pub const DISRUPTIONS: usize = 64;
/// Messages in one batch.
pub const MESSAGES: usize = 65_536;
/// Marks of one message: 16 MiB of one call at the usual spacing.
pub const MARKS: usize = 4_096;
/// Widest spacing of marks: 2 to this.
pub const MARK_SHIFT: u32 = 31;
/// TCP sessions in one batch.
pub const TCP_SESSIONS: usize = 16_384;
/// Processes whose goroutines' states one batch tells of.
pub const PROCESS_STATES: usize = 4_096;
/// Times of observation that one batch tells of.
pub const OBSERVATIONS: usize = 16_384;
/// Goroutines whose states one batch tells of.
pub const GOROUTINE_STATES: usize = 65_536;
/// Reasons by which one process or goroutine was blocked: Go itself knows about forty.
pub const BLOCKED_REASONS: usize = 256;
/// The same of all processes and goroutines of one batch together.
pub const BLOCKED_TIMES: usize = 1 << 20;
/// Bytes of one text (service, path, function).
pub const TEXT_BYTES: usize = 4_096;
/// Dropped batches that one batch tells of.
pub const DROPPED: usize = 4_096;
/// Buckets of a short-wait histogram: bucket i counts waits of [2^i, 2^(i+1)) ns.
pub const HISTOGRAM_BUCKETS: usize = 40;
/// Bytes of a batch on the wire, compressed.
pub const WIRE_BYTES: usize = 16 << 20;
/// Bytes of a batch after decompression.
pub const DECODED_BYTES: usize = 32 << 20;
/// Connections that a batch speaks of: each of its waits, messages and sessions may be of another.
pub const FLOWS: usize = WAITS + OPEN_WAITS + MESSAGES + TCP_SESSIONS;

/// By how much the states of a goroutine may miss its duration, ns: 0.1 %, and a microsecond for what lived shortly.
pub const fn states_tolerance_ns(duration_ns: u64) -> u64 {
    let share = duration_ns / 1_000;
    if share > 1_000 { share } else { 1_000 }
}
