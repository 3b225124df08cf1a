//! A node's oscillator: how far its bare count runs ahead of true time.

use crate::Random;

/// What an oscillator does.
#[derive(Clone, Copy, Debug)]
pub struct OscillatorSettings {
    /// Constant part of its frequency error.
    pub frequency_ppb: f64,
    /// Amplitude of a slow swing of the frequency, as temperature makes it.
    pub swing_ppb: f64,
    /// Period of the swing.
    pub swing_period_s: f64,
    /// Random walk of the frequency: standard deviation after one second.
    pub walk_ppb: f64,
}

impl Default for OscillatorSettings {
    /// A plain server crystal in a room: 20 ppm off, 50 ppb with the air conditioning, 1 ppb/sqrt(s) of random walk.
    fn default() -> Self {
        Self { frequency_ppb: 20_000.0, swing_ppb: 50.0, swing_period_s: 1_200.0, walk_ppb: 1.0 }
    }
}

/// The phase of an oscillator over true time, constant frequency within each second.
pub struct Oscillator {
    settings: OscillatorSettings,
    random: Random,
    /// Frequency error in each second of true time, ppb.
    frequency_ppb: Vec<f64>,
    /// Phase gained at the start of each second, ns.
    gained_ns: Vec<f64>,
    walk_ppb: f64,
}

impl Oscillator {
    /// The oscillator that `seed` names.
    pub fn new(settings: OscillatorSettings, seed: u64) -> Self {
        let random = Random::seeded(seed);
        Self { settings, random, frequency_ppb: Vec::new(), gained_ns: vec![0.0], walk_ppb: 0.0 }
    }

    /// What the oscillator has gained on true time at `true_ns` (from zero), ns.
    pub fn gained_ns(&mut self, true_ns: i64) -> f64 {
        let second = usize::try_from(true_ns.max(0) / 1_000_000_000).unwrap_or(usize::MAX - 1);
        self.run_until(second);
        let into_second_s = (true_ns - second as i64 * 1_000_000_000) as f64 * 1e-9;
        self.gained_ns[second] + self.frequency_ppb[second] * into_second_s
    }

    fn run_until(&mut self, second: usize) {
        while self.frequency_ppb.len() <= second {
            let now_s = self.frequency_ppb.len() as f64;
            self.walk_ppb += self.random.normal(self.settings.walk_ppb);
            let swing = (std::f64::consts::TAU * now_s / self.settings.swing_period_s).sin();
            let frequency = self.settings.frequency_ppb + self.settings.swing_ppb * swing + self.walk_ppb;
            self.frequency_ppb.push(frequency);
            self.gained_ns.push(self.gained_ns[self.gained_ns.len() - 1] + frequency);
        }
    }
}
