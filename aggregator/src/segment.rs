//! What the store keeps of a clock model, in its words.

use syncline_clock::{Estimate, NodeClock, Status};
use syncline_store::rows::{BoundClass, ClockStatus};
use syncline_timebase::{ErrorBound, FrequencyError, Instant, Mono, Span};

/// How fast a bound must grow past `at`, in 10^-9, to hold what `clock` says over the next `window` around the line that
/// goes on from `at` at [`rate_ppb`]. `clock` is that of an oscillator: MONO is RAW.
///
/// The ends of the hard bound are bent away from any line by the oscillator's wander, more the later, so the chord over the
/// whole window is the steepest.
pub(crate) fn growth_ppb(clock: &NodeClock, at: Instant<Mono>, window: Span) -> u64 {
    let now = clock.estimate(at);
    let Some(hard) = clock.bounds(at + window).map(|bounds| bounds.hard) else { return u64::MAX };
    let rate = FrequencyError::from_ppb(rate_ppb(&now) as f64);
    let line = now.offset.ns().saturating_add(rate.gained_over(window).ns());
    let reach = line.abs_diff(hard.low.ns()).max(line.abs_diff(hard.high.ns()));
    let grown = u128::from(reach.saturating_sub(now.hard.ns())) * 1_000_000_000;
    u64::try_from(grown.div_ceil(u128::from(window.ns().unsigned_abs().max(1)))).unwrap_or(u64::MAX)
}

/// The rate of an estimate in whole 10^-9.
pub(crate) fn rate_ppb(estimate: &Estimate) -> i64 {
    estimate.rate.ppb().round() as i64
}

/// What the bound of `bound` assumes.
pub(crate) fn bound_class(bound: ErrorBound) -> BoundClass {
    if bound.is_bounded() { BoundClass::Hard } else { BoundClass::Unknown }
}

/// The status in the store's words.
pub(crate) fn clock_status(status: Status) -> ClockStatus {
    match status {
        Status::Unknown => ClockStatus::Unknown,
        Status::Synchronized => ClockStatus::Synchronized,
        Status::FreeRunning => ClockStatus::FreeRunning,
        Status::Disrupted => ClockStatus::Disrupted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_clock::Tolerance;
    use syncline_timebase::{Probe, Reference};

    /// An oscillator that so many seconds of probes have followed while its rate changed by `drift_ppb` each second.
    fn oscillator(seconds: i64, drift_ppb: f64) -> NodeClock {
        let mut clock = NodeClock::of_oscillator(Tolerance::default());
        let reference = |mono: i64| {
            let elapsed_s = mono as f64 * 1e-9;
            Instant::from_ns(mono + 1_000_000_000 + (0.5 * drift_ppb * elapsed_s * elapsed_s).round() as i64)
        };
        for second in 0..seconds {
            clock.observe(&[], &[probe(second, reference)]);
        }
        clock
    }

    /// 20 us there and as much back.
    fn probe(second: i64, reference: impl Fn(i64) -> Instant<Reference>) -> Probe {
        let sent = second * 1_000_000_000 + 950_000_000;
        Probe {
            sent: Instant::from_ns(sent),
            received: reference(sent + 20_000),
            replied: reference(sent + 21_000),
            returned: Instant::from_ns(sent + 40_000),
        }
    }

    #[test]
    fn the_growth_covers_the_model_over_its_window() {
        let window = Tolerance::default().wander_window;
        for (seconds, drift_ppb) in [(20, 0.0), (300, 3.0), (300, -3.0)] {
            let (clock, at) = (oscillator(seconds, drift_ppb), Instant::from_ns(seconds * 1_000_000_000));
            let (now, growth) = (clock.estimate(at), growth_ppb(&clock, at, window));
            assert!(growth < 20_000, "{growth} ppb");
            for ahead in (0..=window.ns()).step_by(170_000_000).map(Span::from_ns) {
                let hard = clock.bounds(at + ahead).unwrap().hard;
                let gained = |ppb: i64| FrequencyError::from_ppb(ppb as f64).gained_over(ahead).ns();
                let line = now.offset.ns() + gained(rate_ppb(&now));
                let bound = now.hard.ns() + gained(growth as i64).unsigned_abs() + 1;
                let reach = line.abs_diff(hard.low.ns()).max(line.abs_diff(hard.high.ns()));
                assert!(reach <= bound, "{drift_ppb} ppb/s, after {ahead:?}: {reach} > {bound}");
            }
        }
    }
}
