//! A Kalman filter in the manner of ntpd-rs.

use std::collections::VecDeque;

use crate::estimate::{Estimate, Margin, difference_ns};
use crate::exchange::TwiceOffset;
use crate::{Answer, Exchange, Peer};

/// Delays that the measurement noise is taken from, and offsets that the filter starts from.
const SAMPLES: usize = 8;

/// Standard deviation of the frequency at the start, s/s.
const INITIAL_FREQUENCY_DEVIATION: f64 = 100e-6;

/// Growth of the frequency's variance at the start, 1/s: a deviation of 1e-8 after a second.
const INITIAL_WANDER: f64 = 1e-16;

/// A normal variable is within so many deviations with probability 1/3, and
const CLOSER_THAN_A_THIRD: f64 = 0.430_727;
/// within so many with probability 2/3.
const CLOSER_THAN_TWO_THIRDS: f64 = 0.967_422;

/// So often must innovations be too small, or too large, before the wander is changed.
const HYSTERESIS: i32 = 16;
const WANDER_STEP: f64 = 4.0;

/// Where the prediction adds less of the innovation's variance than this, small innovations say nothing of the wander.
const LEAST_WEIGHT: f64 = 0.1;

/// One delay beyond the mean by so many deviations is left out.
const OUTLIER_DEVIATIONS: f64 = 5.0;

/// Variance of a measurement at least, s^2: stamps are whole nanoseconds.
const LEAST_NOISE: f64 = 1e-18;

/// A Kalman filter of offset and frequency that adapts its process noise, in the manner of ntpd-rs.
///
/// - **Method**: the state is the offset and the frequency, which wanders as a random walk: Q = A (t^3/3, t^2/2; t^2/2,
///   t). A measurement is an exchange's offset, at its middle; its variance is a quarter of the sample variance of the
///   last eight delays. A score counts innovations: down where one lies closer than a third of all should, up where it
///   lies further than two thirds should, toward zero in between. At -16 A is divided by four, at +16 multiplied. Down
///   only where the prediction is at least a tenth of the innovation's variance. A delay of more than five deviations
///   above the mean of the eight is left out, unless the one before was too. The filter starts from the mean and the
///   variance of eight offsets, 100 ppm, and A = 1e-16 / s.
/// - **Source**: ntpd-rs, `docs/algorithm` ("Clock steering in ntpd-rs"), sections on the filter, its noises, and
///   checks; and its published defaults.
/// - **Parameters**: as above. Bounds: twice the deviation of the offset plus a quarter of the mean delay, the interval
///   by which ntpd-rs compares its sources; growing by twice the deviation of the frequency. None for the first eight.
/// - **Departures**: ntpd-rs steers the clock by the filter and tells the filter; here the clock is left alone, so that
///   the first eight offsets spread by its drift. No choice among sources and no choice of poll interval. A
///   measurement's variance is at least 1 ns^2, so that constant delays divide by no zero. It is not told of wall and
///   monotonic clocks that disagree (an oracle's reset stands in). Numbers that overflow start it anew.
#[derive(Clone, Debug, Default)]
pub struct NtpdRsLike {
    starting: VecDeque<Measurement>,
    filter: Option<Filter>,
}

#[derive(Clone, Copy, Debug)]
struct Measurement {
    at_ns: i64,
    offset: TwiceOffset,
    delay_s: f64,
}

impl Peer for NtpdRsLike {
    fn name(&self) -> &'static str {
        "ntpd-rs-like"
    }

    fn observe(&mut self, exchange: &Exchange) {
        let measurement =
            Measurement { at_ns: exchange.middle_ns(), offset: exchange.offset(), delay_s: exchange.delay_ns() * 1e-9 };
        if let Some(filter) = &mut self.filter {
            filter.observe(&measurement);
        } else {
            self.starting.push_back(measurement);
            self.filter = (self.starting.len() >= SAMPLES).then(|| Filter::start(&self.starting));
        }
        if self.filter.as_ref().is_some_and(|filter| !filter.is_finite()) {
            self.filter = None;
            self.starting = VecDeque::from([measurement]);
        }
    }

    fn answer(&self, local_ns: i64) -> Option<Answer> {
        let starting = || {
            let (mean_ns, last) = (mean_above_first_ns(&self.starting), self.starting.back()?);
            let first = Estimate::constant(last.at_ns, self.starting.front()?.offset);
            Some(Estimate { remainder_ns: first.remainder_ns + mean_ns, ..first })
        };
        let estimate = self.filter.as_ref().map(Filter::estimate).or_else(starting)?;
        Some(estimate.answer(local_ns))
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

/// The filter's state at a local instant, in seconds above a whole base.
#[derive(Clone, Debug)]
struct Filter {
    at_ns: i64,
    base_ns: i128,
    offset_s: f64,
    frequency: f64,
    covariance: Covariance,
    /// A: growth of the frequency's variance, 1/s.
    wander: f64,
    /// Below zero, innovations are smaller than they should be.
    score: i32,
    delays_s: VecDeque<f64>,
    outlier_before: bool,
}

#[derive(Clone, Copy, Debug)]
struct Covariance {
    offset: f64,
    both: f64,
    frequency: f64,
}

impl Filter {
    fn start(measurements: &VecDeque<Measurement>) -> Self {
        let base_ns = measurements.front().map_or(0, |first| first.offset.whole_ns());
        let offsets_s = || measurements.iter().map(|m| m.offset.above_ns(base_ns) * 1e-9);
        Self {
            at_ns: measurements.back().map_or(0, |last| last.at_ns),
            base_ns,
            offset_s: mean(offsets_s()),
            frequency: 0.0,
            covariance: Covariance {
                offset: variance(offsets_s()),
                both: 0.0,
                frequency: INITIAL_FREQUENCY_DEVIATION.powi(2),
            },
            wander: INITIAL_WANDER,
            score: 0,
            delays_s: measurements.iter().map(|m| m.delay_s).collect(),
            outlier_before: false,
        }
    }

    fn observe(&mut self, measurement: &Measurement) {
        if measurement.at_ns < self.at_ns {
            return;
        }
        let outlier = self.is_outlier(measurement.delay_s);
        if outlier && !self.outlier_before {
            self.outlier_before = true;
            return;
        }
        self.outlier_before = outlier;
        self.predict(measurement.at_ns);
        self.delays_s.rotate_left(1);
        if let Some(oldest) = self.delays_s.back_mut() {
            *oldest = measurement.delay_s;
        }
        self.update(measurement.offset.above_ns(self.base_ns) * 1e-9);
    }

    fn is_outlier(&self, delay_s: f64) -> bool {
        let (mean, variance) = (mean(self.delays_s.iter().copied()), variance(self.delays_s.iter().copied()));
        delay_s - mean > OUTLIER_DEVIATIONS * variance.max(LEAST_NOISE).sqrt()
    }

    fn predict(&mut self, at_ns: i64) {
        let t = difference_ns(at_ns, self.at_ns) * 1e-9;
        let Covariance { offset, both, frequency } = self.covariance;
        self.at_ns = at_ns;
        self.offset_s += self.frequency * t;
        self.covariance = Covariance {
            offset: offset + 2.0 * t * both + t * t * frequency + self.wander * t.powi(3) / 3.0,
            both: both + t * frequency + self.wander * t * t / 2.0,
            frequency: frequency + self.wander * t,
        };
    }

    fn update(&mut self, measured_s: f64) {
        let noise = (variance(self.delays_s.iter().copied()) / 4.0).max(LEAST_NOISE);
        let Covariance { offset, both, frequency } = self.covariance;
        let innovation = measured_s - self.offset_s;
        let innovation_variance = offset + noise;
        let (offset_gain, frequency_gain) = (offset / innovation_variance, both / innovation_variance);
        self.offset_s += offset_gain * innovation;
        self.frequency += frequency_gain * innovation;
        self.covariance = Covariance {
            offset: offset * noise / innovation_variance,
            both: both * noise / innovation_variance,
            frequency: frequency - frequency_gain * both,
        };
        self.adapt_wander(innovation.abs() / innovation_variance.sqrt(), offset_gain);
    }

    /// `weight` is the share of the innovation's variance that the prediction adds.
    fn adapt_wander(&mut self, deviations: f64, weight: f64) {
        self.score += match deviations {
            close if close < CLOSER_THAN_A_THIRD && weight > LEAST_WEIGHT => -1,
            far if far > CLOSER_THAN_TWO_THIRDS => 1,
            _ => -self.score.signum(),
        };
        if self.score.abs() >= HYSTERESIS {
            self.wander *= WANDER_STEP.powi(self.score.signum());
            self.score = 0;
        }
    }

    fn estimate(&self) -> Estimate {
        let mean_delay_s = mean(self.delays_s.iter().copied());
        let half_width_s = 2.0 * self.covariance.offset.sqrt() + mean_delay_s / 4.0;
        Estimate {
            at_ns: self.at_ns,
            base_ns: self.base_ns,
            remainder_ns: self.offset_s * 1e9,
            frequency: self.frequency,
            margin: Some(Margin { half_width_ns: half_width_s * 1e9, growth: 2.0 * self.covariance.frequency.sqrt() }),
        }
    }

    fn is_finite(&self) -> bool {
        let Covariance { offset, both, frequency } = self.covariance;
        [self.offset_s, self.frequency, offset, both, frequency, self.wander].iter().all(|number| number.is_finite())
    }
}

fn mean_above_first_ns(measurements: &VecDeque<Measurement>) -> f64 {
    let Some(first) = measurements.front() else { return 0.0 };
    mean(measurements.iter().map(|m| (m.offset.0 - first.offset.0) as f64 / 2.0))
}

fn mean(numbers: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = numbers.len() as f64;
    numbers.sum::<f64>() / count
}

fn variance(numbers: impl ExactSizeIterator<Item = f64> + Clone) -> f64 {
    let (count, mean) = (numbers.len() as f64, mean(numbers.clone()));
    numbers.map(|number| (number - mean).powi(2)).sum::<f64>() / (count - 1.0)
}

#[cfg(test)]
mod tests;
