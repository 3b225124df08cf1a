//! The network path between a node and its reference.

use crate::Random;

/// Delays of one direction are a floor plus exponential queueing; a share of packets meets congestion.
#[derive(Clone, Copy, Debug)]
pub struct PathSettings {
    /// Least delay from node to reference.
    pub forward_floor_ns: f64,
    /// Least delay from reference to node.
    pub backward_floor_ns: f64,
    /// Mean queueing on top.
    pub queueing_ns: f64,
    /// Share of packets that meet congestion.
    pub congested_share: f64,
    /// Mean queueing of those.
    pub congestion_ns: f64,
    /// Share of exchanges that are lost.
    pub loss: f64,
}

impl PathSettings {
    /// A local network with user-space stamps.
    pub fn lan() -> Self {
        Self {
            forward_floor_ns: 60_000.0,
            backward_floor_ns: 60_000.0,
            queueing_ns: 15_000.0,
            congested_share: 0.05,
            congestion_ns: 500_000.0,
            loss: 0.001,
        }
    }

    /// A path between regions.
    pub fn wan() -> Self {
        Self {
            forward_floor_ns: 20_000_000.0,
            backward_floor_ns: 20_000_000.0,
            queueing_ns: 200_000.0,
            congested_share: 0.1,
            congestion_ns: 5_000_000.0,
            loss: 0.01,
        }
    }
}

/// A path that draws delays.
pub struct Path {
    settings: PathSettings,
    random: Random,
}

impl Path {
    /// The path that `seed` names.
    pub fn new(settings: PathSettings, seed: u64) -> Self {
        Self { settings, random: Random::seeded(seed) }
    }

    /// Changes the route from now on.
    pub fn reroute(&mut self, settings: PathSettings) {
        self.settings = settings;
    }

    /// Delays of one exchange, there and back, ns; `None` where it is lost.
    pub fn exchange_ns(&mut self) -> Option<(i64, i64)> {
        let forward = self.settings.forward_floor_ns + self.queueing_ns();
        let backward = self.settings.backward_floor_ns + self.queueing_ns();
        let lost = self.random.uniform() < self.settings.loss;
        (!lost).then_some((forward as i64, backward as i64))
    }

    fn queueing_ns(&mut self) -> f64 {
        let congested = self.random.uniform() < self.settings.congested_share;
        let mean = if congested { self.settings.congestion_ns } else { self.settings.queueing_ns };
        self.random.exponential(mean)
    }
}
