//! Finding theta and its rate, at the start and after theta has gone where the filter did not expect it.
//!
//! Probes are kept beside a line of theta (what was expected) until the posterior of theta and its rate is narrow enough to
//! follow, and rests on a floor that was seen and not on a chance cluster of late packets.

use super::density::Density;
use super::posterior::{Belief, Fix, fix};
use super::routes::Routes;
use super::state::{BACK, DRIFT, RATE, State, THERE, THETA, Way};
use super::{BIN_TIME_S, MOVED_RATE, Mode, POINTS, Point, PointFilter, Sample, Seen, Unproven};
use crate::hull::Exchange;

/// Rates that an oscillator may have at all, one standard deviation, ns/s.
const ANY_RATE: f64 = 100_000.0;
/// Rates that a migration to other hardware may bring, where nothing else explains the probes, ns/s.
const OTHER_HARDWARE_RATE: f64 = 50_000.0;
/// A rate that goes on may do so with a change of this deviation, ns/s.
const KEPT_RATE: f64 = 30.0;
/// Probes that a start needs, and a reacquisition on one way alone.
const PROBES_TO_START: usize = 24;
const PROBES_ONE_WAY: usize = 10;
/// And the time that the latter need, s: congestion lasts, however many probes meet it.
const ONE_WAY_S: f64 = 5.0;
/// Round trips at the known floor that show both ways at theirs.
pub(super) const CLEAN: usize = 5;

impl PointFilter {
    /// The first probe.
    pub(super) fn start(&mut self, exchange: &Exchange) -> Seen {
        self.mode = Mode::Starting;
        self.origin_raw = exchange.returned.ns();
        self.origin_theta = exchange.returned.offset_to(exchange.replied).ns();
        let sample = self.sample(exchange);
        self.begin(&sample);
        Seen::Consistent
    }

    /// The floors that were found were none: begins anew at `sample`, and keeps the rate as a first guess.
    pub(super) fn restart(&mut self, sample: &Sample) {
        self.mode = Mode::Starting;
        self.routes = Routes::default();
        self.started = sample.at;
        let kept = self.state;
        self.state = State { at: sample.at, ..State::unknown() };
        self.state.mean[..THERE].copy_from_slice(&kept.mean[..THERE]);
        self.begin(sample);
    }

    /// theta has jumped before `exchange`.
    pub(super) fn reacquire(&mut self, exchange: &Exchange) {
        self.unnote_after(self.seconds(exchange.sent));
        let start_over = self.mode == Mode::Starting;
        self.mode = if start_over { Mode::Starting } else { Mode::Reacquiring };
        // Whatever the size of the jump, what follows is near the new theta.
        let lower = self.sample(exchange).lower;
        self.rebase(lower);
        let sample = self.sample(exchange);
        self.last = sample.at;
        self.begin(&sample);
    }

    fn begin(&mut self, sample: &Sample) {
        self.refloored = false;
        self.filled = 0;
        self.there.clear();
        self.back.clear();
        self.state.carry(sample.at, self.drift_walk);
        let upper = sample.upper + self.state.mean[RATE] * sample.gap - self.state.mean[THERE];
        let middle = (upper + sample.lower + self.state.mean[BACK]) / 2.0;
        self.line = [sample.at, middle, self.state.mean[RATE], self.state.mean[DRIFT]];
        self.push(sample);
        self.search(sample.at);
    }

    /// From the packets of the bin: theta went elsewhere, and no jump was seen.
    pub(super) fn resume(&mut self, at: f64) {
        self.mode = Mode::Reacquiring;
        self.refloored = false;
        self.there.clear();
        self.back.clear();
        self.line = [self.state.at, self.state.mean[THETA], self.state.mean[RATE], self.state.mean[DRIFT]];
        let offset = (self.bin_from - self.state.at) as f32;
        let (there, back) = (self.state.mean[THERE] as f32, self.state.mean[BACK] as f32);
        for packet in &mut self.packets[..self.filled] {
            *packet = Point { at: offset + packet.at, upper: packet.upper + there, lower: -packet.lower - back };
        }
        self.state.carry(at, self.drift_walk);
        self.search(at);
    }

    /// A probe while theta is being acquired.
    pub(super) fn acquire(&mut self, sample: &Sample) -> Seen {
        if self.mode == Mode::Reacquiring {
            let [there, back] = self.excesses(sample);
            let dt = sample.at - self.last;
            let deviation = self.spread[0].max(self.spread[1]).max(0.0).sqrt() + MOVED_RATE * dt;
            if let Some(seen) = self.jumps(sample.at, there, back, deviation) {
                return seen;
            }
        }
        self.push(sample);
        self.search(sample.at);
        Seen::Consistent
    }

    fn push(&mut self, sample: &Sample) {
        if self.filled == POINTS {
            self.halve();
        }
        let [from, theta, rate, drift] = self.line;
        let elapsed = sample.at - from;
        let here = theta + (rate + 0.5 * drift * elapsed) * elapsed;
        let upper = (sample.upper + rate * sample.gap - here) as f32;
        self.packets[self.filled] = Point { at: elapsed as f32, upper, lower: (sample.lower - here) as f32 };
        self.filled += 1;
    }

    /// Two points become one, which keeps what is tightest of each way.
    fn halve(&mut self) {
        for i in 0..POINTS / 2 {
            let (a, b) = (self.packets[2 * i], self.packets[2 * i + 1]);
            let (upper, lower) = (a.upper.min(b.upper), a.lower.max(b.lower));
            self.packets[i] = Point { at: (a.at + b.at) / 2.0, upper, lower };
        }
        self.filled = POINTS / 2;
    }

    /// Looks for theta in the points so far, and follows from there if it is found.
    fn search(&mut self, now: f64) {
        if self.mode == Mode::Starting {
            self.guess();
        }
        let mut points = self.packets;
        let points = &mut points[..self.filled];
        for point in &mut *points {
            point.upper -= self.state.mean[THERE] as f32;
            point.lower += self.state.mean[BACK] as f32;
        }
        let fix = match self.mode {
            Mode::Starting => fix(points, &self.density, &[Belief { deviation: ANY_RATE, ln_prior: 0.0 }]),
            _ => fix(points, &self.density, &self.beliefs()),
        };
        let [from, theta, rate, drift] = self.line;
        let elapsed = now - from;
        self.state.at = now;
        self.state.mean[THETA] = theta + (rate + 0.5 * drift * elapsed) * elapsed + fix.theta;
        self.state.mean[RATE] = rate + drift * elapsed + fix.rate;
        self.state.mean[DRIFT] = drift;
        let clean = self.clean(points);
        let elsewhere = self.mode == Mode::Reacquiring && self.is_below_floor(points);
        let found = !elsewhere && self.found(&fix, clean, now);
        if !found && self.mode == Mode::Reacquiring && points.len() >= 3 {
            self.refloor();
        }
        if found || self.mode == Mode::Starting && points.len() == POINTS {
            self.follow(&fix, clean);
        } else {
            // Until then the state says how far theta is known; its rate stays as uncertain as before.
            self.state.forget(1);
            self.state.cov[THETA][THETA] = fix.cov[0] + self.state.asymmetry_variance() / 4.0;
        }
        self.spread = self.state.spread();
    }

    /// What is believed of the rate after a jump: mostly it goes on, sometimes it is another.
    fn beliefs(&self) -> [Belief; 3] {
        let kept = self.state.cov[RATE][RATE].sqrt() + KEPT_RATE;
        [
            Belief { deviation: kept, ln_prior: 0.0 },
            Belief { deviation: MOVED_RATE, ln_prior: -1.5 },
            Belief { deviation: OTHER_HARDWARE_RATE, ln_prior: -9.0 },
        ]
    }

    /// How many round trips are at the known floor.
    fn clean(&self, points: &[Point]) -> usize {
        let near = 3.0 * self.density.above() + 4.0 * self.state.sum_variance().sqrt();
        points.iter().filter(|point| f64::from(point.upper - point.lower) < near).count()
    }

    /// Whether the posterior is narrow enough to follow, and stands on a floor.
    fn found(&self, fix: &Fix, clean: usize, now: f64) -> bool {
        let unit = 1.0 / self.density.information();
        let starting = self.mode == Mode::Starting;
        let least = if starting { PROBES_TO_START } else { PROBES_ONE_WAY };
        let both = !starting && clean >= CLEAN;
        let lasting = starting || now - self.line[0] - f64::from(self.packets[0].at) >= ONE_WAY_S;
        let one = self.filled >= least && lasting && fix.floor_seen(clean);
        // A rate of other hardware needs both ways: one alone follows any slope.
        let plausible = starting || clean >= CLEAN || fix.rate.abs() < MOVED_RATE / 3.0;
        let narrow = fix.cov[0] < 0.5 * unit && fix.cov[2] * BIN_TIME_S * BIN_TIME_S < unit;
        (both || one) && plausible && narrow
    }

    /// Takes the posterior over into the state and starts to follow.
    fn follow(&mut self, fix: &Fix, clean: usize) {
        let starting = self.mode == Mode::Starting;
        let one_way = if clean < 3 { MOVED_RATE * MOVED_RATE / 9.0 } else { 0.0 };
        self.state.forget(3);
        self.state.cov[THETA][THETA] = 1e18;
        self.state.cov[RATE][RATE] = fix.cov[2] + one_way;
        self.state.cov[DRIFT][DRIFT] = if starting { 25.0 } else { 1.0 };
        // Each way measures theta by its share, so that the covariance with the delays comes out right.
        let origin = self.state;
        let total = (fix.information[0] + fix.information[1]).max(1e-18);
        for (way, information) in Way::BOTH.into_iter().zip(fix.information) {
            let part = information / total;
            if part > 1e-3 {
                self.state.measure(&origin, way, 0.0, 0.0, fix.cov[0] / part);
            }
        }
        if starting {
            // What the delays are together is known to the spread of the packets; what they differ by is taken as zero.
            self.set_common_variance(0.25 / self.density.information());
        }
        self.unproven = match () {
            () if starting => None,
            () if self.refloored => Some(Unproven::Both),
            () if clean >= 3 => None,
            () if fix.information[0] > fix.information[1] => Some(Unproven::Alone(Way::There)),
            () => Some(Unproven::Alone(Way::Back)),
        };
        if let Some(Unproven::Alone(alone)) = self.unproven {
            let unseen_s = self.state.at - self.line[0];
            self.direction_mut(alone.other()).unseen_for(unseen_s);
        }
        self.mode = Mode::Tracking;
        self.locked = self.state.at;
        self.filled = 0;
        self.begin_run();
    }

    /// First guess of the delays and of the density, from the round trips.
    fn guess(&mut self) {
        let mut half = [0.0f32; POINTS];
        let half = &mut half[..self.filled];
        for (half, point) in half.iter_mut().zip(&self.packets) {
            *half = (point.upper - point.lower) / 2.0;
        }
        half.sort_unstable_by(f32::total_cmp);
        let (least, middle) = (f64::from(half[0]), f64::from(half[half.len() / 2]));
        let spread = if half.len() < 4 { least.abs() / 4.0 } else { middle - least };
        self.density = Density::of_spread(spread);
        let delay = least + 0.25 * spread;
        self.state.mean[THERE] = delay;
        self.state.mean[BACK] = delay;
        self.set_common_variance(spread * spread);
        self.state.cov[RATE][RATE] = ANY_RATE * ANY_RATE;
    }

    fn set_common_variance(&mut self, variance: f64) {
        for i in [THERE, BACK] {
            for j in [THERE, BACK] {
                self.state.cov[i][j] = variance;
            }
        }
    }
}
