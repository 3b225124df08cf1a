//! Quantiles of small samples.

/// The `share` quantile, between the two nearest samples in proportion; `None` of nothing.
pub(crate) fn quantile(samples: impl Iterator<Item = f64>, share: f64) -> Option<f64> {
    let mut sorted: Vec<f64> = samples.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let position = share.clamp(0.0, 1.0) * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted.get(position.floor() as usize)?, sorted.get(position.ceil() as usize)?);
    Some(below + (above - below) * position.fract())
}

/// The middle sample, or the mean of the two in the middle.
pub(crate) fn median(samples: impl Iterator<Item = f64>) -> Option<f64> {
    quantile(samples, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_samples() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
        assert_eq!(quantile([0.0, 10.0].into_iter(), 0.3), Some(3.0));
        assert_eq!(median(std::iter::empty()), None);
    }
}
