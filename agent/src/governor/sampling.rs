//! When a window is open, and for how much time it stands.

use syncline_event::ONCE_MILLI;

/// Draws the gaps between windows, and tells what each window stands for.
///
/// A gap is drawn evenly from half its mean to one and a half, by nothing that the process does, so that no period of the program's can fall
/// in step with the windows. A window stands for itself and the gap before it.
#[derive(Debug)]
pub struct Sampler {
    random: fastrand::Rng,
}

impl Sampler {
    /// One whose gaps follow from this number.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { random: fastrand::Rng::with_seed(seed) }
    }

    /// Length of the next gap, ns, of a mean of so many.
    pub fn gap_ns(&mut self, mean_ns: u64) -> u64 {
        mean_ns / 2 + self.random.u64(0..=mean_ns)
    }
}

/// How many times what is seen in a window of this length counts, in thousandths, after a gap of that length. Both are known as it opens.
#[must_use]
pub fn weight_milli(gap_ns: u64, window_ns: u64) -> u32 {
    let times = gap_ns as f64 / window_ns.max(1) as f64 + 1.0;
    // Too large a weight saturates.
    (times * f64::from(ONCE_MILLI)).round() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn gaps_are_about_their_mean() {
        let mut sampler = Sampler::new(1);
        let gaps: Vec<u64> = (0..10_000).map(|_| sampler.gap_ns(1_000 * MS)).collect();
        assert!(gaps.iter().all(|gap| (500 * MS..=1_500 * MS).contains(gap)));
        let mean = gaps.iter().sum::<u64>() / 10_000;
        assert!(mean.abs_diff(1_000 * MS) < 10 * MS, "{mean}");
    }

    #[test]
    fn the_weight_of_a_window_without_a_gap_is_one() {
        assert_eq!(weight_milli(0, 20 * MS), ONCE_MILLI);
        assert_eq!(weight_milli(980 * MS, 20 * MS), 50 * ONCE_MILLI);
        assert_eq!(weight_milli(u64::MAX, 0), u32::MAX);
    }
}
