//! What knots tell of disruptions: of a machine that was stopped while its clocks went on, or of clocks that jumped.
//!
//! A suspend stops MONO and RAW and leaves WALL going on, or the guest's tools set WALL after a freeze; both look as if somebody had
//! set the wall clock, and whether it is one of the two only a probe can tell. Where all clocks stop with the machine no knot shows it at
//! all.

use syncline_timebase::{Instant, Knot, Mono, Offset, Raw, Span, Wall};

/// Knots are read ten times a second; a machine that reads none for so long was stopped, or as good as.
const STOPPED: Span = Span::from_s(1);
/// MONO and RAW part by no more than 1 in so many: NTP steers by 500 ppm at most.
const STEERED: i64 = 1_000;
/// Readings of a moment differ by so much beside their brackets, ns.
const JITTER: i64 = 20_000;
/// What seems to be disrupted from one knot to the next without an end is told of again after so long: a clock that is slewed by its tick
/// looks like that all the time.
const TOLD_EVERY: Span = Span::from_s(10);

/// Follows the knots.
#[derive(Clone, Copy, Debug, Default)]
pub struct DisruptionWatch {
    last: Option<Knot>,
    /// It seemed so at the last knot.
    seemed: bool,
    told: Option<Instant<Mono>>,
}

impl DisruptionWatch {
    /// Takes the next knot; whether it is to be told that the clocks were disrupted since the last one, for all it tells. A hypervisor
    /// that says so knows.
    pub fn observe(&mut self, knot: &Knot, hypervisor_says_so: bool) -> bool {
        let seems = self.last.replace(*knot).is_some_and(|last| is_disrupted(&last, knot));
        let goes_on = std::mem::replace(&mut self.seemed, seems);
        let was_told = self.told.is_some_and(|told| knot.mono - told <= TOLD_EVERY);
        let is_to_be_told = hypervisor_says_so || (seems && !(goes_on && was_told));
        if is_to_be_told {
            self.told = Some(knot.mono);
        }
        is_to_be_told
    }
}

fn is_disrupted(last: &Knot, knot: &Knot) -> bool {
    let elapsed = knot.mono - last.mono;
    let raw = |knot: &Knot| -> Offset<Mono, Raw> { knot.mono.offset_to(knot.raw) };
    let wall = |knot: &Knot| -> Offset<Mono, Wall> { knot.mono.offset_to(knot.wall) };
    let raw_moved = raw(knot).ns().saturating_sub(raw(last).ns());
    // Backward nothing but a hand moves it.
    let wall_went_on = wall(knot).ns().saturating_sub(wall(last).ns());
    let explained = elapsed.abs().ns() / STEERED + (last.bracket + knot.bracket).ns() + JITTER;
    elapsed > STOPPED || raw_moved.saturating_abs() > explained || wall_went_on > explained
}

#[cfg(test)]
mod tests {
    use super::*;

    fn knot(mono_ms: i64, raw_us: i64, wall_us: i64) -> Knot {
        let mono_ns = mono_ms * 1_000_000;
        Knot {
            mono: Instant::from_ns(mono_ns),
            raw: Instant::from_ns(mono_ns + raw_us * 1_000),
            wall: Instant::from_ns(mono_ns + wall_us * 1_000),
            bracket: Span::from_ns(100),
        }
    }

    /// Each as if nothing had been told before.
    fn disrupted(knots: &[Knot]) -> Vec<bool> {
        knots.windows(2).map(|pair| is_disrupted(&pair[0], &pair[1])).collect()
    }

    #[test]
    fn a_gap_and_a_jump_are_disruptions_and_slewing_is_none() {
        let readings = [(0, 0), (100, 50), (200, 100), (1_300, 0), (1_400, 1_000), (1_500, 1_000)];
        let knots = readings.map(|(mono_ms, raw_us)| knot(mono_ms, raw_us, 0));
        assert_eq!(disrupted(&knots), [false, false, true, true, false]);
    }

    #[test]
    fn a_suspend_in_which_only_the_wall_clock_went_on_is_a_disruption() {
        let hour_us = 3_600_000_000;
        let readings = [(0, 0), (100, 50), (200, hour_us), (300, hour_us), (400, hour_us - 1_000_000)];
        let knots = readings.map(|(mono_ms, wall_us)| knot(mono_ms, 0, wall_us));
        assert_eq!(disrupted(&knots), [false, true, false, false], "back it is set by hand");
    }

    #[test]
    fn what_seems_so_without_an_end_is_told_once_in_ten_seconds_and_what_a_hypervisor_says_each_time() {
        let mut watch = DisruptionWatch::default();
        let told: Vec<i64> = (0..300).filter(|tick| watch.observe(&knot(tick * 100, tick * 1_000, 0), false)).collect();
        assert_eq!(told, [1, 102, 203]);
        assert!(watch.observe(&knot(30_000, 299_000, 0), true));
    }

    #[test]
    fn a_second_one_soon_after_the_first_is_told_too() {
        let mut watch = DisruptionWatch::default();
        let raw_us = |tick: i64| [5, 9, 40].iter().filter(|at| **at <= tick).count() as i64 * 1_000;
        let told: Vec<i64> = (0..60).filter(|tick| watch.observe(&knot(tick * 100, raw_us(*tick), 0), false)).collect();
        assert_eq!(told, [5, 9, 40]);
    }
}
