//! Convex hulls of one-way delays.

use crate::estimate::{Estimate, Margin, difference_ns};
use crate::window::Window;
use crate::{Answer, Exchange, Peer};

const CAPACITY: usize = 1 << 12;

/// Fewer exchanges say too little of a slope.
const MIN_EXCHANGES: usize = 8;

/// How fast two lines part after the last exchange, s/s.
const GROWTH: f64 = 1e-6;

/// Convex hulls: the line that lies closest under all delays there, the one closest over all delays back, and their
/// mean.
///
/// - **Method**: over the last 120 s, T2 - T1 against T1 lies above offset + least delay there, and T3 - T4 against T4
///   below offset - least delay back. The line under the first that is highest at the window's middle is an edge of
///   their lower convex hull, the line over the second that is lowest there an edge of their upper one: the linear
///   programme of Moon, Skelly and Towsley, solved by the hull of Zhang, Liu and Xia. The estimate is the mean of both
///   lines at the last exchange. Congestion on one side only does no harm as long as some packets meet an empty queue,
///   and a frequency that changes within the window bends it.
/// - **Source**: S. Moon, P. Skelly, D. Towsley, "Estimation and removal of clock skew from network delay
///   measurements", INFOCOM 1999; L. Zhang, Z. Liu, C. Xia, "Clock synchronization algorithms for network
///   measurements", INFOCOM 2002.
/// - **Parameters**: the window, 120 s, and at least eight exchanges in it. Bounds: the two lines themselves, growing
///   by 1 ppm: they hold if the clock kept its frequency.
/// - **Departures**: the papers have one direction only and work afterwards on all of a trace; here both, with what
///   came before. Until there are eight exchanges, the first one's own offset and bounds stand in.
#[derive(Clone, Debug)]
pub struct Hull {
    span_ns: i64,
    exchanges: Window<Exchange>,
    estimate: Option<Estimate>,
}

/// Local time, and the offset that a packet sent or received then says.
#[derive(Clone, Copy, Debug)]
struct Point {
    x: f64,
    y: f64,
}

impl Hull {
    /// Over the latest `span_ns` of local time.
    pub fn over(span_ns: i64) -> Self {
        Self { span_ns, exchanges: Window::new(span_ns as f64, CAPACITY), estimate: None }
    }

    fn lines(&self, newest: &Exchange) -> Option<Estimate> {
        let base_ns = newest.offset().whole_ns();
        let now_ns = newest.returned_ns;
        let above = |offset: i128| (offset - base_ns) as f64;
        let there = |exchange: &Exchange| Point {
            x: difference_ns(exchange.sent_ns, now_ns),
            y: above(exchange.offset_there()),
        };
        let back = |exchange: &Exchange| Point {
            x: difference_ns(exchange.returned_ns, now_ns),
            // Upside down, so that this hull too is a lower one.
            y: -above(exchange.offset_back()),
        };
        let middle_ns = (there(self.exchanges.oldest()?).x + there(newest).x) / 2.0;
        let (high_ns, high_slope) = highest_line_under(self.exchanges.iter().map(there).collect(), middle_ns)?;
        let (low_ns, low_slope) = highest_line_under(self.exchanges.iter().map(back).collect(), middle_ns)?;
        let frequency = (high_slope - low_slope) / 2.0;
        let half_width_ns = ((high_ns - high_slope * middle_ns) + (low_ns - low_slope * middle_ns)) / 2.0;
        Some(Estimate {
            at_ns: now_ns,
            base_ns,
            remainder_ns: (high_ns - low_ns) / 2.0 - frequency * middle_ns,
            frequency,
            // Lines that cross have bent with the clock.
            margin: Some(Margin { half_width_ns: half_width_ns.abs(), growth: GROWTH }),
        })
    }
}

impl Default for Hull {
    fn default() -> Self {
        Self::over(120_000_000_000)
    }
}

impl Peer for Hull {
    fn name(&self) -> &'static str {
        "hull"
    }

    fn observe(&mut self, exchange: &Exchange) {
        if self.exchanges.is_behind(exchange.returned_ns) {
            self.reset();
        }
        self.exchanges.slide(exchange.returned_ns, *exchange);
        if self.exchanges.len() >= MIN_EXCHANGES {
            self.estimate = self.lines(exchange).or(self.estimate);
        }
        self.estimate.get_or_insert_with(|| {
            let margin = Margin { half_width_ns: exchange.delay_ns() / 2.0, growth: GROWTH };
            Estimate::constant(exchange.returned_ns, exchange.offset()).within(margin)
        });
    }

    fn answer(&self, local_ns: i64) -> Option<Answer> {
        self.estimate.map(|estimate| estimate.answer(local_ns))
    }

    fn reset(&mut self) {
        *self = Self::over(self.span_ns);
    }
}

/// Of all lines with no point below them the one that is highest at `middle`: its height there and its slope.
fn highest_line_under(mut points: Vec<Point>, middle: f64) -> Option<(f64, f64)> {
    // Exchanges come by their return, and may overtake each other.
    points.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    points.dedup_by(|later, earlier| later.x == earlier.x);
    let hull = lower_hull(&points);
    let spans_middle = |edge: &&[Point]| edge.last().is_some_and(|end| end.x >= middle);
    match hull.windows(2).find(spans_middle)? {
        [from, to] => {
            let slope = (to.y - from.y) / (to.x - from.x);
            let height = from.y + slope * (middle - from.x);
            (slope.is_finite() && height.is_finite()).then_some((height, slope))
        }
        _ => None,
    }
}

/// Andrew's monotone chain. The points are in ascending order of x.
fn lower_hull(points: &[Point]) -> Vec<Point> {
    let mut hull: Vec<Point> = Vec::with_capacity(points.len());
    for point in points {
        while let [.., a, b] = hull[..]
            && turn(&a, &b, point) <= 0.0
        {
            hull.pop();
        }
        hull.push(*point);
    }
    hull
}

/// Above zero where the way from a over b to c turns left.
fn turn(a: &Point, b: &Point, c: &Point) -> f64 {
    (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{APART, SECOND_NS, Truth, observe_quiet, queueing_ns};

    #[test]
    fn the_line_under_the_points_touches_the_lowest_around_the_middle() {
        let points = [(0.0, 1.0), (1.0, 9.0), (4.0, 2.0), (6.0, 7.0), (8.0, 4.0)];
        let points = points.map(|(x, y)| Point { x, y }).to_vec();
        assert_eq!(highest_line_under(points.clone(), 5.0), Some((2.5, 0.5)));
        assert_eq!(highest_line_under(points, 2.0), Some((1.5, 0.25)));
    }

    #[test]
    fn congestion_on_one_side_does_no_harm() {
        let mut peer = Hull::default();
        for second in 0..300 {
            // Nine of ten packets there queue for a millisecond and more; there back, none.
            let queued_ns = if second % 10 == 3 { 0 } else { 1_000_000 + 10 * queueing_ns(second) };
            peer.observe(&APART.exchange(second * SECOND_NS, queued_ns, 0));
        }
        let error_ns = APART.error_ns(&peer, 300 * SECOND_NS);
        assert!(error_ns.abs() < 20, "{error_ns}");
    }

    #[test]
    fn the_bounds_hold_a_clock_that_keeps_its_frequency() {
        let mut peer = Hull::default();
        for second in 0..300 {
            peer.observe(&APART.exchange(second * SECOND_NS, queueing_ns(second), queueing_ns(second + 3)));
            let local_ns = (second + 1) * SECOND_NS;
            let answer = peer.answer(local_ns).unwrap();
            let bounds = answer.earliest_ns.unwrap()..=answer.latest_ns.unwrap();
            assert!(second < 8 || bounds.contains(&APART.reference_ns(local_ns)), "second {second}");
        }
    }

    #[test]
    fn what_is_older_than_the_window_is_forgotten() {
        let bent = Truth { frequency: -40e-6, ..APART };
        let mut peer = Hull::default();
        observe_quiet(&mut peer, APART, 0..500);
        peer.reset();
        observe_quiet(&mut peer, bent, 500..510);
        assert!(bent.error_ns(&peer, 510 * SECOND_NS).abs() < 20);
        assert!(peer.exchanges.len() == 10);
    }
}
