//! The oscillator behind a host's clocks, and what befalls the whole machine.

use std::f64::consts::TAU;

use super::phase::{GRID_S, Jump};
use crate::Random;

/// What an oscillator, and the machine around it, are drawn from. Pairs are ranges.
#[derive(Clone, Debug)]
pub struct OscillatorModel {
    /// Constant frequency error at most, either way, ppm.
    pub frequency_ppm: f64,
    /// Amplitude of the swing with temperature at most, ppm.
    pub temperature_ppm: f64,
    /// Period of that swing, s.
    pub temperature_period_s: (f64, f64),
    /// Random-walk FM: standard deviation of the frequency after one second, as a fraction.
    pub walk_fm: f64,
    /// White FM: standard deviation of the frequency averaged over one second, as a fraction.
    pub white_fm: f64,
    /// The guest is frozen with all its clocks, times an hour.
    pub pauses_per_h: f64,
    /// The guest is frozen and resumes on another machine, with another frequency, times an hour.
    pub migrations_per_h: f64,
    /// How long it is frozen, s, log-uniform.
    pub pause_s: (f64, f64),
    /// What a migration changes the frequency by at most, either way, ppm.
    pub migration_ppm: f64,
}

impl Default for OscillatorModel {
    /// A plain server crystal, undisturbed.
    fn default() -> Self {
        Self {
            frequency_ppm: 40.0,
            temperature_ppm: 0.25,
            temperature_period_s: (600.0, 5_400.0),
            walk_fm: 3e-10,
            white_fm: 1.5e-9,
            pauses_per_h: 0.0,
            migrations_per_h: 0.0,
            pause_s: (0.05, 2.0),
            migration_ppm: 5.0,
        }
    }
}

/// One oscillator over one run.
pub(super) struct OscillatorRun {
    /// Frequency error in each step of the grid, as a fraction.
    pub(super) frequency: Vec<f64>,
    /// Frequency error at the start without white noise: what NTP has learned by then.
    pub(super) first_frequency: f64,
    /// Time that the clocks lose, at each resume.
    pub(super) losses: Vec<Jump>,
}

impl OscillatorRun {
    /// Draws `steps` steps of the grid, with disruptions in a run of `duration_s`.
    pub(super) fn draw(model: &OscillatorModel, duration_s: f64, steps: usize, random: &mut Random) -> Self {
        let mut disruptions = draw_disruptions(model, duration_s, random);
        disruptions.sort_by(|a, b| a.resume_s.total_cmp(&b.resume_s));
        let mut frequency = draw_slow_frequency(model, steps, random);
        for disruption in &disruptions {
            let resumed = (disruption.resume_s / GRID_S).ceil() as usize;
            frequency.iter_mut().skip(resumed).for_each(|y| *y += disruption.frequency_change);
        }
        let first_frequency = frequency.first().copied().unwrap_or(0.0);
        let white = model.white_fm / GRID_S.sqrt();
        frequency.iter_mut().for_each(|y| *y += random.normal(white));
        let losses = disruptions.iter().map(|d| Jump { at_s: d.resume_s, size_s: -d.frozen_s }).collect();
        Self { frequency, first_frequency, losses }
    }
}

struct Disruption {
    resume_s: f64,
    frozen_s: f64,
    frequency_change: f64,
}

fn draw_disruptions(model: &OscillatorModel, duration_s: f64, random: &mut Random) -> Vec<Disruption> {
    let mut disruptions = Vec::new();
    for (per_h, change_ppm) in [(model.pauses_per_h, 0.0), (model.migrations_per_h, model.migration_ppm)] {
        for _ in 0..random.poisson(per_h * duration_s / 3600.0) {
            let from_s = random.between(0.15 * duration_s, 0.95 * duration_s);
            let frozen_s = random.log_between(model.pause_s.0, model.pause_s.1);
            let frequency_change = random.between(-1.0, 1.0) * change_ppm * 1e-6;
            disruptions.push(Disruption { resume_s: from_s + frozen_s, frozen_s, frequency_change });
        }
    }
    disruptions
}

/// The frequency error without white noise.
fn draw_slow_frequency(model: &OscillatorModel, steps: usize, random: &mut Random) -> Vec<f64> {
    let constant = random.between(-1.0, 1.0) * model.frequency_ppm * 1e-6;
    let swing = random.between(0.0, model.temperature_ppm) * 1e-6;
    let angle_per_step = TAU * GRID_S / random.between(model.temperature_period_s.0, model.temperature_period_s.1);
    let angle = random.between(0.0, TAU);
    let deviation = model.walk_fm * GRID_S.sqrt();
    let mut walk = 0.0;
    let slow = (0..steps).map(|step| {
        walk += random.normal(deviation);
        constant + swing * (angle + angle_per_step * step as f64).sin() + walk
    });
    slow.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_migration_changes_the_frequency_and_a_pause_does_not() {
        let quiet = OscillatorModel { walk_fm: 0.0, white_fm: 0.0, temperature_ppm: 0.0, ..OscillatorModel::default() };
        let changes = |model: &OscillatorModel| {
            let run = OscillatorRun::draw(model, 7_200.0, 144_000, &mut Random::seeded(3));
            let changes = run.frequency.windows(2).filter(|pair| (pair[1] - pair[0]).abs() > 1e-12).count();
            (run.losses.len(), changes)
        };
        let (pauses, changes_at_pauses) = changes(&OscillatorModel { pauses_per_h: 4.0, ..quiet.clone() });
        assert!(pauses > 0 && changes_at_pauses == 0, "{pauses} pauses");
        let (migrations, changes_at_migrations) = changes(&OscillatorModel { migrations_per_h: 4.0, ..quiet });
        assert!(migrations > 0 && changes_at_migrations == migrations, "{migrations} migrations");
    }

    #[test]
    fn white_noise_averages_to_its_deviation_over_a_second() {
        let model = OscillatorModel { walk_fm: 0.0, temperature_ppm: 0.0, ..OscillatorModel::default() };
        let run = OscillatorRun::draw(&model, 7_200.0, 144_000, &mut Random::seeded(1));
        let per_second = (1.0 / GRID_S).round() as usize;
        let seconds: Vec<f64> = run
            .frequency
            .chunks_exact(per_second)
            .map(|steps| steps.iter().sum::<f64>() / per_second as f64 - run.first_frequency)
            .collect();
        let deviation = (seconds.iter().map(|y| y * y).sum::<f64>() / seconds.len() as f64).sqrt();
        assert!((deviation / 1.5e-9 - 1.0).abs() < 0.05, "{deviation:e}");
    }
}
