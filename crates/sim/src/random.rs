//! Seeded random numbers.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A seeded source of random numbers.
pub struct Random(ChaCha8Rng);

impl Random {
    /// The source that `seed` names.
    pub fn seeded(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f64 {
        // 53 bits: every value is exact.
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in [low, high).
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Exponential with the given mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.uniform()).ln()
    }

    /// Normal with mean zero and the given standard deviation (Box and Muller 1958).
    pub fn normal(&mut self, deviation: f64) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        deviation * radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// +1 or -1, alike often.
    pub fn sign(&mut self) -> f64 {
        if self.uniform() < 0.5 { -1.0 } else { 1.0 }
    }

    /// Log-uniform in [low, high): every octave is alike likely.
    pub fn log_between(&mut self, low: f64, high: f64) -> f64 {
        self.between(low.ln(), high.ln()).exp()
    }

    /// Log-normal with the given median; `sigma` is the standard deviation of the logarithm.
    pub fn lognormal(&mut self, median: f64, sigma: f64) -> f64 {
        median * self.normal(sigma).exp()
    }

    /// Laplace with mean zero and the given scale (the mean of its absolute value).
    pub fn laplace(&mut self, scale: f64) -> f64 {
        self.sign() * self.exponential(scale)
    }

    /// Pareto with the given shape, from `least` up.
    pub fn pareto(&mut self, shape: f64, least: f64) -> f64 {
        least * (1.0 - self.uniform()).powf(-1.0 / shape)
    }

    /// Gamma with mean `shape * scale` (Marsaglia and Tsang 2000).
    pub fn gamma(&mut self, shape: f64, scale: f64) -> f64 {
        if shape < 1.0 {
            // Their section 6: a gamma of shape + 1, shrunk by a power of a uniform.
            let shrink = (1.0 - self.uniform()).powf(1.0 / shape);
            return self.gamma(shape + 1.0, scale) * shrink;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal(1.0);
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && (1.0 - self.uniform()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v * scale;
            }
        }
    }

    /// Poisson with the given mean, counted as arrivals: takes time in proportion to the mean.
    pub fn poisson(&mut self, mean: f64) -> usize {
        let mut arrivals = 0;
        let mut at = self.exponential(1.0);
        while at < mean {
            arrivals += 1;
            at += self.exponential(1.0);
        }
        arrivals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and standard deviation of 200,000 draws.
    fn moments(mut draw: impl FnMut(&mut Random) -> f64) -> (f64, f64) {
        let mut random = Random::seeded(1);
        let draws: Vec<f64> = (0..200_000).map(|_| draw(&mut random)).collect();
        let mean = draws.iter().sum::<f64>() / draws.len() as f64;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / draws.len() as f64;
        (mean, variance.sqrt())
    }

    fn assert_moments(moments: (f64, f64), mean: f64, deviation: f64) {
        let near = |is: f64, wanted: f64| (is - wanted).abs() < 0.02 * deviation;
        assert!(near(moments.0, mean) && near(moments.1, deviation), "{moments:?}, not {mean} {deviation}");
    }

    #[test]
    fn draws_have_the_moments_of_their_distributions() {
        assert_moments(moments(|r| r.gamma(2.0, 1.5)), 3.0, 1.5 * 2f64.sqrt());
        assert_moments(moments(|r| r.gamma(0.8, 12.0)), 9.6, 12.0 * 0.8f64.sqrt());
        assert_moments(moments(|r| r.laplace(3.0)), 0.0, 3.0 * 2f64.sqrt());
        assert_moments(moments(|r| r.poisson(2.5) as f64), 2.5, 2.5f64.sqrt());
        assert_moments(moments(|r| r.lognormal(5.0, 0.5).ln()), 5f64.ln(), 0.5);
        assert_moments(moments(|r| r.log_between(1.0, 100.0).ln()), 10f64.ln(), 100f64.ln() / 12f64.sqrt());
        // The logarithm of a Pareto of shape 1.5 is exponential with mean 1/1.5.
        assert_moments(moments(|r| r.pareto(1.5, 2.0).ln()), 2f64.ln() + 1.0 / 1.5, 1.0 / 1.5);
    }
}
