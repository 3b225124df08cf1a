//! The rules of node-mixin (prometheus/node_exporter, docs/node-mixin/alerts), evaluated as Prometheus does.
//!
//! ```text
//! NodeClockSkewDetected      (node_timex_offset_seconds > 0.05 and deriv(node_timex_offset_seconds[5m]) >= 0)
//!                            or (node_timex_offset_seconds < -0.05 and deriv(node_timex_offset_seconds[5m]) <= 0)     for: 10m
//! NodeClockNotSynchronising  min_over_time(node_timex_sync_status[5m]) == 0 and node_timex_maxerror_seconds >= 16      for: 10m
//! ```
//!
//! They are evaluated at each sample, 15 s apart. What a node's kernel shows is taken at its best: the offset that its daemon
//! measured last, less what it has worked off. (chrony steers without the kernel's help, and shows next to nothing there.)

/// What node_exporter's timex collector shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Timex {
    /// `node_timex_offset_seconds`.
    pub(super) offset_ns: i64,
    /// `node_timex_maxerror_seconds`.
    pub(super) max_error_ns: i64,
    /// `node_timex_sync_status`.
    pub(super) is_synchronized: bool,
}

/// A sample: its place among all, and what it shows; none where the node was not scraped.
pub(super) type Sample = Option<Timex>;

const SKEW_NS: i64 = 50_000_000;
const LOST_NS: i64 = 16_000_000_000;
const RANGE_NS: i64 = 300_000_000_000;
const FOR_NS: i64 = 600_000_000_000;

/// From when until when an alert fires, by places of samples; the end is the first at which it does not.
pub(super) fn alerts(samples: &[Sample], every_ns: i64) -> Vec<(usize, usize)> {
    let skewed = firing(samples, every_ns, |place| is_skewed(samples, place, every_ns));
    let lost = firing(samples, every_ns, |place| is_lost(samples, place, every_ns));
    skewed.into_iter().chain(lost).collect()
}

fn firing(samples: &[Sample], every_ns: i64, is_met: impl Fn(usize) -> bool) -> Vec<(usize, usize)> {
    let (mut found, mut since) = (Vec::new(), None);
    let fires = |since: usize, place: usize| (place - since) as i64 * every_ns >= FOR_NS;
    for place in 0..=samples.len() {
        match (place < samples.len() && is_met(place), since) {
            (true, None) => since = Some(place),
            (false, Some(from)) => {
                let first = (from..place).find(|at| fires(from, *at));
                found.extend(first.map(|first| (first, place)));
                since = None;
            }
            _ => {}
        }
    }
    found
}

/// The samples of a range that ends here: those after its begin (Prometheus 3) with their times, ns before now.
fn range(samples: &[Sample], place: usize, every_ns: i64) -> impl Iterator<Item = (i64, Timex)> {
    let first = place.saturating_sub((RANGE_NS / every_ns) as usize - 1);
    let of = samples.get(first..=place).unwrap_or_default().iter().rev().enumerate();
    of.filter_map(move |(back, sample)| Some((back as i64 * every_ns, (*sample)?)))
}

fn is_skewed(samples: &[Sample], place: usize, every_ns: i64) -> bool {
    let Some(Some(now)) = samples.get(place) else { return false };
    let is_far = now.offset_ns.abs() > SKEW_NS;
    is_far
        && deriv(range(samples, place, every_ns))
            .is_some_and(|deriv| deriv == 0.0 || (deriv > 0.0) == (now.offset_ns > 0))
}

/// Slope of the least squares line, as Prometheus' `deriv`; only its sign matters here. `None` of fewer than two samples.
fn deriv(samples: impl Iterator<Item = (i64, Timex)>) -> Option<f64> {
    let points: Vec<(f64, f64)> =
        samples.map(|(ago_ns, timex)| (-(ago_ns as f64) * 1e-9, timex.offset_ns as f64 * 1e-9)).collect();
    let count = points.len() as f64;
    if points.len() < 2 {
        return None;
    }
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let (covariance, variance) = points.iter().fold((0.0, 0.0), |(covariance, variance), point| {
        let (dx, dy) = (point.0 - x / count, point.1 - y / count);
        (covariance + dx * dy, variance + dx * dx)
    });
    Some(covariance / variance)
}

fn is_lost(samples: &[Sample], place: usize, every_ns: i64) -> bool {
    let Some(Some(now)) = samples.get(place) else { return false };
    // The least of the range is 0 if any sample is.
    now.max_error_ns >= LOST_NS && range(samples, place, every_ns).any(|(_, timex)| !timex.is_synchronized)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY_NS: i64 = 15_000_000_000;

    fn offset(offset_ms: i64) -> Sample {
        Some(Timex { offset_ns: offset_ms * 1_000_000, max_error_ns: 0, is_synchronized: true })
    }

    #[test]
    fn an_offset_that_does_not_get_better_fires_after_ten_minutes() {
        let samples: Vec<Sample> = (0..100).map(|place| offset(if place < 20 { 0 } else { -60 })).collect();
        assert_eq!(alerts(&samples, EVERY_NS), [(60, 100)]);
        let better: Vec<Sample> = (0..100).map(|place| offset(if place < 20 { 0 } else { -200 + place })).collect();
        let fires = alerts(&better, EVERY_NS);
        assert!(fires.is_empty(), "it gets better: {fires:?}");
        let short: Vec<Sample> = (0..100).map(|place| offset(if (20..59).contains(&place) { 60 } else { 0 })).collect();
        assert!(alerts(&short, EVERY_NS).is_empty());
    }

    #[test]
    fn a_clock_that_the_kernel_takes_for_lost_fires() {
        let lost = Some(Timex { offset_ns: 0, max_error_ns: LOST_NS, is_synchronized: false });
        let samples: Vec<Sample> = (0..100).map(|place| if place < 10 { offset(0) } else { lost }).collect();
        assert_eq!(alerts(&samples, EVERY_NS), [(50, 100)]);
    }
}
