//! What is assumed of oscillators and paths.

use serde::{Deserialize, Serialize};
use syncline_timebase::{FrequencyError, Span};

/// Assumptions behind every hard bound; a bound is as true as they are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tolerance {
    /// Largest frequency error of a node's oscillator against the reference's.
    pub absolute: FrequencyError,
    /// Largest change of that error within [`Tolerance::wander_window`], and in proportion over longer times.
    pub wander: FrequencyError,
    /// See [`Tolerance::wander`].
    pub wander_window: Span,
    /// Least delay of a packet in each direction.
    pub path_floor: Span,
    /// Share, 0 to 1, of what half the least round trip has above the floor that a path may be asymmetric by; only the
    /// budgeted bounds assume it.
    pub asymmetry_share: f64,
    /// An estimate without a probe for so long counts as free-running.
    pub free_running_after: Span,
}

impl Default for Tolerance {
    /// 500 ppm, which is what the kernel's discipline can correct at most; 1 ppm in 256 s, which held in simulation
    /// under thermal ramps where 0.2 ppm did not; no path floor; two fifths of the round trip
    /// for asymmetry.
    fn default() -> Self {
        Self {
            absolute: FrequencyError::from_ppm(500.0),
            wander: FrequencyError::from_ppm(1.0),
            wander_window: Span::from_s(256),
            path_floor: Span::ZERO,
            asymmetry_share: 0.4,
            free_running_after: Span::from_s(16),
        }
    }
}

impl Tolerance {
    /// How far apart the frequencies at two instants within `elapsed` may be.
    pub fn wander_over(&self, elapsed: Span) -> FrequencyError {
        let windows = elapsed.ns() as f64 / self.wander_window.ns().max(1) as f64;
        FrequencyError::from_ppb(self.wander.ppb() * windows.max(1.0))
    }

    /// How far the frequency at one end of `elapsed_ns` may be from its mean over it: the mean of [`Self::wander_over`],
    /// ppb. (`per_ns` is its inverse, which the caller has, and divisions are what this costs.)
    pub(crate) fn mean_wander_ppb(&self, elapsed_ns: f64, per_ns: f64) -> f64 {
        let window_ns = self.wander_window.ns().max(1) as f64;
        let mean = if elapsed_ns > window_ns { (elapsed_ns / window_ns + window_ns * per_ns) / 2.0 } else { 1.0 };
        self.wander.ppb() * mean
    }

    /// [`Self::asymmetry_share`], whatever was configured.
    pub(crate) fn share(&self) -> f64 {
        // A NaN assumes nothing.
        if self.asymmetry_share.is_nan() { 1.0 } else { self.asymmetry_share.clamp(0.0, 1.0) }
    }
}
