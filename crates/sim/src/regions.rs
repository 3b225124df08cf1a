//! Regions on a map: their references, the links between them and what they claim of UTC, with the truth beside it.
//!
//! What the clock model of each link hands over, and not the packets: an estimate with a constant part that no exchange can
//! show, the asymmetry of the path, and the hard bound around it.

use crate::Random;

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RegionSettings {
    /// Regions.
    pub regions: usize,
    /// Half width of what a region claims of UTC, between these, log-uniform, ns.
    pub claimed_ns: (f64, f64),
    /// The constant part of a claim's error is uniform up to this part of its half width.
    pub constant_share: f64,
    /// The part that wanders has this standard deviation, as a part of the half width, and is another after
    /// `wandering_s`.
    pub wandering_share: f64,
    /// See `wandering_share`, s.
    pub wandering_s: f64,
    /// One region's claim is off by this much, between these, ns, to either side.
    pub lie_ns: Option<(f64, f64)>,
}

impl RegionSettings {
    /// Six regions whose claims are good to 0.2 to 0.6 ms, as clouds offer them; up to a tenth of a half width stays.
    pub const fn cloud() -> Self {
        Self {
            regions: 6,
            claimed_ns: (200e3, 600e3),
            constant_share: 0.1,
            wandering_share: 0.12,
            wandering_s: 900.0,
            lie_ns: None,
        }
    }

    /// The same with errors that never change: nothing can be learned from more than one moment.
    pub const fn cloud_at_a_standstill() -> Self {
        Self { constant_share: 0.35, wandering_share: 0.0, ..Self::cloud() }
    }
}

/// Round trips between regions, ns: at no distance, and across the map.
const ROUND_TRIPS_NS: (f64, f64) = (20e6, 250e6);
/// Spread of asymmetries, as a part of half the round trip, and the most.
const ASYMMETRY: (f64, f64) = (0.06, 0.38);
/// Known part of a round trip: light in glass.
const FLOOR_SHARE: f64 = 0.6;
/// What is left of the noise of exchanges in a link's estimate, ns.
const LINK_NOISE_NS: f64 = 30e3;
/// Oscillators of references are off by up to this, ns/s.
const RATE_NS: f64 = 20e3;

/// A link's estimate at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinkReading {
    /// Regions.
    pub from: usize,
    /// Likewise.
    pub to: usize,
    /// REF of `to` - REF of `from`, estimated, ns.
    pub point_ns: f64,
    /// Half width of the hard bound around it, ns.
    pub hard_ns: f64,
    /// Round trip, ns.
    pub round_trip_ns: f64,
}

/// A region's claim at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClaimReading {
    /// REF - UTC, claimed, ns.
    pub point_ns: f64,
    /// Half width of it, ns.
    pub bound_ns: f64,
}

/// All regions, at one moment after another.
pub struct Regions {
    random: Random,
    settings: RegionSettings,
    regions: Vec<Region>,
    links: Vec<Link>,
    liar: Option<usize>,
    at_s: f64,
}

#[derive(Debug)]
struct Region {
    /// REF - UTC at the start, ns, and what it gains, ns/s.
    off_ns: f64,
    rate_ns: f64,
    bound_ns: f64,
    constant_ns: f64,
    /// In standard deviations.
    wandering: f64,
}

#[derive(Debug)]
struct Link {
    from: usize,
    to: usize,
    round_trip_ns: f64,
    asymmetry_ns: f64,
}

impl Regions {
    /// Drawn by `seed`.
    pub fn draw(settings: RegionSettings, seed: u64) -> Self {
        let mut random = Random::seeded(seed);
        let regions: Vec<Region> = (0..settings.regions).map(|_| Region::draw(&settings, &mut random)).collect();
        let places: Vec<[f64; 2]> = regions.iter().map(|_| [random.uniform(), random.uniform()]).collect();
        let links = (0..settings.regions)
            .flat_map(|from| (from + 1..settings.regions).map(move |to| (from, to)))
            .map(|(from, to)| Link::draw(from, to, &places, &mut random))
            .collect();
        let mut drawn = Self { random, settings, regions, links, liar: None, at_s: 0.0 };
        if let Some((low, high)) = settings.lie_ns {
            let liar = (drawn.random.uniform() * settings.regions as f64) as usize;
            drawn.regions[liar].constant_ns += drawn.random.sign() * drawn.random.between(low, high);
            drawn.liar = Some(liar);
        }
        drawn
    }

    /// Whose claim is false.
    pub fn liar(&self) -> Option<usize> {
        self.liar
    }

    /// REF of `to` - REF of `from` in truth, ns.
    pub fn apart_ns(&self, from: usize, to: usize) -> f64 {
        self.reference_ns(to) - self.reference_ns(from)
    }

    /// Lets `seconds` pass.
    pub fn pass(&mut self, seconds: f64) {
        self.at_s += seconds;
        let stays = (-seconds / self.settings.wandering_s).exp();
        for region in &mut self.regions {
            region.wandering = region.wandering * stays + self.random.normal((1.0 - stays * stays).sqrt());
        }
    }

    /// What each link says now.
    pub fn links(&mut self) -> Vec<LinkReading> {
        let references: Vec<f64> = (0..self.regions.len()).map(|region| self.reference_ns(region)).collect();
        let Self { links, random, .. } = self;
        links
            .iter()
            .map(|&Link { from, to, round_trip_ns, asymmetry_ns }| LinkReading {
                from,
                to,
                point_ns: references[to] - references[from] + asymmetry_ns + random.normal(LINK_NOISE_NS),
                // The noise must not carry the estimate out of the bound.
                hard_ns: (1.0 - FLOOR_SHARE) * round_trip_ns / 2.0 + 5.0 * LINK_NOISE_NS,
                round_trip_ns,
            })
            .collect()
    }

    /// What each region claims now.
    pub fn claims(&self) -> Vec<ClaimReading> {
        let claim = |(number, region): (usize, &Region)| {
            let wandering = region.wandering * self.settings.wandering_share * region.bound_ns;
            let lie = if self.liar == Some(number) { f64::INFINITY } else { region.bound_ns };
            let error = (region.constant_ns + wandering).clamp(-lie, lie);
            ClaimReading { point_ns: self.reference_ns(number) + error, bound_ns: region.bound_ns }
        };
        self.regions.iter().enumerate().map(claim).collect()
    }

    fn reference_ns(&self, region: usize) -> f64 {
        let Region { off_ns, rate_ns, .. } = self.regions[region];
        off_ns + rate_ns * self.at_s
    }
}

impl Region {
    fn draw(settings: &RegionSettings, random: &mut Random) -> Self {
        let (low, high) = settings.claimed_ns;
        let bound_ns = random.log_between(low, high);
        Self {
            off_ns: random.normal(50e6),
            rate_ns: random.between(-RATE_NS, RATE_NS),
            bound_ns,
            constant_ns: random.between(-1.0, 1.0) * settings.constant_share * bound_ns,
            wandering: random.normal(1.0),
        }
    }
}

impl Link {
    fn draw(from: usize, to: usize, places: &[[f64; 2]], random: &mut Random) -> Self {
        let [x, y] = [0, 1].map(|axis| places[from][axis] - places[to][axis]);
        let (nearest, farthest) = ROUND_TRIPS_NS;
        let round_trip_ns = nearest + (x.hypot(y) / 1.2).min(1.0) * (farthest - nearest);
        // Student's t with three degrees of freedom: a few paths are far more asymmetric than most.
        let chi = (0..3).map(|_| random.normal(1.0).powi(2)).sum::<f64>() / 3.0;
        let (spread, most) = ASYMMETRY;
        let share = (random.normal(1.0) / chi.sqrt() * spread / 1.7).clamp(-most, most);
        Self { from, to, round_trip_ns, asymmetry_ns: share * round_trip_ns / 2.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_the_lie_is_true() {
        for seed in 0..200 {
            let settings = RegionSettings { lie_ns: Some((20e6, 80e6)), ..RegionSettings::cloud() };
            let mut regions = Regions::draw(settings, seed);
            let liar = regions.liar().unwrap();
            regions.pass(3_600.0);
            for link in regions.links() {
                assert!((link.point_ns - regions.apart_ns(link.from, link.to)).abs() <= link.hard_ns, "{link:?}");
            }
            for (region, claim) in regions.claims().iter().enumerate() {
                let off = (claim.point_ns - regions.reference_ns(region)).abs();
                assert_eq!(off <= claim.bound_ns, region != liar, "seed {seed}, region {region}: off by {off}");
            }
        }
    }

    #[test]
    fn claims_wander_and_links_do_not() {
        let mut regions = Regions::draw(RegionSettings::cloud(), 1);
        let off = |regions: &mut Regions| {
            let (link, claims) = (regions.links()[0], regions.claims());
            let apart = regions.apart_ns(0, 1);
            (link.point_ns - apart, claims[1].point_ns - claims[0].point_ns - apart)
        };
        let before = off(&mut regions);
        regions.pass(7_200.0);
        let after = off(&mut regions);
        assert!((before.0 - after.0).abs() < 8.0 * LINK_NOISE_NS, "{before:?} {after:?}");
        assert!((before.1 - after.1).abs() > 1e3, "{before:?} {after:?}");
    }
}
