//! A host's three clocks over a run, in seconds of true time from its start.
//!
//! All three are near true time: what a boot would take off MONO and RAW changes nothing for an estimator. A pause takes
//! the same time from all three at the resume; their rates go on meanwhile, so that MONO jumps against RAW by what NTP's
//! steering makes of the pause (up to 0.5 ms a second of it).

use super::discipline::{DisciplineModel, DisciplineRun};
use super::oscillator::{OscillatorModel, OscillatorRun};
use super::phase::{GRID_S, Jumps, Phase};
use crate::Random;

/// What a host's clocks are drawn from.
#[derive(Clone, Debug)]
pub struct ClockSettings {
    /// The oscillator, and what befalls the whole machine.
    pub oscillator: OscillatorModel,
    /// How NTP disciplines MONO and WALL.
    pub discipline: DisciplineModel,
    /// Standard deviation of a clock read, s.
    pub read_jitter_s: f64,
}

impl Default for ClockSettings {
    fn default() -> Self {
        Self { oscillator: OscillatorModel::default(), discipline: DisciplineModel::default(), read_jitter_s: 30e-9 }
    }
}

/// What the clocks are drawn for beyond the end of the run, where the last replies and knots come, s.
const TAIL_S: f64 = 2.0;

/// One host's clocks.
pub(super) struct Clocks {
    raw_ahead: Phase,
    mono_ahead: Phase,
    /// Time that pauses take from all three clocks, at each resume.
    losses: Jumps,
    first_wall_error_s: f64,
    wall_steps: Jumps,
}

impl Clocks {
    /// Draws the clocks of a run of `duration_s`.
    pub(super) fn draw(settings: &ClockSettings, duration_s: f64, random: &mut Random) -> Self {
        let steps = ((duration_s + TAIL_S) / GRID_S).ceil() as usize;
        let oscillator = OscillatorRun::draw(&settings.oscillator, duration_s, steps, random);
        let discipline = DisciplineRun::draw(&settings.discipline, &oscillator, duration_s, random);
        Self {
            raw_ahead: Phase::integral(&oscillator.frequency),
            mono_ahead: Phase::integral(&discipline.mono_frequency),
            losses: Jumps::new(oscillator.losses),
            first_wall_error_s: discipline.first_wall_error_s,
            wall_steps: Jumps::new(discipline.wall_steps),
        }
    }

    /// RAW at true time `at_s`, which no pause may hold.
    pub(super) fn raw(&self, at_s: f64) -> f64 {
        at_s + self.raw_ahead.at(at_s) + self.losses.sum_at(at_s)
    }

    /// MONO at true time `at_s`, which no pause may hold.
    pub(super) fn mono(&self, at_s: f64) -> f64 {
        at_s + self.mono_ahead.at(at_s) + self.losses.sum_at(at_s)
    }

    /// WALL at true time `at_s`, which no pause may hold.
    pub(super) fn wall(&self, at_s: f64) -> f64 {
        self.mono(at_s) + self.first_wall_error_s + self.wall_steps.sum_at(at_s)
    }

    /// Whether the guest is frozen at true time `at_s`.
    pub(super) fn is_paused(&self, at_s: f64) -> bool {
        self.pauses().any(|(from_s, resume_s)| from_s < at_s && at_s < resume_s)
    }

    /// When the guest is frozen: true time of the freeze and of the resume, in order of the latter.
    pub(super) fn pauses(&self) -> impl Iterator<Item = (f64, f64)> {
        self.losses.as_slice().iter().map(|loss| (loss.at_s + loss.size_s, loss.at_s))
    }

    /// Steps of WALL on MONO.
    pub(super) fn wall_steps(&self) -> &Jumps {
        &self.wall_steps
    }

    /// True times at which MONO shows 0, `period_s`, two `period_s`, ... up to `until_s`.
    pub(super) fn ticks(&self, period_s: f64, until_s: f64) -> Vec<f64> {
        let mut ticks = Vec::with_capacity((until_s / period_s) as usize + 1);
        let pauses: Vec<_> = self.pauses().collect();
        let (mut at_s, mut resumed) = (0.0, 0);
        loop {
            let mono_s = ticks.len() as f64 * period_s;
            at_s = self.when_mono_shows(mono_s, resumed, at_s);
            // A tick that would come in a pause comes after it.
            while let Some((_, resume_s)) = pauses.get(resumed).filter(|(from_s, _)| *from_s < at_s) {
                resumed += 1;
                at_s = self.when_mono_shows(mono_s, resumed, at_s).max(*resume_s);
            }
            if at_s >= until_s {
                return ticks;
            }
            ticks.push(at_s);
        }
    }

    /// The true time at which MONO shows `mono_s` after `resumed` pauses; `near_s` is a guess.
    fn when_mono_shows(&self, mono_s: f64, resumed: usize, near_s: f64) -> f64 {
        let lost_s = self.losses.sum_of_first(resumed);
        // MONO's rate is within 0.1 % of true time's, so that each round takes three digits off the error.
        (0..4).fold(near_s, |at_s, _| mono_s - lost_s - self.mono_ahead.at(at_s))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOURS_2: f64 = 7_200.0;

    fn disturbed() -> Clocks {
        let mut settings = ClockSettings::default();
        settings.oscillator.pauses_per_h = 3.0;
        settings.discipline.wall_steps_per_h = 3.0;
        settings.discipline.wrong_sources_per_h = 1.0;
        Clocks::draw(&settings, HOURS_2, &mut Random::seeded(2))
    }

    #[test]
    fn a_pause_takes_time_from_all_three_clocks() {
        let clocks = disturbed();
        let pauses: Vec<_> = clocks.pauses().collect();
        assert!(!pauses.is_empty());
        for (from_s, resume_s) in pauses {
            // WALL may be stepped meanwhile, so what counts there is the step on MONO.
            let stepped_s = clocks.wall_steps.sum_at(resume_s) - clocks.wall_steps.sum_at(from_s);
            let passed = [
                clocks.raw(resume_s) - clocks.raw(from_s),
                clocks.mono(resume_s) - clocks.mono(from_s),
                clocks.wall(resume_s) - clocks.wall(from_s) - stepped_s,
            ];
            // Rates are within 0.1 % of true time, which the frozen part would pass at.
            assert!(passed.iter().all(|passed_s| passed_s.abs() < 1e-3 * (resume_s - from_s)), "{passed:?}");
        }
    }

    #[test]
    fn wall_moves_on_mono_only_at_steps() {
        let clocks = disturbed();
        let ahead = |at_s: f64| clocks.wall(at_s) - clocks.mono(at_s);
        let mut moved = 0;
        for second in 0..HOURS_2 as usize {
            let (before, after) = (second as f64, second as f64 + 1.0);
            let steps = clocks.wall_steps.as_slice().iter().filter(|step| before < step.at_s && step.at_s <= after);
            let stepped_s: f64 = steps.map(|step| step.size_s).sum();
            assert!((ahead(after) - ahead(before) - stepped_s).abs() < 1e-9, "second {second}");
            moved += usize::from(stepped_s != 0.0);
        }
        assert!(moved > 0);
    }

    #[test]
    fn raw_is_continuous_except_at_losses_and_mono_never_slews_beyond_its_limit() {
        let clocks = disturbed();
        let steps: Vec<f64> = (0..(HOURS_2 * 10.0) as usize).map(|tick| tick as f64 * 0.1).collect();
        for pair in steps.windows(2) {
            let lost = clocks.losses.sum_at(pair[1]) - clocks.losses.sum_at(pair[0]);
            let rate = |clock: &dyn Fn(f64) -> f64| (clock(pair[1]) - clock(pair[0]) - lost) / 0.1 - 1.0;
            assert!(rate(&|at_s| clocks.raw(at_s)).abs() < 50e-6, "at {} s", pair[0]);
            assert!(rate(&|at_s| clocks.mono(at_s)).abs() < 550e-6, "at {} s", pair[0]);
        }
    }

    #[test]
    fn ntp_keeps_wall_within_milliseconds_of_true_time() {
        let clocks = Clocks::draw(&ClockSettings::default(), HOURS_2, &mut Random::seeded(4));
        let worst = (0..7_200).map(|second| clocks.wall(f64::from(second)) - f64::from(second)).map(f64::abs);
        let worst = worst.fold(0.0, f64::max);
        assert!((50e-6..5e-3).contains(&worst), "{worst} s");
    }

    #[test]
    fn ticks_are_regular_on_mono_and_none_comes_in_a_pause() {
        let clocks = disturbed();
        let ticks = clocks.ticks(0.1, HOURS_2);
        assert!(ticks.len() > 71_000);
        let mut late = 0;
        for (index, at_s) in ticks.iter().enumerate() {
            assert!(!clocks.is_paused(*at_s));
            let error_s = clocks.mono(*at_s) - index as f64 * 0.1;
            // Only the first tick after a pause may be late: MONO drifts on while it stands.
            late += usize::from(error_s.abs() > 1e-9);
        }
        assert!(late <= clocks.losses.as_slice().len(), "{late} late ticks");
    }
}
