//! NTP on the host: it steers MONO and WALL, and steps WALL.

use std::f64::consts::TAU;

use super::oscillator::OscillatorRun;
use super::phase::{GRID_S, Jump};
use crate::Random;

/// How NTP disciplines MONO and WALL, and who else sets WALL. Pairs are ranges.
#[derive(Clone, Debug)]
pub struct DisciplineModel {
    /// Time between polls, s; drawn once a run.
    pub poll_s: (f64, f64),
    /// Scale of the Laplace noise of one measurement, s.
    pub noise_s: f64,
    /// Amplitude of the slowly swinging error of the source at most, s.
    pub bias_s: f64,
    /// Rate at which a phase error is worked off at most, as a fraction.
    pub max_slew: f64,
    /// Measured error from which WALL is stepped instead, s.
    pub step_threshold_s: f64,
    /// Someone sets WALL, times an hour.
    pub wall_steps_per_h: f64,
    /// By how much, either way, s, log-uniform.
    pub wall_step_s: (f64, f64),
    /// The source goes wrong by 20 to 60 ms for ten minutes, times an hour.
    pub wrong_sources_per_h: f64,
}

impl Default for DisciplineModel {
    /// A client of a public pool, undisturbed.
    fn default() -> Self {
        Self {
            poll_s: (16.0, 64.0),
            noise_s: 150e-6,
            bias_s: 300e-6,
            max_slew: 500e-6,
            step_threshold_s: 0.128,
            wall_steps_per_h: 0.0,
            wall_step_s: (0.5e-3, 0.5),
            wrong_sources_per_h: 0.0,
        }
    }
}

/// Measured error from which the phase is slewed at the full rate until it is gone, s.
const FULL_SLEW_FROM_S: f64 = 5e-3;
/// How long the source stays wrong, s.
const WRONG_FOR_S: f64 = 600.0;

/// What NTP did over one run.
pub(super) struct DisciplineRun {
    /// Frequency error of MONO in each step of the grid, as a fraction.
    pub(super) mono_frequency: Vec<f64>,
    /// Error of WALL at true time zero, s.
    pub(super) first_wall_error_s: f64,
    /// Steps of WALL on MONO.
    pub(super) wall_steps: Vec<Jump>,
}

impl DisciplineRun {
    /// Disciplines `oscillator` for a run of `duration_s`.
    pub(super) fn draw(
        model: &DisciplineModel,
        oscillator: &OscillatorRun,
        duration_s: f64,
        random: &mut Random,
    ) -> Self {
        let mut discipline = Discipline::draw(model, oscillator, duration_s, random);
        let first_wall_error_s = discipline.wall_error_s;
        let mut mono_frequency = Vec::with_capacity(oscillator.frequency.len());
        let steps_per_poll = ((discipline.poll_s / GRID_S) as usize).max(1);
        for poll in oscillator.frequency.chunks(steps_per_poll) {
            let now_s = mono_frequency.len() as f64 * GRID_S;
            discipline.meet_disturbances(now_s);
            let measured_s = discipline.measure(now_s, random);
            let steering = discipline.steer(measured_s);
            let steered = poll.iter().enumerate().map(|(step, y)| (1.0 + y) * (1.0 + steering.at(step)) - 1.0);
            mono_frequency.extend(steered);
            let gained = &mono_frequency[mono_frequency.len() - poll.len()..];
            discipline.wall_error_s += gained.iter().sum::<f64>() * GRID_S;
        }
        Self { mono_frequency, first_wall_error_s, wall_steps: discipline.done }
    }
}

/// What is done to the rate between two polls.
struct Steering {
    frequency: f64,
    slew: f64,
    slew_steps: usize,
}

impl Steering {
    fn at(&self, step: usize) -> f64 {
        self.frequency + if step < self.slew_steps { self.slew } else { 0.0 }
    }
}

struct Discipline<'a> {
    model: &'a DisciplineModel,
    poll_s: f64,
    /// Slow error of the source: amplitude s, period s, angle at zero.
    bias: (f64, f64, f64),
    /// The source is wrong from these times on, by these amounts.
    wrong_sources: Vec<Jump>,
    /// Steps of WALL by hand and jumps of RAW that are still to come, latest first.
    steps_to_come: Vec<Jump>,
    losses_to_come: Vec<Jump>,
    wall_error_s: f64,
    learned_frequency: f64,
    done: Vec<Jump>,
}

impl<'a> Discipline<'a> {
    fn draw(model: &'a DisciplineModel, oscillator: &OscillatorRun, duration_s: f64, random: &mut Random) -> Self {
        let hours = duration_s / 3600.0;
        let by_hand = (0..random.poisson(model.wall_steps_per_h * hours)).map(|_| Jump {
            at_s: random.between(0.15 * duration_s, 0.95 * duration_s),
            size_s: random.log_between(model.wall_step_s.0, model.wall_step_s.1) * random.sign(),
        });
        let by_hand = by_hand.collect();
        let wrong_sources = (0..random.poisson(model.wrong_sources_per_h * hours)).map(|_| Jump {
            at_s: random.between(0.1 * duration_s, 0.9 * duration_s),
            size_s: random.between(20e-3, 60e-3) * random.sign(),
        });
        Self {
            model,
            wrong_sources: wrong_sources.collect(),
            poll_s: random.between(model.poll_s.0, model.poll_s.1),
            bias: (random.between(0.0, model.bias_s), random.between(1_800.0, 7_200.0), random.between(0.0, TAU)),
            steps_to_come: latest_first(by_hand),
            losses_to_come: latest_first(oscillator.losses.clone()),
            wall_error_s: random.between(-0.5e-3, 0.5e-3),
            learned_frequency: random.normal(0.3e-6) - oscillator.first_frequency,
            done: Vec::new(),
        }
    }

    /// Takes in what has moved WALL by `now_s`.
    fn meet_disturbances(&mut self, now_s: f64) {
        while let Some(step) = self.steps_to_come.pop_if(|step| step.at_s <= now_s) {
            self.wall_error_s += step.size_s;
            self.done.push(step);
        }
        while let Some(loss) = self.losses_to_come.pop_if(|loss| loss.at_s <= now_s) {
            self.wall_error_s += loss.size_s;
        }
    }

    /// Asks the source for the error of WALL at `now_s`.
    fn measure(&mut self, now_s: f64, random: &mut Random) -> f64 {
        let (amplitude_s, period_s, angle) = self.bias;
        let wrong = self.wrong_sources.iter().filter(|wrong| (wrong.at_s..wrong.at_s + WRONG_FOR_S).contains(&now_s));
        let source_s =
            amplitude_s * (TAU * now_s / period_s + angle).sin() + wrong.map(|wrong| wrong.size_s).sum::<f64>();
        let measured_s = self.wall_error_s - source_s + random.laplace(self.model.noise_s);
        if measured_s.abs() <= self.model.step_threshold_s {
            return measured_s;
        }
        self.done.push(Jump { at_s: now_s + 1e-9, size_s: -measured_s });
        self.wall_error_s -= measured_s;
        0.0
    }

    /// What to do until the next poll about a measured error.
    fn steer(&mut self, measured_s: f64) -> Steering {
        let max_slew = self.model.max_slew;
        if measured_s.abs() > FULL_SLEW_FROM_S {
            let slew_steps = ((measured_s.abs() / max_slew / GRID_S) as usize).max(1);
            return Steering { frequency: self.learned_frequency, slew: -measured_s.signum() * max_slew, slew_steps };
        }
        self.learned_frequency += (-0.03 * measured_s / self.poll_s).clamp(-2e-6, 2e-6);
        let slew = (-0.5 * measured_s / self.poll_s).clamp(-max_slew, max_slew);
        Steering { frequency: self.learned_frequency, slew, slew_steps: usize::MAX }
    }
}

fn latest_first(mut jumps: Vec<Jump>) -> Vec<Jump> {
    jumps.sort_by(|a, b| b.at_s.total_cmp(&a.at_s));
    jumps
}
