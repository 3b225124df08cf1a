//! The trace's clock on CLOCK_MONOTONIC.
//!
//! Since Go 1.22 the tracer reads CLOCK_MONOTONIC, and only newer ones say so (a snapshot of clocks, Go 1.25); Go 1.21 counts cycles of the processor. So
//! the program itself leaves anchors, events of the trace between two readings of CLOCK_MONOTONIC, and a line is laid through them: one way for all
//! versions, and nothing of ours is in it. Those whose two readings lie far apart were interrupted, and tell less.

use anyhow::{Result, ensure};

/// An event of the trace, and the two readings around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Anchor {
    pub(super) trace_ns: i64,
    pub(super) before_mono_ns: i64,
    pub(super) after_mono_ns: i64,
}

/// A line from the trace's time to CLOCK_MONOTONIC.
#[derive(Debug, Clone, Copy)]
pub(super) struct TraceClock {
    trace_origin_ns: i64,
    mono_origin_ns: i64,
    offset_ns: f64,
    /// How much faster CLOCK_MONOTONIC runs.
    rate: f64,
}

impl TraceClock {
    /// By the half of the anchors whose readings lie closest together.
    ///
    /// # Errors
    /// When there are too few.
    pub(super) fn through(anchors: &[Anchor]) -> Result<Self> {
        let mut tight = anchors.to_vec();
        tight.sort_by_key(Anchor::width_ns);
        tight.truncate(anchors.len() / 2);
        ensure!(tight.len() >= 10, "only {} anchors of the trace's clock", anchors.len());
        let origin = tight[0];
        let point = |anchor: &Anchor| {
            let mono_ns = i64::midpoint(anchor.before_mono_ns, anchor.after_mono_ns) - origin.before_mono_ns;
            let trace_ns = anchor.trace_ns - origin.trace_ns;
            (trace_ns as f64, (mono_ns - trace_ns) as f64)
        };
        let points: Vec<_> = tight.iter().map(point).collect();
        let count = points.len() as f64;
        let x_mean = points.iter().map(|(x, _)| x).sum::<f64>() / count;
        let y_mean = points.iter().map(|(_, y)| y).sum::<f64>() / count;
        let spread: f64 = points.iter().map(|(x, _)| (x - x_mean).powi(2)).sum();
        let rate = points.iter().map(|(x, y)| (x - x_mean) * (y - y_mean)).sum::<f64>() / spread.max(1.0);
        Ok(Self {
            trace_origin_ns: origin.trace_ns,
            mono_origin_ns: origin.before_mono_ns,
            offset_ns: y_mean - rate * x_mean,
            rate,
        })
    }

    pub(super) fn mono_ns(&self, trace_ns: i64) -> i64 {
        let passed_ns = trace_ns - self.trace_origin_ns;
        let correction_ns = self.offset_ns + self.rate * passed_ns as f64;
        self.mono_origin_ns + passed_ns + correction_ns.round() as i64
    }
}

impl Anchor {
    fn width_ns(&self) -> i64 {
        self.after_mono_ns - self.before_mono_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_of_another_rate_and_origin_is_found_in_spite_of_interruptions() {
        let anchor = |index: i64| {
            let trace_ns = index * 10_000_000;
            let mono_ns = 5_000_000_000_000 + trace_ns + trace_ns / 10_000;
            // Every third was interrupted, after its event.
            let late_ns = if index % 3 == 0 { 4_000_000 } else { 300 };
            Anchor { trace_ns, before_mono_ns: mono_ns - 300, after_mono_ns: mono_ns + late_ns }
        };
        let clock = TraceClock::through(&(0..300).map(anchor).collect::<Vec<_>>()).unwrap();
        for trace_ns in [0, 1_500_000_000, 3_000_000_000] {
            let off_ns = clock.mono_ns(trace_ns) - (5_000_000_000_000 + trace_ns + trace_ns / 10_000);
            assert!(off_ns.abs() < 10, "{off_ns}");
        }
        assert!(TraceClock::through(&[anchor(1), anchor(2)]).is_err());
    }
}
