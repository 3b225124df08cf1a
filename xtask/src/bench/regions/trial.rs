//! One draw of regions, fused.

use anyhow::{Context, Result};
use syncline_clock::fusion::{Calibration, Constraint, Fused, Interval, Kind, fuse};
use syncline_sim::regions::{ClaimReading, LinkReading, RegionSettings, Regions};
use syncline_timebase::Span;

/// Claims and links are compared so often, s.
const EVERY_S: f64 = 60.0;

/// What came of a draw.
pub(super) struct Trial {
    pub(super) pairs: Vec<Pair>,
    pub(super) lies: bool,
    /// Whether the claim that was named was the false one; none was named where there is nothing.
    pub(super) named_right: Option<bool>,
}

/// Two regions: errors and half widths of what is known of them, ns.
pub(super) struct Pair {
    pub(super) direct_ns: f64,
    pub(super) claims_ns: f64,
    pub(super) fused_ns: f64,
    pub(super) direct_half_ns: f64,
    pub(super) claims_half_ns: f64,
    pub(super) fused_half_ns: f64,
    /// The truth is inside the fused bound.
    pub(super) is_inside: bool,
}

/// Draws regions, lets their claims teach the links for so long, and fuses what is said then.
///
/// # Errors
/// It cannot be fused, which would be a fault of ours.
pub(super) fn trial(settings: RegionSettings, seed: u64, learned_s: f64) -> Result<Trial> {
    let mut regions = Regions::draw(settings, seed);
    let mut calibrations = vec![Calibration::default(); regions.links().len()];
    for step in 0..(learned_s / EVERY_S) as u32 {
        regions.pass(EVERY_S);
        let moment = Moment::of(&mut regions, &calibrations)?;
        let is_false = moment.false_claims();
        for (calibration, link) in calibrations.iter_mut().zip(&moment.links) {
            if is_false.contains(&link.from) || is_false.contains(&link.to) {
                continue;
            }
            let [from, to] = [moment.claims[link.from], moment.claims[link.to]];
            let off = Span::from_ns((link.point_ns - (to.point_ns - from.point_ns)) as i64);
            calibration.observe(f64::from(step) * EVERY_S, off, deviation(&from).hypot(deviation(&to)));
        }
    }
    Moment::of(&mut regions, &calibrations)?.scored(&regions)
}

/// What is said at one moment, and what is made of it.
struct Moment {
    links: Vec<LinkReading>,
    claims: Vec<ClaimReading>,
    fused: Fused,
}

/// A claim is off by its half width at most, and by a third of that as a rule.
fn deviation(claim: &ClaimReading) -> f64 {
    claim.bound_ns / 3.0
}

impl Moment {
    fn of(regions: &mut Regions, calibrations: &[Calibration]) -> Result<Self> {
        let (links, claims) = (regions.links(), regions.claims());
        let utc = claims.len();
        let mut constraints: Vec<Constraint> =
            claims.iter().enumerate().map(|(region, claim)| of_claim(utc, region, claim)).collect();
        constraints.extend(links.iter().zip(calibrations).map(|(link, calibration)| {
            let [from, to] = [link.from, link.to].map(|region| deviation(&claims[region]));
            calibration.applied(of_link(link), from.hypot(to))
        }));
        let fused = fuse(utc + 1, &constraints)?;
        Ok(Self { links, claims, fused })
    }

    /// Regions whose claim is taken for false. Claims are the first constraints.
    fn false_claims(&self) -> Vec<usize> {
        let places = self.fused.falsehoods.iter().map(|falsehood| falsehood.place);
        places.filter(|place| *place < self.claims.len()).collect()
    }

    fn scored(&self, regions: &Regions) -> Result<Trial> {
        let pairs = self.links.iter().map(|link| self.pair(link, regions.apart_ns(link.from, link.to)));
        let pairs = pairs.collect::<Option<_>>().context("regions that nothing links")?;
        let named: Vec<usize> = self.fused.falsehoods.iter().map(|falsehood| falsehood.place).collect();
        let named_right = (!named.is_empty()).then(|| regions.liar().is_some_and(|liar| named == [liar]));
        Ok(Trial { pairs, lies: regions.liar().is_some(), named_right })
    }

    fn pair(&self, link: &LinkReading, truth: f64) -> Option<Pair> {
        let [from, to] = [self.claims[link.from], self.claims[link.to]];
        let bounds = self.fused.bounds(link.from, link.to)?;
        let point = self.fused.point(link.from, link.to)?;
        let [low, high] = [bounds.low, bounds.high].map(|end| end.ns() as f64);
        Some(Pair {
            direct_ns: (link.point_ns - truth).abs(),
            claims_ns: (to.point_ns - from.point_ns - truth).abs(),
            fused_ns: (point.ns() as f64 - truth).abs(),
            direct_half_ns: link.hard_ns,
            claims_half_ns: from.bound_ns + to.bound_ns,
            fused_half_ns: (high - low) / 2.0,
            is_inside: (low..=high).contains(&truth),
        })
    }
}

fn of_claim(utc: usize, region: usize, claim: &ClaimReading) -> Constraint {
    let deviation_ns = deviation(claim);
    Constraint { from: utc, to: region, kind: Kind::Claim, ..around(claim.point_ns, claim.bound_ns, deviation_ns) }
}

fn of_link(link: &LinkReading) -> Constraint {
    // How asymmetric paths are as a rule.
    let deviation_ns = 0.06 * link.round_trip_ns / 2.0;
    Constraint { from: link.from, to: link.to, ..around(link.point_ns, link.hard_ns, deviation_ns) }
}

fn around(point_ns: f64, half_ns: f64, deviation_ns: f64) -> Constraint {
    let hard = Interval {
        low: Span::from_ns((point_ns - half_ns).floor() as i64),
        high: Span::from_ns((point_ns + half_ns).ceil() as i64),
    };
    Constraint { from: 0, to: 0, kind: Kind::Link, hard, point: Span::from_ns(point_ns as i64), deviation_ns }
}
