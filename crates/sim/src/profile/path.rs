//! A network path over a run.

use crate::Random;

/// What a path is drawn from. Pairs are ranges; medians are of log-normals, whose sigmas are in their logarithms.
///
/// The delay of a packet is that of its route, plus the jitter of the stacks, plus queueing, plus now and then a
/// spike. Each direction has calm and congested times of its own.
#[derive(Clone, Debug)]
pub struct PathModel {
    /// Least round trip on the base route, s.
    pub round_trip_s: (f64, f64),
    /// Share of the round trip's half that one direction is longer by and the other shorter.
    pub asymmetry: (f64, f64),
    /// Shape of the gamma jitter of the stacks.
    pub jitter_shape: f64,
    /// Scale of the gamma jitter of the stacks, s.
    pub jitter_s: f64,
    /// What stamping in user space adds: least s, median s above it, sigma. `None` with stamps of the kernel.
    pub user_space: Option<(f64, f64, f64)>,
    /// Share of packets that queue in calm times.
    pub calm_share: f64,
    /// Shape of their gamma queueing.
    pub calm_shape: f64,
    /// Scale of their gamma queueing, s.
    pub calm_s: f64,
    /// Median queueing in congested times, s; each of these times draws a median of its own around it.
    pub congested_s: f64,
    /// Sigma of queueing in congested times.
    pub congested_sigma: f64,
    /// Share of packets that find the queue as in calm times although the path is congested.
    pub hole_share: f64,
    /// Mean length of calm times, s.
    pub calm_for_s: f64,
    /// Mean length of congested times, s.
    pub congested_for_s: f64,
    /// Share of packets that meet a spike.
    pub spike_share: f64,
    /// Least size of a spike, s: they are Pareto with shape 1.5 from there.
    pub spike_s: f64,
    /// Largest size of a spike, s.
    pub spike_cap_s: f64,
    /// Share of exchanges that are lost.
    pub loss: f64,
    /// Changes of the route, times an hour.
    pub route_changes_per_h: f64,
    /// Median of what another route is longer or shorter by, s.
    pub route_s: f64,
    /// Sigma of that.
    pub route_sigma: f64,
    /// Both directions change by the same amount.
    pub route_symmetric: bool,
    /// Lower bound of each one-way delay that is known, as a share of half the least round trip.
    pub known_floor: f64,
}

impl Default for PathModel {
    /// A local network with stamps of the kernel.
    fn default() -> Self {
        Self {
            round_trip_s: (100e-6, 600e-6),
            asymmetry: (0.0, 0.0),
            jitter_shape: 2.0,
            jitter_s: 1.5e-6,
            user_space: None,
            calm_share: 0.35,
            calm_shape: 0.8,
            calm_s: 12e-6,
            congested_s: 120e-6,
            congested_sigma: 0.8,
            hole_share: 0.05,
            calm_for_s: 240.0,
            congested_for_s: 20.0,
            spike_share: 0.005,
            spike_s: 200e-6,
            spike_cap_s: 20e-3,
            loss: 0.001,
            route_changes_per_h: 0.0,
            route_s: 0.0,
            route_sigma: 1.0,
            route_symmetric: true,
            known_floor: 0.0,
        }
    }
}

/// A direction of a path, as an index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the node to its reference.
    Forward = 0,
    /// From the reference to the node.
    Backward = 1,
}

/// A route that the path takes from some time on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Route {
    pub(super) from_s: f64,
    /// What it adds to the base delay of each direction, s.
    pub(super) longer_s: [f64; 2],
}

/// A congested time of one direction.
struct Congestion {
    from_s: f64,
    until_s: f64,
    median_s: f64,
}

/// One path.
pub(super) struct PathRun {
    model: PathModel,
    /// Least delay of each direction on the base route, s.
    pub(super) base_s: [f64; 2],
    /// Known lower bound of each one-way delay, s.
    pub(super) floor_s: f64,
    /// In order; the first is the base route.
    pub(super) routes: Vec<Route>,
    /// Of each direction, in order.
    congestion: [Vec<Congestion>; 2],
}

impl PathRun {
    /// Draws the path of a run of `duration_s`.
    pub(super) fn draw(model: &PathModel, duration_s: f64, random: &mut Random) -> Self {
        let half_s = random.between(model.round_trip_s.0, model.round_trip_s.1) / 2.0;
        let asymmetry = random.between(model.asymmetry.0, model.asymmetry.1) * random.sign();
        let base_s = [half_s * (1.0 + asymmetry), half_s * (1.0 - asymmetry)];
        let floor_s = model.known_floor * half_s;
        let congestion = [(); 2].map(|()| draw_congestion(model, duration_s, random));
        let routes = draw_routes(model, base_s.map(|base_s| 0.9 * (floor_s - base_s)), duration_s, random);
        Self { model: model.clone(), base_s, floor_s, routes, congestion }
    }

    /// Least delay of a direction at true time `at_s`, s.
    pub(super) fn least_s(&self, at_s: f64, direction: Direction) -> f64 {
        let taken = self.routes.partition_point(|route| route.from_s <= at_s);
        let longer_s = taken.checked_sub(1).map_or(0.0, |route| self.routes[route].longer_s[direction as usize]);
        self.base_s[direction as usize] + longer_s
    }

    /// Least delay forward and backward at true time `at_s`, s.
    pub(super) fn least_both_s(&self, at_s: f64) -> [f64; 2] {
        [Direction::Forward, Direction::Backward].map(|direction| self.least_s(at_s, direction))
    }

    /// Share of exchanges that are lost.
    pub(super) fn loss(&self) -> f64 {
        self.model.loss
    }

    /// Draws the delay of a packet that is sent at true time `at_s`, s.
    pub(super) fn delay_s(&self, at_s: f64, direction: Direction, random: &mut Random) -> f64 {
        let model = &self.model;
        let stamping_s =
            model.user_space.map_or(0.0, |(least_s, median_s, sigma)| least_s + random.lognormal(median_s, sigma));
        let jitter_s = random.gamma(model.jitter_shape, model.jitter_s);
        self.least_s(at_s, direction) + self.queueing_s(at_s, direction, random) + jitter_s + stamping_s
    }

    fn queueing_s(&self, at_s: f64, direction: Direction, random: &mut Random) -> f64 {
        let model = &self.model;
        let queue_s = match self.congestion_at(at_s, direction) {
            Some(congestion) if random.uniform() >= model.hole_share => {
                random.lognormal(congestion.median_s, model.congested_sigma)
            }
            _ if random.uniform() < model.calm_share => random.gamma(model.calm_shape, model.calm_s),
            _ => 0.0,
        };
        let spiked = random.uniform() < model.spike_share;
        queue_s + if spiked { random.pareto(1.5, model.spike_s).min(model.spike_cap_s) } else { 0.0 }
    }

    fn congestion_at(&self, at_s: f64, direction: Direction) -> Option<&Congestion> {
        let congestion = &self.congestion[direction as usize];
        let next = congestion.partition_point(|congestion| congestion.until_s <= at_s);
        congestion.get(next).filter(|congestion| congestion.from_s <= at_s)
    }
}

fn draw_congestion(model: &PathModel, duration_s: f64, random: &mut Random) -> Vec<Congestion> {
    let (mut at_s, mut congestion) = (0.0, Vec::new());
    while at_s < duration_s {
        let from_s = at_s + random.exponential(model.calm_for_s);
        let until_s = from_s + random.exponential(model.congested_for_s);
        congestion.push(Congestion { from_s, until_s, median_s: random.lognormal(model.congested_s, 0.5) });
        at_s = until_s;
    }
    congestion
}

fn draw_routes(model: &PathModel, shortest_s: [f64; 2], duration_s: f64, random: &mut Random) -> Vec<Route> {
    let changes = random.poisson(model.route_changes_per_h * duration_s / 3600.0);
    let mut times: Vec<f64> = (0..changes).map(|_| random.between(0.05 * duration_s, 0.97 * duration_s)).collect();
    times.sort_by(f64::total_cmp);
    let mut routes = vec![Route { from_s: 0.0, longer_s: [0.0; 2] }];
    let mut current_s = [0.0; 2];
    for from_s in times {
        let back = random.uniform() < 0.4 && current_s != [0.0; 2];
        let [forward, backward] = if back { [0.0; 2] } else { draw_detour(model, random) };
        current_s = [forward.max(shortest_s[0]), backward.max(shortest_s[1])];
        routes.push(Route { from_s, longer_s: current_s });
    }
    routes
}

/// What another route adds to each direction, s.
fn draw_detour(model: &PathModel, random: &mut Random) -> [f64; 2] {
    let longer_s = |random: &mut Random| random.lognormal(model.route_s, model.route_sigma) * random.sign();
    if model.route_symmetric {
        return [longer_s(random); 2];
    }
    match random.uniform() {
        which if which < 0.4 => [longer_s(random), 0.0],
        which if which < 0.8 => [0.0, longer_s(random)],
        _ => [longer_s(random), longer_s(random)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_S: f64 = 86_400.0;

    fn local() -> PathRun {
        PathRun::draw(&PathModel::default(), 10.0 * DAY_S, &mut Random::seeded(1))
    }

    #[test]
    fn one_thirteenth_of_the_time_is_congested_and_delays_are_longer_then() {
        let (path, mut random) = (local(), Random::seeded(2));
        let mut delays_s = [Vec::new(), Vec::new()];
        for tick in 0..200_000 {
            let at_s = f64::from(tick) * 10.0 * DAY_S / 200_000.0;
            let congested = path.congestion_at(at_s, Direction::Forward).is_some();
            delays_s[usize::from(congested)].push(path.delay_s(at_s, Direction::Forward, &mut random));
        }
        let share = delays_s[1].len() as f64 / 200_000.0;
        assert!((share * 13.0 - 1.0).abs() < 0.1, "{share}");
        let [calm_s, congested_s] = delays_s.map(|mut delays_s| {
            delays_s.sort_by(f64::total_cmp);
            delays_s[delays_s.len() / 2] - path.base_s[0]
        });
        assert!(calm_s < 5e-6 && congested_s > 80e-6, "{calm_s} {congested_s}");
    }

    #[test]
    fn the_shortest_delays_are_the_routes() {
        let (path, mut random) = (local(), Random::seeded(3));
        for direction in [Direction::Forward, Direction::Backward] {
            let delays_s = (0..10_000).map(|second| path.delay_s(f64::from(second), direction, &mut random));
            let queueing_s = delays_s.fold(f64::INFINITY, f64::min) - path.base_s[direction as usize];
            assert!((0.0..0.2e-6).contains(&queueing_s), "{queueing_s}");
        }
    }

    #[test]
    fn routes_change_at_their_times_and_never_go_below_the_known_floor() {
        let model = PathModel {
            route_changes_per_h: 2.0,
            route_s: 100e-6,
            known_floor: 0.6,
            asymmetry: (0.1, 0.2),
            ..PathModel::default()
        };
        for (route_symmetric, seed) in [(true, 1), (false, 2)] {
            let model = PathModel { route_symmetric, ..model.clone() };
            let path = PathRun::draw(&model, DAY_S, &mut Random::seeded(seed));
            assert!(path.routes.len() > 20);
            for pair in path.routes.windows(2) {
                let [before, after] = [pair[1].from_s - 1e-3, pair[1].from_s].map(|at_s| path.least_both_s(at_s));
                let longer = |route: &Route| [0, 1].map(|k| path.base_s[k] + route.longer_s[k]);
                assert_eq!((before, after), (longer(&pair[0]), longer(&pair[1])));
                assert!(after.iter().all(|least_s| *least_s >= path.floor_s), "{after:?} below {}", path.floor_s);
            }
            let alike = path.routes.iter().filter(|route| route.longer_s[0] == route.longer_s[1]).count();
            assert_eq!(alike > path.routes.len() / 2, route_symmetric);
        }
    }
}
