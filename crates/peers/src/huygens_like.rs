//! A support vector machine in the manner of Huygens.

use crate::estimate::{Estimate, Margin, difference_ns};
use crate::statistics::quantile;
use crate::window::Window;
use crate::{Answer, Exchange, Peer};

const WINDOW_NS: f64 = 60e9;

/// Where so many exchanges come in a second that this is enough, ns.
const BUSY_WINDOW_NS: f64 = 10e9;
const BUSY_EXCHANGES: usize = 180;

const CAPACITY: usize = 1 << 12;

/// Between two fits passes a sixth of the window.
const FITS_PER_WINDOW: f64 = 6.0;

/// Fits want so many exchanges in the window, and so many of them pure.
const MIN_EXCHANGES: usize = 9;
const MIN_PURE: usize = 6;

/// The share of exchanges, those of least delay, that are taken to have met no queue.
const PURE: f64 = 0.3;

/// The share of each side's points that lie within the margin or beyond it: slack costs 4 / points.
const SUPPORT: f64 = 1.0 / 8.0;

/// Frequencies are looked for up to this, s/s.
const STEEPEST: f64 = 1e-3;

/// How fast the line is taken to be left after its fit, s/s.
const GROWTH: f64 = 1e-6;

/// A soft-margin support vector machine between the two directions, in the manner of Huygens.
///
/// - **Method**: T2 - T1 against T1 lies above the offset, T3 - T4 against T4 below it. The line that parts the two
///   with the widest margin, less 4 / points for each nanosecond that a point lies on the wrong side of its margin, is
///   the offset and the frequency. It is fitted over the last 60 s (10 s at three exchanges a second and more) with
///   every sixth of that, and runs on as it is until the next. Only the 30 % of least delay take part.
/// - **Source**: Y. Geng et al., "Exploiting a natural network effect for scalable, fine-grained clock
///   synchronization", NSDI 2018.
/// - **Parameters**: as above. Bounds: the margin, growing by 1 ppm; an estimate, not a promise.
/// - **Departures**: Huygens sends pairs of probes and keeps the pairs whose spacing survived; here least delay has to
///   vouch for that. It fits 2 s windows of hundreds of probes, and corrects the nodes of a mesh by the loops they are
///   in; here is one pair. The soft-margin problem is not given to a solver: with a fixed slope it falls into two, each
///   the mean of the lowest eighth of residuals (conditional value at risk), which leaves a concave function of the
///   slope.
#[derive(Clone, Debug)]
pub struct HuygensLike {
    exchanges: Window<Exchange>,
    next_fit: Option<NextFit>,
    estimate: Option<Estimate>,
}

#[derive(Clone, Copy, Debug)]
struct NextFit {
    from_ns: i64,
    after_ns: f64,
}

/// One side's points, turned so that the line is to lie below them: the offset they say against local time.
type Side = Vec<(f64, f64)>;

impl Default for HuygensLike {
    fn default() -> Self {
        Self { exchanges: Window::new(WINDOW_NS, CAPACITY), next_fit: None, estimate: None }
    }
}

impl Peer for HuygensLike {
    fn name(&self) -> &'static str {
        "huygens-like"
    }

    fn observe(&mut self, exchange: &Exchange) {
        if self.exchanges.is_behind(exchange.returned_ns) {
            self.reset();
        }
        self.exchanges.slide(exchange.returned_ns, *exchange);
        self.estimate.get_or_insert_with(|| Estimate::constant(exchange.returned_ns, exchange.offset()));
        let now_ns = exchange.returned_ns;
        let first_fit = NextFit { from_ns: now_ns, after_ns: WINDOW_NS / 2.0 };
        let next = *self.next_fit.get_or_insert(first_fit);
        if difference_ns(now_ns, next.from_ns) >= next.after_ns && self.exchanges.len() >= MIN_EXCHANGES {
            let window_ns = if self.exchanges.len() >= BUSY_EXCHANGES { BUSY_WINDOW_NS } else { WINDOW_NS };
            self.next_fit = Some(NextFit { from_ns: now_ns, after_ns: window_ns / FITS_PER_WINDOW });
            self.estimate = self.fit(exchange, window_ns).or(self.estimate);
        }
    }

    fn answer(&self, local_ns: i64) -> Option<Answer> {
        self.estimate.map(|estimate| estimate.answer(local_ns))
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

impl HuygensLike {
    fn fit(&self, newest: &Exchange, window_ns: f64) -> Option<Estimate> {
        let (base_ns, now_ns) = (newest.offset().whole_ns(), newest.returned_ns);
        let recent = || {
            let age_ns = move |exchange: &&Exchange| difference_ns(now_ns, exchange.returned_ns);
            self.exchanges.iter().rev().take_while(move |exchange| age_ns(exchange) <= window_ns)
        };
        let longest_ns = quantile(recent().map(Exchange::delay_ns), PURE)?;
        let pure = || recent().filter(|exchange| exchange.delay_ns() <= longest_ns);
        let there: Side =
            pure().map(|e| (difference_ns(e.sent_ns, now_ns), (e.offset_there() - base_ns) as f64)).collect();
        let back: Side =
            pure().map(|e| (-difference_ns(e.returned_ns, now_ns), (base_ns - e.offset_back()) as f64)).collect();
        if there.len() < MIN_PURE {
            return None;
        }
        let frequency = widest_slope(&there, &back);
        let (above_ns, below_ns) = (lowest(&there, frequency).level, lowest(&back, frequency).level);
        Some(Estimate {
            at_ns: now_ns,
            base_ns,
            remainder_ns: (above_ns - below_ns) / 2.0,
            frequency,
            margin: Some(Margin { half_width_ns: ((above_ns + below_ns) / 2.0).abs(), growth: GROWTH }),
        })
    }
}

/// The slope at which the two sides are furthest apart. How far they are is concave in it: bisection on its slope.
fn widest_slope(there: &Side, back: &Side) -> f64 {
    let (mut low, mut high) = (-STEEPEST, STEEPEST);
    // Down to 2e-3 / 2^50, which over a minute is far below a nanosecond.
    for _ in 0..50 {
        let slope = (low + high) / 2.0;
        if lowest(there, slope).gain + lowest(back, slope).gain > 0.0 { low = slope } else { high = slope }
    }
    (low + high) / 2.0
}

/// The lowest residuals of one side about a line through zero.
#[derive(Clone, Copy, Debug)]
struct Lowest {
    /// Where they end, ns.
    level: f64,
    /// By how much their mean rises with the slope.
    gain: f64,
}

fn lowest(side: &Side, slope: f64) -> Lowest {
    let mut residuals: Vec<(f64, f64)> = side.iter().map(|(x, y)| (y - slope * x, *x)).collect();
    residuals.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let count = residuals.len() as f64 * SUPPORT;
    let share = |index: usize| (count - index as f64).clamp(0.0, 1.0);
    let within = residuals.iter().enumerate().take_while(|(index, _)| share(*index) > 0.0);
    let nothing = Lowest { level: 0.0, gain: 0.0 };
    within.fold(nothing, |sum, (index, (residual, x))| Lowest { level: *residual, gain: sum.gain - share(index) * x })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{APART, SECOND_NS, observe_quiet, queueing_ns};

    #[test]
    fn frequency_and_offset_are_found_through_queueing() {
        let mut peer = HuygensLike::default();
        for second in 0..300 {
            peer.observe(&APART.exchange(second * SECOND_NS, queueing_ns(second), queueing_ns(second + 7)));
        }
        let error_ns = APART.error_ns(&peer, 300 * SECOND_NS);
        assert!(error_ns.abs() < 3_000, "{error_ns}");
    }

    #[test]
    fn one_packet_in_ten_that_meets_no_queue_is_enough() {
        let mut peer = HuygensLike::default();
        for second in 0..300 {
            let queued_ns = if second % 10 == 3 { 0 } else { 200_000 + 10 * queueing_ns(second) };
            peer.observe(&APART.exchange(second * SECOND_NS, queued_ns, 0));
        }
        let error_ns = APART.error_ns(&peer, 300 * SECOND_NS);
        assert!(error_ns.abs() < 1_000, "{error_ns}");
    }

    #[test]
    fn the_first_exchange_stands_in_until_half_a_window_has_passed() {
        let mut peer = HuygensLike::default();
        observe_quiet(&mut peer, APART, 0..30);
        assert_eq!(peer.estimate.unwrap().frequency, 0.0);
        observe_quiet(&mut peer, APART, 30..31);
        let off = peer.estimate.unwrap().frequency - APART.frequency;
        assert!(off.abs() < 1e-9, "{off:e}");
    }

    #[test]
    fn the_lowest_eighth_is_cut_within_a_point() {
        let side: Side = (0..12).map(|x| (f64::from(x), f64::from(x))).collect();
        // 1.5 points: all of (0, 0), half of (1, 1).
        let Lowest { level, gain } = lowest(&side, 0.0);
        assert_eq!((level, gain), (1.0, -0.5));
    }
}
