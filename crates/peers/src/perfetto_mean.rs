//! Perfetto's mean.

use crate::moving_mean::Mean;
use crate::{Answer, Exchange, Peer};

const HOUR_NS: f64 = 3_600e9;

/// More than an hour at ten a second: the window's span decides, not its memory.
const CAPACITY: usize = 40_000;

/// Perfetto's mean: the offsets of all snapshots so far, averaged.
///
/// - **Method**: the plain mean of the offsets of all exchanges that returned within the last hour, held until the
///   next. No weights, no delays looked at, no frequency, no bounds.
/// - **Source**: Perfetto traces of several machines. Its trace processor (`ProtoTraceReader::CalculateClockOffsets` in
///   `src/trace_processor/importers/proto/proto_trace_reader.cc`) takes the clock snapshots that a `RemoteClockSync`
///   packet holds of both machines, makes two offsets of each pair of neighbours less than 30 s apart (the middle of
///   one side's two stamps against the other side's one), and averages all of them into one offset for each clock and
///   machine.
/// - **Parameters**: the window, 3,600 s, in place of the length of a trace.
/// - **Departures**: an exchange is one round, and its offset is of four stamps, where Perfetto makes two offsets of
///   three stamps each. Perfetto's mean is one constant, applied afterwards to all of a trace, also to what came before
///   the snapshots; this one moves on with every exchange and knows only what came before. Perfetto's service keeps the
///   five latest snapshots, of rounds 30 s apart, so that what is averaged there spans a minute or two, though it is
///   applied for as long as the trace is; and it is meant for BOOTTIME, which hosts steer. On a clock that drifts this
///   mean is late by half its window, as a constant is wrong by half a trace of that length.
#[derive(Clone, Debug)]
pub struct PerfettoMean {
    offsets: Mean,
}

impl PerfettoMean {
    /// The mean over the latest `window_ns` of local time.
    pub fn over(window_ns: i64) -> Self {
        Self { offsets: Mean::new(window_ns as f64, CAPACITY) }
    }
}

impl Default for PerfettoMean {
    fn default() -> Self {
        Self { offsets: Mean::new(HOUR_NS, CAPACITY) }
    }
}

impl Peer for PerfettoMean {
    fn name(&self) -> &'static str {
        "perfetto-mean"
    }

    fn observe(&mut self, exchange: &Exchange) {
        self.offsets.add(exchange);
    }

    fn answer(&self, local_ns: i64) -> Option<Answer> {
        self.offsets.estimate().map(|estimate| estimate.answer(local_ns))
    }

    fn reset(&mut self) {
        self.offsets.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{APART, SECOND_NS, Truth, observe_quiet};

    #[test]
    fn every_snapshot_of_the_window_counts_the_same() {
        let truth = Truth { frequency: 0.0, ..APART };
        let mut peer = PerfettoMean::default();
        peer.observe(&truth.exchange(0, 2_000_000, 0));
        observe_quiet(&mut peer, truth, 1..1_000);
        assert_eq!(truth.error_ns(&peer, 1_000 * SECOND_NS), 1_000);
        observe_quiet(&mut peer, truth, 1_000..3_602);
        assert_eq!(truth.error_ns(&peer, 3_602 * SECOND_NS), 0, "an hour old, it is gone");
    }

    #[test]
    fn a_drifting_clock_leaves_the_mean_behind() {
        let mut peer = PerfettoMean::over(60 * SECOND_NS);
        observe_quiet(&mut peer, APART, 0..600);
        // 61 exchanges lie within 60 s; their middle is 30 s old, which at 40 ppm is 1,200 us.
        let error_ns = APART.error_ns(&peer, 599 * SECOND_NS);
        assert!((error_ns + 1_200_000).abs() < 10, "{error_ns}");
    }
}
