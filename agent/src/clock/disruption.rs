//! What knots tell of disruptions: of a machine that was stopped while its clocks went on, or of clocks that jumped.
//!
//! Where all clocks stop with the machine no knot shows it, and only a probe can.

use syncline_timebase::{Knot, Mono, Offset, Raw, Span};

/// Knots are read ten times a second; a machine that reads none for so long was stopped, or as good as.
const STOPPED: Span = Span::from_s(1);
/// MONO and RAW part by no more than 1 in so many: NTP steers by 500 ppm at most.
const STEERED: i64 = 1_000;
/// Readings of a moment differ by so much beside their brackets, ns.
const JITTER: i64 = 20_000;

/// Follows the knots.
#[derive(Clone, Copy, Debug, Default)]
pub struct DisruptionWatch {
    last: Option<Knot>,
}

impl DisruptionWatch {
    /// Takes the next knot; whether the clocks were disrupted since the last one, for all it tells.
    pub fn observe(&mut self, knot: &Knot) -> bool {
        self.last.replace(*knot).is_some_and(|last| {
            let elapsed = knot.mono - last.mono;
            let offset = |knot: &Knot| -> Offset<Mono, Raw> { knot.mono.offset_to(knot.raw) };
            let moved = offset(knot).ns().saturating_sub(offset(&last).ns());
            let explained = elapsed.abs().ns() / STEERED + (last.bracket + knot.bracket).ns() + JITTER;
            elapsed > STOPPED || moved.saturating_abs() > explained
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_timebase::Instant;

    fn knot(mono_ms: i64, raw_us: i64) -> Knot {
        let mono_ns = mono_ms * 1_000_000;
        Knot {
            mono: Instant::from_ns(mono_ns),
            raw: Instant::from_ns(mono_ns + raw_us * 1_000),
            wall: Instant::from_ns(mono_ns),
            bracket: Span::from_ns(100),
        }
    }

    #[test]
    fn a_gap_and_a_jump_are_disruptions_and_slewing_is_none() {
        let mut watch = DisruptionWatch::default();
        let knots = [knot(0, 0), knot(100, 50), knot(200, 100), knot(1_300, 0), knot(1_400, 1_000), knot(1_500, 1_000)];
        assert_eq!(knots.map(|knot| watch.observe(&knot)), [false, false, false, true, true, false]);
    }
}
