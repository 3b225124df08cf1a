//! The trace that a wait belongs to.

/// Trace and span of a goroutine, as its profiler labels say (W3C Trace Context: 16 and 8 bytes, taken as numbers whose hexadecimal
/// digits are the ids).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TraceContext {
    /// The trace; 0 where there is none, or only the span is known.
    pub trace_id: u128,
    /// The span; 0 where there is none, or only the trace is known.
    pub span_id: u64,
}

impl TraceContext {
    /// Neither.
    pub const NONE: Self = Self { trace_id: 0, span_id: 0 };
}
