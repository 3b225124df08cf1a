//! The references of the regions over the day, what they measure of one another, and what is made of it: links by the clock model, all
//! together by the fusion.

use anyhow::Result;
use syncline_alerts::Interval;
use syncline_alerts::round::{LinkSeen, RegionSeen};
use syncline_clock::fusion::{Constraint, Fused, Interval as Between, Kind, fuse};
use syncline_clock::{NodeClock, Tolerance};
use syncline_exchange::{Pacer, Pacing};
use syncline_sim::{Path, PathSettings, Random, ReferenceClock, SimulatedNode};
use syncline_timebase::{Instant, Probe, Span};

use super::plan::{DAY, Fault, HOUR, Plan, REGIONS, SECOND, Whom};

/// Half widths of what aggregators claim of UTC, ns, as clouds offer it.
const CLAIMED_NS: (f64, f64) = (300e3, 800e3);
/// What a claim is off by as a rule, as a part of that, and for how long it stays so, s.
const WANDERS: (f64, f64) = (0.12, 900.0);
/// A claim is another so often.
const CLAIM_EVERY_NS: i64 = 15 * SECOND;
/// An aggregator's daemon finds out that its clock stood still within so long.
const FINDS_OUT_NS: i64 = 64 * SECOND;
/// A false claim is mended after so long.
const MENDED_AFTER_NS: i64 = HOUR;

/// A region's reference, and what its aggregator claims of UTC.
pub(super) struct Region {
    pub(super) clock: ReferenceClock,
    bound_ns: u64,
    /// What the claim is off by, each [`CLAIM_EVERY_NS`].
    off_ns: Vec<i64>,
    false_by: Option<(i64, i64)>,
}

/// What is claimed: REF - UTC.
#[derive(Clone, Copy)]
pub(super) struct Claimed {
    pub(super) ref_minus_utc_ns: i64,
    pub(super) bound_ns: u64,
}

impl Region {
    fn draw(number: usize, plan: &Plan, random: &mut Random) -> Self {
        let anchor_ns = SimulatedNode::reference(0).ns() + (random.normal(0.05) * 1e9) as i64;
        let mut clock =
            ReferenceClock { anchor_ns, rate_ppb: random.between(-25e3, 25e3) as i64, ..ReferenceClock::default() };
        let of_this = plan.planted.iter().filter(|planted| planted.whom == Whom::Region(number));
        let mut false_by = None;
        for planted in of_this {
            match planted.fault {
                Fault::FrozenReference(length_ns) => clock.pauses.push((planted.at_ns, length_ns)),
                Fault::FalseReference(by_ns) => false_by = Some((planted.at_ns, by_ns)),
                _ => {}
            }
        }
        let bound_ns = random.log_between(CLAIMED_NS.0, CLAIMED_NS.1);
        let stays = (-(CLAIM_EVERY_NS / SECOND) as f64 / WANDERS.1).exp();
        let mut wander = random.normal(1.0);
        let off_ns = (0..=DAY / CLAIM_EVERY_NS).map(|_| {
            wander = wander * stays + random.normal((1.0 - stays * stays).sqrt());
            (wander * WANDERS.0).clamp(-1.0, 1.0) * bound_ns
        });
        let off_ns = off_ns.map(|off| off as i64).collect();
        Self { clock, bound_ns: bound_ns as u64, off_ns, false_by }
    }

    /// What its aggregator claims at `at_ns`.
    pub(super) fn claims(&self, at_ns: i64) -> Claimed {
        let wanders = self.off_ns.get((at_ns / CLAIM_EVERY_NS) as usize).copied().unwrap_or_default();
        let is_within = |from_ns: i64, for_ns: i64| (from_ns..from_ns + for_ns).contains(&at_ns);
        let lies = self.false_by.filter(|(from_ns, _)| is_within(*from_ns, MENDED_AFTER_NS)).map_or(0, |(_, by)| by);
        // Its wall clock stood still with REF: it still says what it said before.
        let stood = |(from_ns, length_ns): &(i64, i64)| {
            if is_within(*from_ns, length_ns + FINDS_OUT_NS) { *length_ns } else { 0 }
        };
        let stood: i64 = self.clock.pauses.iter().map(stood).sum();
        let truth = self.clock.at(at_ns).ns() - SimulatedNode::reference(at_ns).ns();
        Claimed { ref_minus_utc_ns: truth + wanders + lies + stood, bound_ns: self.bound_ns }
    }
}

/// What the root knows in each round.
pub(super) struct Seen {
    pub(super) regions: Vec<RegionSeen>,
    pub(super) links: Vec<LinkSeen>,
}

/// The regions of a day.
pub(super) fn draw(plan: &Plan) -> Vec<Region> {
    let mut random = Random::seeded(plan.seed ^ 0x5E61);
    (0..REGIONS.len()).map(|number| Region::draw(number, plan, &mut random)).collect()
}

/// Runs the links over the day and fuses what is known at the end of each round.
///
/// # Errors
/// It cannot be fused, which would be a fault of ours.
pub(super) fn rounds(regions: &[Region], plan: &Plan, every_ns: i64) -> Result<Vec<Seen>> {
    let mut links: Vec<Link> = (0..regions.len())
        .flat_map(|from| (from + 1..regions.len()).map(move |to| (from, to)))
        .map(|(from, to)| Link::new(from, to, plan.seed))
        .collect();
    let mut seen = Vec::new();
    for round in 1..=DAY / every_ns {
        let at_ns = round * every_ns;
        links.iter_mut().for_each(|link| link.run_until(at_ns, regions));
        seen.push(fused(regions, &links, at_ns)?);
    }
    Ok(seen)
}

/// Two regions that probe one another; the first asks.
struct Link {
    from: usize,
    to: usize,
    path: Path,
    pacer: Pacer,
    clock: NodeClock,
    next_ns: i64,
}

impl Link {
    fn new(from: usize, to: usize, seed: u64) -> Self {
        let mut random = Random::seeded(seed ^ (0x71 + from as u64 * 8 + to as u64));
        let one_way_ns = random.between(15e6, 60e6);
        let settings = PathSettings {
            forward_floor_ns: one_way_ns * random.between(0.94, 1.06),
            backward_floor_ns: one_way_ns,
            ..PathSettings::wan()
        };
        let path = Path::new(settings, seed ^ (0x9911 + from as u64 * 8 + to as u64));
        let pacer = Pacer::new(Pacing::every(Span::from_s(1)));
        Self { from, to, path, pacer, clock: NodeClock::of_oscillator(Tolerance::default()), next_ns: SECOND / 2 }
    }

    fn run_until(&mut self, until_ns: i64, regions: &[Region]) {
        let (from, to) = (&regions[self.from].clock, &regions[self.to].clock);
        while self.next_ns < until_ns {
            let sent_ns = from.awake_ns(self.next_ns);
            let mono = |true_ns: i64| Instant::from_ns(from.at(true_ns).ns());
            let mut ended_ns = sent_ns;
            self.pacer.sent();
            if let Some((forward_ns, backward_ns)) = self.path.exchange_ns() {
                let received_ns = to.awake_ns(sent_ns + forward_ns);
                ended_ns = from.awake_ns(received_ns + 20_000 + backward_ns);
                let probe = Probe {
                    sent: mono(sent_ns),
                    received: to.at(received_ns),
                    replied: to.at(received_ns + 20_000),
                    returned: mono(ended_ns),
                };
                self.pacer.exchanged(&probe);
                self.clock.observe(&[], &[probe]);
            }
            let pause = self.pacer.pause(mono(ended_ns), true);
            self.next_ns = (sent_ns + pause.ns()).max(ended_ns);
        }
    }

    /// REF of the other - REF of the first.
    fn between(&self, at_ns: i64, regions: &[Region]) -> Option<(Between, Span)> {
        let at = Instant::from_ns(regions[self.from].clock.at(at_ns).ns());
        let hard = self.clock.bounds(at)?.hard;
        let point = self.clock.estimate(at).offset.ns().clamp(hard.low.ns(), hard.high.ns());
        Some((Between { low: Span::from_ns(hard.low.ns()), high: Span::from_ns(hard.high.ns()) }, Span::from_ns(point)))
    }
}

fn fused(regions: &[Region], links: &[Link], at_ns: i64) -> Result<Seen> {
    let utc = regions.len();
    let mut constraints = Vec::new();
    for (from, region) in regions.iter().enumerate() {
        let Claimed { ref_minus_utc_ns, bound_ns } = region.claims(at_ns);
        let Interval { low, high } = Interval::around(-ref_minus_utc_ns, bound_ns);
        constraints.push(Constraint {
            from,
            to: utc,
            kind: Kind::Claim,
            hard: Between { low: Span::from_ns(low), high: Span::from_ns(high) },
            point: Span::from_ns(-ref_minus_utc_ns),
            deviation_ns: bound_ns as f64 / 3.0,
        });
    }
    let known: Vec<(&Link, (Between, Span))> =
        links.iter().filter_map(|link| Some((link, link.between(at_ns, regions)?))).collect();
    for (link, (hard, point)) in &known {
        // As the aggregator has it: what links are asymmetric by as a rule, and their noise.
        let deviation_ns = 1_000.0 + 0.06 * (hard.high - hard.low).ns() as f64 / 2.0;
        let (from, to, kind) = (link.from, link.to, Kind::Link);
        constraints.push(Constraint { from, to, kind, hard: *hard, point: *point, deviation_ns });
    }
    let fused = fuse(utc + 1, &constraints)?;
    Ok(Seen {
        regions: (0..utc).map(|region| seen_region(region, utc, &fused)).collect(),
        links: known.iter().enumerate().map(|(place, (link, _))| seen_link(link, utc + place, &fused)).collect(),
    })
}

fn seen_region(region: usize, utc: usize, fused: &Fused) -> RegionSeen {
    RegionSeen {
        region: REGIONS[region].to_owned(),
        run: 0,
        utc_ns: fused.bounds(utc, region).map(interval),
        false_by_ns: false_by(fused, region).map(|(by_ns, _)| by_ns),
        is_doubted: false_by(fused, region).is_some_and(|(_, is_proved)| !is_proved),
    }
}

fn seen_link(link: &Link, place: usize, fused: &Fused) -> LinkSeen {
    LinkSeen {
        region: REGIONS[link.from].to_owned(),
        run: 0,
        peer_run: 0,
        peer: REGIONS[link.to].to_owned(),
        apart_ns: fused.bounds(link.from, link.to).map(interval).unwrap_or_default(),
        false_by_ns: false_by(fused, place).map(|(by_ns, _)| by_ns),
    }
}

/// By how much it is false, and whether that is proved.
fn false_by(fused: &Fused, place: usize) -> Option<(u64, bool)> {
    let of = fused.falsehoods.iter().find(|falsehood| falsehood.place == place);
    of.map(|falsehood| (falsehood.off_by.ns().unsigned_abs(), falsehood.is_proved))
}

fn interval(between: Between) -> Interval {
    Interval { low: between.low.ns(), high: between.high.ns() }
}
