//! What links and claims of regions say together at one moment: a pure function of what they said.

use std::collections::{BTreeSet, HashMap};

use syncline_clock::fusion::{Calibration, Constraint, Falsehood, Fused, FusionError, Interval, Kind, fuse};
use syncline_store::rows::PairVerdict;
use syncline_store::{RegionClaim, RegionLink};
use syncline_timebase::{FrequencyError, Span};

/// The name that UTC has among the regions, and none of them can have.
pub(super) const UTC: &str = "(utc)";
/// Half of a bound is asymmetry at most; as a rule it is such a part of it.
const ASYMMETRY_SHARE: f64 = 0.06;
/// What a link's estimate is off by besides, ns.
const LINK_NOISE_NS: f64 = 1_000.0;
/// A claim is off by its half width at most, and by such a part of it as a rule.
const CLAIM_SHARE: f64 = 1.0 / 3.0;

/// What is known of all regions at one moment.
#[derive(Debug)]
pub(super) struct Moment {
    /// Every two that anything leads between, and each and UTC.
    pub(super) pairs: Vec<Pair>,
}

/// A reference: a region, and the run of the reference that one of its aggregators has. UTC's run is 0.
pub(super) type Clock = (String, u64);

/// Two regions, or a region and UTC.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) region: Clock,
    pub(super) peer: Clock,
    /// `peer` - `region`.
    pub(super) off: Span,
    pub(super) bounds: Interval,
    /// What the two say of each other by themselves.
    pub(super) direct: Option<Direct>,
}

/// One link or claim.
#[derive(Clone, Copy, Debug)]
pub(super) struct Direct {
    pub(super) bounds: Interval,
    pub(super) left_out: Option<Falsehood>,
}

/// What links are off by, learned from claims; by the two regions and the runs of their references.
pub(super) type Learned = HashMap<(Clock, Clock), Calibration>;

impl Pair {
    pub(super) fn verdict(&self) -> PairVerdict {
        match self.direct {
            None => PairVerdict::Unknown,
            Some(Direct { left_out: None, .. }) => PairVerdict::Consistent,
            Some(Direct { left_out: Some(left), .. }) if left.is_proved => PairVerdict::False,
            Some(_) => PairVerdict::Doubted,
        }
    }
}

impl Moment {
    /// At `at` on the REF of `root` (its name and the run of its reference), from the newest of what each said. A reference is an oscillator
    /// that nobody steers: it leaves UTC at `tolerance` at most.
    pub(super) fn of(
        root: (&str, u64),
        at: i64,
        links: &[RegionLink],
        claims: &[RegionClaim],
        tolerance: FrequencyError,
        learned: &mut Learned,
    ) -> Result<Self, FusionError> {
        let clocks = Clocks::of(root, at, links, claims, tolerance);
        let mut constraints: Vec<Constraint> = clocks.claims.iter().map(|claim| clocks.of_claim(claim)).collect();
        let measured: Vec<Constraint> = clocks.links.iter().map(|link| clocks.of_link(link)).collect();
        constraints.extend(clocks.links.iter().zip(&measured).map(|(link, constraint)| {
            let calibration = learned.get(&key(link)).copied().unwrap_or_default();
            clocks.deviation(link).map_or(*constraint, |deviation_ns| calibration.applied(*constraint, deviation_ns))
        }));
        let fused = fuse(clocks.names.len() + 1, &constraints)?;
        clocks.learn(&measured, &constraints, &fused, learned);
        Ok(Self { pairs: clocks.pairs(&constraints, &fused) })
    }
}

/// The references by number, with UTC as the last, and what was said of them.
struct Clocks<'a> {
    names: Vec<(&'a str, u64)>,
    links: Vec<&'a RegionLink>,
    claims: &'a [RegionClaim],
    /// The moment on each reference, about.
    at: Vec<i64>,
    root_at: i64,
    /// How fast a reference may leave UTC.
    tolerance: FrequencyError,
}

impl<'a> Clocks<'a> {
    fn of(
        root: (&'a str, u64),
        at: i64,
        links: &'a [RegionLink],
        claims: &'a [RegionClaim],
        tolerance: FrequencyError,
    ) -> Self {
        let is_one = |link: &&RegionLink| from(link) != to(link) && link.low <= link.high;
        let links: Vec<&RegionLink> = links.iter().filter(is_one).collect();
        let names = links.iter().flat_map(|link| [from(link), to(link)]);
        let names = names.chain(claims.iter().map(claimant)).chain([root]);
        let names: Vec<(&str, u64)> = names.collect::<BTreeSet<_>>().into_iter().collect();
        let at_of = |off: Option<i64>| at.saturating_add(off.unwrap_or_default());
        let about = about(&names, root, &links).into_iter().map(at_of).collect();
        Self { at: about, names, links, claims, root_at: at, tolerance }
    }

    fn number(&self, clock: (&str, u64)) -> usize {
        number(&self.names, clock)
    }

    fn utc(&self) -> usize {
        self.names.len()
    }

    /// By how much a reference may have left UTC in so long, ns.
    fn left_utc_ns(&self, away_ns: i64) -> i64 {
        self.tolerance.gained_over(Span::from_ns(away_ns).abs()).ns().saturating_add(1)
    }

    /// A claim, carried to the moment.
    fn of_claim(&self, claim: &RegionClaim) -> Constraint {
        let from = self.number(claimant(claim));
        let away_ns = self.at[from].saturating_sub(claim.ref_at);
        let half_ns = i64::try_from(claim.bound_ns).unwrap_or(i64::MAX).saturating_add(self.left_utc_ns(away_ns));
        Constraint {
            from,
            to: self.utc(),
            kind: Kind::Claim,
            hard: around(claim.utc_off, half_ns),
            point: Span::from_ns(claim.utc_off),
            deviation_ns: claim_deviation(claim).max(1.0),
        }
    }

    /// A link, carried to the moment.
    fn of_link(&self, link: &RegionLink) -> Constraint {
        let from = self.number(from(link));
        let away_ns = self.at[from].saturating_sub(link.ref_at);
        let gained_ns = gained(away_ns, link.rate_ppb);
        let growth_ppb = i64::try_from(link.err_rate_ppb).unwrap_or(i64::MAX);
        let grown_ns = grown(away_ns, growth_ppb);
        let low = link.low.saturating_add(gained_ns).saturating_sub(grown_ns);
        let high = link.high.saturating_add(gained_ns).saturating_add(grown_ns);
        let half_ns = high.saturating_sub(low) as f64 / 2.0;
        Constraint {
            from,
            to: self.number(to(link)),
            kind: Kind::Link,
            hard: Interval { low: Span::from_ns(low), high: Span::from_ns(high) },
            point: Span::from_ns(link.off.saturating_add(gained_ns)),
            deviation_ns: LINK_NOISE_NS + ASYMMETRY_SHARE * half_ns,
        }
    }

    /// By how much the claims of both ends of a link deviate together, ns; `None` where one claims nothing.
    fn deviation(&self, link: &RegionLink) -> Option<f64> {
        let of = |clock| self.claims.iter().find(|claim| claimant(claim) == clock).map(claim_deviation);
        Some(of(from(link))?.hypot(of(to(link))?).max(1.0))
    }

    /// What the claims of both ends of each link say of it.
    fn learn(&self, measured: &[Constraint], constraints: &[Constraint], fused: &Fused, learned: &mut Learned) {
        let is_true = |place: usize| !fused.falsehoods.iter().any(|falsehood| falsehood.place == place);
        let utc_minus = |clock: usize| {
            let claims = constraints.iter().enumerate().take(self.claims.len());
            claims
                .filter(|(place, _)| is_true(*place))
                .find(|(_, claim)| claim.from == clock)
                .map(|(_, claim)| claim.point)
        };
        for (link, constraint) in self.links.iter().zip(measured) {
            let both = utc_minus(constraint.from).zip(utc_minus(constraint.to));
            if let Some(((from, to), deviation_ns)) = both.zip(self.deviation(link)) {
                let off = constraint.point - (from - to);
                learned.entry(key(link)).or_default().observe(self.root_at as f64 * 1e-9, off, deviation_ns);
            }
        }
        learned.retain(|known, _| self.links.iter().any(|link| key(link) == *known));
    }

    fn pairs(&self, constraints: &[Constraint], fused: &Fused) -> Vec<Pair> {
        let clocks = self.names.len() + 1;
        let name = |clock: usize| self.names.get(clock).map_or((UTC.to_owned(), 0), |clock| owned(*clock));
        let two = (0..clocks).flat_map(|from| (from + 1..clocks).map(move |to| (from, to)));
        two.filter_map(|(from, to)| {
            let (bounds, off) = (fused.bounds(from, to)?, fused.point(from, to)?);
            Some(Pair { region: name(from), peer: name(to), off, bounds, direct: direct(from, to, constraints, fused) })
        })
        .collect()
    }
}

/// What the two say of each other: the one that was left out, or else the tightest.
fn direct(from: usize, to: usize, constraints: &[Constraint], fused: &Fused) -> Option<Direct> {
    let between = constraints.iter().enumerate().filter_map(|(place, constraint)| {
        let bounds = match (constraint.from, constraint.to) {
            ends if ends == (from, to) => constraint.hard,
            ends if ends == (to, from) => Interval { low: -constraint.hard.high, high: -constraint.hard.low },
            _ => return None,
        };
        let left_out = fused.falsehoods.iter().find(|falsehood| falsehood.place == place).copied();
        Some(Direct { bounds, left_out })
    });
    between.min_by_key(|direct| (direct.left_out.is_none(), direct.bounds.high - direct.bounds.low))
}

/// Each reference - that of the root, about: along the links that lead there.
fn about(names: &[(&str, u64)], root: (&str, u64), links: &[&RegionLink]) -> Vec<Option<i64>> {
    let mut known: Vec<Option<i64>> = names.iter().map(|name| (*name == root).then_some(0)).collect();
    for _ in names {
        for link in links {
            let (from, to) = (number(names, from(link)), number(names, to(link)));
            match (known[from], known[to]) {
                (Some(off), None) => known[to] = Some(off.saturating_add(link.off)),
                (None, Some(off)) => known[from] = Some(off.saturating_sub(link.off)),
                _ => {}
            }
        }
    }
    known
}

/// All that is named is among `names`, which are in order.
fn number(names: &[(&str, u64)], clock: (&str, u64)) -> usize {
    names.binary_search(&clock).unwrap_or_default()
}

fn from(link: &RegionLink) -> (&str, u64) {
    (&link.region, link.ref_run)
}

fn to(link: &RegionLink) -> (&str, u64) {
    (&link.peer, link.peer_run)
}

fn claimant(claim: &RegionClaim) -> (&str, u64) {
    (&claim.region, claim.ref_run)
}

fn owned((region, run): (&str, u64)) -> Clock {
    (region.to_owned(), run)
}

fn key(link: &RegionLink) -> (Clock, Clock) {
    (owned(from(link)), owned(to(link)))
}

fn claim_deviation(claim: &RegionClaim) -> f64 {
    claim.bound_ns as f64 * CLAIM_SHARE
}

fn around(point_ns: i64, half_ns: i64) -> Interval {
    Interval {
        low: Span::from_ns(point_ns.saturating_sub(half_ns)),
        high: Span::from_ns(point_ns.saturating_add(half_ns)),
    }
}

/// What a rate gains over `ns`.
fn gained(ns: i64, rate_ppb: i64) -> i64 {
    let gained = i128::from(ns) * i128::from(rate_ppb) / 1_000_000_000;
    i64::try_from(gained).unwrap_or(if gained < 0 { i64::MIN } else { i64::MAX })
}

/// What a bound grows by over `ns`, forwards or back, at `rate_ppb`; rounded up.
fn grown(ns: i64, rate_ppb: i64) -> i64 {
    gained(ns.saturating_abs(), rate_ppb.saturating_abs()).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: i64 = 1_790_000_000_000_000_000;
    const MS: i64 = 1_000_000;
    const TOLERANCE: FrequencyError = FrequencyError::from_ppm(500.0);

    /// REF of `peer` is `off_ms` ahead; 30 ms round trip.
    fn link(region: &str, peer: &str, at: i64, off_ms: i64) -> RegionLink {
        let off = off_ms * MS;
        let (low, high) = (off - 15 * MS, off + 15 * MS);
        let [region, peer] = [region, peer].map(str::to_owned);
        RegionLink { region, peer, ref_run: 1, peer_run: 1, ref_at: at, off, low, high, rate_ppb: 0, err_rate_ppb: 100 }
    }

    fn claim(region: &str, at: i64, utc_off: i64, bound_ns: u64) -> RegionClaim {
        RegionClaim { region: region.to_owned(), ref_run: 1, ref_at: at, utc_off, bound_ns }
    }

    /// eu is 40 ms ahead of us, ap 90; all know UTC, which is 7 ms ahead of us, to 0.3 ms.
    fn said() -> (Vec<RegionLink>, Vec<RegionClaim>) {
        let links =
            vec![link("eu", "us", AT + 40 * MS, -40), link("us", "ap", AT, 90), link("eu", "ap", AT + 40 * MS, 50)];
        let claims = [("us", 0), ("eu", 40), ("ap", 90)]
            .map(|(region, ahead)| claim(region, AT + ahead * MS, (7 - ahead) * MS, 300_000));
        (links, claims.to_vec())
    }

    fn pair<'a>(moment: &'a Moment, region: &str, peer: &str) -> &'a Pair {
        moment.pairs.iter().find(|pair| pair.region.0 == region && pair.peer.0 == peer).unwrap()
    }

    #[test]
    fn claims_make_bounds_tighter_than_half_a_round_trip() {
        let (links, claims) = said();
        let moment = Moment::of(("us", 1), AT, &links, &claims, TOLERANCE, &mut Learned::new()).unwrap();
        assert_eq!(moment.pairs.len(), 6, "{moment:?}");
        let eu_us = pair(&moment, "eu", "us");
        assert!((eu_us.off.ns() + 40 * MS).abs() < 1_000, "{eu_us:?}");
        let half = (eu_us.bounds.high - eu_us.bounds.low).ns() / 2;
        assert!((600_000..610_000).contains(&half), "{eu_us:?}");
        assert_eq!((eu_us.verdict(), eu_us.direct.unwrap().left_out), (PairVerdict::Consistent, None));
        let utc = pair(&moment, "us", UTC);
        assert!((utc.off.ns() - 7 * MS).abs() < 1_000, "{utc:?}");
    }

    #[test]
    fn a_claim_is_carried_as_fast_as_the_reference_may_leave_utc() {
        let claims = [claim("us", AT - 1_000 * MS, 0, 100)];
        let half_ns = |ppm: f64| {
            let free = FrequencyError::from_ppm(ppm);
            let moment = Moment::of(("us", 1), AT, &[], &claims, free, &mut Learned::new()).unwrap();
            let bounds = pair(&moment, "us", UTC).bounds;
            (bounds.high - bounds.low).ns() / 2
        };
        assert_eq!([half_ns(500.0), half_ns(40.0)].map(|ns| ns / 1_000), [500, 40]);
    }

    #[test]
    fn a_false_claim_is_named_and_harms_its_own_region_alone() {
        let (links, mut claims) = said();
        claims[1].utc_off += 60 * MS;
        let mut learned = Learned::new();
        let moment = Moment::of(("us", 1), AT, &links, &claims, TOLERANCE, &mut learned).unwrap();
        let named: Vec<&str> = moment
            .pairs
            .iter()
            .filter(|pair| pair.verdict() == PairVerdict::False)
            .map(|pair| pair.region.0.as_str())
            .collect();
        assert_eq!(named, ["eu"]);
        let left = pair(&moment, "eu", UTC).direct.unwrap().left_out.unwrap();
        assert!((40 * MS..60 * MS).contains(&left.off_by.ns()), "{left:?}");
        assert!((pair(&moment, "eu", "us").off.ns() + 40 * MS).abs() < MS);
        assert!((pair(&moment, "ap", "us").bounds.high - pair(&moment, "ap", "us").bounds.low).ns() < 1_300_000);
        assert!(learned.keys().all(|((region, _), _)| region != "eu"), "nothing is learned from a lie: {learned:?}");
    }

    #[test]
    fn another_run_of_a_reference_is_another_clock() {
        let (mut links, claims) = said();
        links.push(RegionLink { ref_run: 9, ..link("eu", "us", AT + 7_000 * MS, -7_000) });
        let moment = Moment::of(("us", 1), AT, &links, &claims, TOLERANCE, &mut Learned::new()).unwrap();
        let off = |run: u64| {
            let pair = moment.pairs.iter().find(|pair| pair.region == ("eu".to_owned(), run) && pair.peer.0 == "us");
            pair.unwrap().off.ns()
        };
        assert!((off(1) + 40 * MS).abs() < 1_000 && (off(9) + 7_000 * MS).abs() < MS, "{moment:?}");
    }

    #[test]
    fn a_claim_of_another_run_of_a_reference_is_not_that_of_this_one() {
        let (links, mut claims) = said();
        // Another aggregator of eu, which knows UTC far worse.
        claims.insert(0, RegionClaim { ref_run: 9, ..claim("eu", AT, 0, 900 * MS.unsigned_abs()) });
        let clocks = Clocks::of(("us", 1), AT, &links, &claims, TOLERANCE);
        let deviation_ns = clocks.deviation(&links[0]).unwrap();
        assert!((deviation_ns - 100_000_f64.hypot(100_000.0)).abs() < 1.0, "{deviation_ns}");
    }

    #[test]
    fn what_a_rate_gains_keeps_its_sign_where_it_is_too_much() {
        assert_eq!((gained(i64::MIN, i64::MAX), gained(i64::MAX, i64::MAX)), (i64::MIN, i64::MAX));
        assert_eq!(gained(-2_000_000_000, 1_500), -3_000);
    }

    #[test]
    fn older_words_are_carried_with_what_may_have_happened_since() {
        let (mut links, claims) = said();
        links.truncate(1);
        links[0].ref_at -= 20_000 * MS;
        links[0].rate_ppb = 1_000;
        links[0].off -= 20_000;
        let moment = Moment::of(("us", 1), AT, &links, &claims[..0], TOLERANCE, &mut Learned::new()).unwrap();
        let eu_us = pair(&moment, "eu", "us");
        assert_eq!(eu_us.off.ns(), -40 * MS);
        assert!((eu_us.bounds.high - eu_us.bounds.low).ns() > 30 * MS, "{eu_us:?}");
    }

    #[test]
    fn nothing_said_is_nothing_known_and_nonsense_is_no_panic() {
        assert!(Moment::of(("us", 1), AT, &[], &[], TOLERANCE, &mut Learned::new()).unwrap().pairs.is_empty());
        let mut wild = link("eu", "us", i64::MIN, 0);
        (wild.low, wild.high, wild.off, wild.rate_ppb, wild.err_rate_ppb) =
            (i64::MIN, i64::MAX, i64::MAX, i64::MAX, u64::MAX);
        let claims = [claim("eu", i64::MAX, i64::MIN, u64::MAX)];
        assert!(
            Moment::of(("us", 1), AT, &[wild, link("us", "us", 0, 0)], &claims, TOLERANCE, &mut Learned::new()).is_ok()
        );
    }
}
