//! Named conditions.

use std::str::FromStr;

use thiserror::Error;

use super::clock::ClockSettings;
use super::path::PathModel;

/// A kind of network, and how often it is probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Local, stamps of the kernel, a probe a second for two hours.
    Lan,
    /// Local, stamps of user space, a probe a second for two hours.
    LanUser,
    /// Local, stamps of the kernel, ten probes a second for an hour.
    Lan10,
    /// Between regions, a probe a second for two hours.
    Wan,
    /// Between regions, ten probes a second for an hour.
    Wan10,
}

impl Network {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Lan, Self::LanUser, Self::Lan10, Self::Wan, Self::Wan10];

    /// Its name: `lan`, `lan-user`, `lan10`, `wan` or `wan10`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::LanUser => "lan-user",
            Self::Lan10 => "lan10",
            Self::Wan => "wan",
            Self::Wan10 => "wan10",
        }
    }

    fn is_wide(self) -> bool {
        matches!(self, Self::Wan | Self::Wan10)
    }

    fn path(self, asymmetric: bool) -> PathModel {
        let local = PathModel::default();
        match self {
            Self::Lan | Self::Lan10 => local,
            Self::LanUser => {
                PathModel { user_space: Some((20e-6, 35e-6, 0.5)), spike_share: 0.02, spike_s: 1e-3, ..local }
            }
            Self::Wan | Self::Wan10 => PathModel {
                round_trip_s: (70e-3, 250e-3),
                jitter_s: 10e-6,
                calm_share: 0.6,
                calm_s: 150e-6,
                congested_s: 3e-3,
                hole_share: 0.01,
                calm_for_s: 400.0,
                congested_for_s: 60.0,
                spike_share: 0.01,
                spike_s: 5e-3,
                spike_cap_s: 1.0,
                loss: 0.005,
                route_changes_per_h: 2.0,
                route_s: 1.5e-3,
                route_symmetric: !asymmetric,
                known_floor: 0.6,
                ..local
            },
        }
    }
}

/// A text does not name a network.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("network {0:?}: use lan, lan-user, lan10, wan or wan10")]
pub struct UnknownNetwork(String);

impl FromStr for Network {
    type Err = UnknownNetwork;
    fn from_str(text: &str) -> Result<Self, UnknownNetwork> {
        let named = Self::ALL.into_iter().find(|network| network.name() == text);
        named.ok_or_else(|| UnknownNetwork(text.to_owned()))
    }
}

/// What a run is drawn from.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The node's clocks.
    pub clock: ClockSettings,
    /// Its path to the reference.
    pub path: PathModel,
    /// Time between two probes, s.
    pub probe_interval_s: f64,
    /// Length of the run, s.
    pub duration_s: f64,
    /// Probes in addition after each disruption of RAW.
    pub burst: Option<Burst>,
    /// Events to stamp; those that a pause would hold are left out.
    pub events: usize,
}

/// Probes in addition to the regular ones, right after each disruption of RAW: the first one interval after the guest
/// resumes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// How many.
    pub probes: u32,
    /// Time between two of them, s.
    pub interval_s: f64,
}

impl Profile {
    /// A network with symmetric or asymmetric routes, with undisturbed clocks or under stress: pauses, migrations,
    /// wall steps, a time source that goes wrong, a room that heats and cools, and changes of the route.
    pub fn new(network: Network, asymmetric: bool, stress: bool) -> Self {
        let mut path = network.path(asymmetric);
        if asymmetric {
            path.asymmetry = if network.is_wide() { (0.02, 0.15) } else { (0.05, 0.30) };
        }
        let mut clock = ClockSettings::default();
        if stress {
            disturb(&mut clock);
            if !network.is_wide() {
                path = PathModel { route_changes_per_h: 1.0, route_s: 30e-6, route_symmetric: !asymmetric, ..path };
            }
        }
        let (probe_interval_s, duration_s) = match network {
            Network::Lan10 | Network::Wan10 => (0.1, 3_600.0),
            Network::Lan | Network::LanUser | Network::Wan => (1.0, 7_200.0),
        };
        Self { clock, path, probe_interval_s, duration_s, burst: None, events: 20_000 }
    }
}

fn disturb(clock: &mut ClockSettings) {
    clock.discipline.wall_steps_per_h = 2.0;
    clock.discipline.wrong_sources_per_h = 1.0;
    clock.oscillator.pauses_per_h = 1.0;
    clock.oscillator.migrations_per_h = 0.5;
    clock.oscillator.temperature_ppm = 1.0;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_found_by_its_name() {
        for network in Network::ALL {
            assert_eq!(network.name().parse(), Ok(network));
        }
        assert!("lan 10".parse::<Network>().is_err());
    }
}
