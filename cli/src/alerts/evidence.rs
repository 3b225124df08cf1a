//! What was known in the rounds around an incident, in lines. Pure.

use std::collections::BTreeMap;

use syncline_alerts::round::{LinkSeen, NodeSeen, RegionSeen};
use syncline_alerts::text::quantity;
use syncline_alerts::{Interval, Limits, Round, Unit};

use super::history::EVERY_MS;
use super::plot;
use crate::time;

/// What an incident is shown of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// A node and its region.
    Node(String, String),
    Region(String),
    /// A region and a peer.
    Link(String, String),
    Fleet,
}

impl About {
    fn is_of(&self, seen: &NodeSeen) -> bool {
        match self {
            Self::Node(region, node) => (&seen.region, &seen.node) == (region, node),
            Self::Region(region) => &seen.region == region,
            Self::Link(..) => false,
            Self::Fleet => true,
        }
    }
}

/// What all offsets of a picture are against: they would else jump where nothing did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Utc,
    /// This run of a reference.
    Reference(u64),
}

/// What was known of it, round by round.
pub(super) fn lines(rounds: &[Round], about: &About) -> Vec<String> {
    let mut lines = Vec::new();
    match about {
        About::Node(region, node) => {
            lines.extend(clocks(rounds, about, &format!("Wall clock of {region}/{node}")));
            let of = |round: &Round| round.nodes.iter().find(|seen| about.is_of(seen)).cloned();
            let seen: Vec<(&Round, Option<NodeSeen>)> = rounds.iter().map(|round| (round, of(round))).collect();
            lines.extend(probes(&seen));
            lines.extend(happened(&seen));
        }
        About::Link(region, peer) => lines.extend(link(rounds, region, peer)),
        About::Region(region) => {
            lines.extend(clocks(rounds, about, &format!("Most wall clocks of {region}")));
            lines.extend(counts(rounds, about));
            lines.extend(word(rounds, region));
        }
        About::Fleet => {
            lines.extend(clocks(rounds, about, "Most wall clocks of the fleet"));
            lines.extend(counts(rounds, about));
            let mut regions: Vec<&str> =
                rounds.iter().flat_map(|round| &round.regions).map(|seen| seen.region.as_str()).collect();
            regions.sort_unstable();
            regions.dedup();
            lines.extend(regions.into_iter().flat_map(|region| word(rounds, region)));
        }
    }
    lines
}

/// A picture of what most of the clocks have, which of a single one is its own.
fn clocks(rounds: &[Round], about: &About, whose: &str) -> Vec<String> {
    let of =
        |round: &Round| -> Vec<NodeSeen> { round.nodes.iter().filter(|seen| about.is_of(seen)).cloned().collect() };
    let seen: Vec<(&Round, Vec<NodeSeen>)> = rounds.iter().map(|round| (round, of(round))).collect();
    let scale = scale(&seen);
    let most = |(round, nodes): &(&Round, Vec<NodeSeen>)| {
        median(nodes.iter().filter_map(|seen| offset(round, seen, scale)).collect())
    };
    let offsets: Vec<Option<Interval>> = seen.iter().map(most).collect();
    let against = if scale == Scale::Utc { "UTC" } else { "the region's reference (nobody claims to know UTC)" };
    let mut lines = vec![titled(rounds, &format!("{whose} against {against}"), ", - the limit of offsets")];
    lines.extend(plot::draw(&offsets, Limits::default().offset_ns));
    lines.push(String::new());
    lines
}

fn titled(rounds: &[Round], what: &str, more: &str) -> String {
    let from = rounds.first().map_or_else(String::new, |round| time::rfc3339(round.at_ns - EVERY_MS * 1_000_000));
    format!("{what}, 15 s a column from {from}; | is the bound{more}:")
}

/// UTC where it is known in any of the rounds; else the run that was seen last.
fn scale(seen: &[(&Round, Vec<NodeSeen>)]) -> Scale {
    let known = || {
        let of = |(round, nodes): &'_ (&Round, Vec<NodeSeen>)| {
            nodes
                .iter()
                .filter(|seen| seen.skew_ns.is_some())
                .map(|seen| (utc(round, seen), seen.run))
                .collect::<Vec<_>>()
        };
        seen.iter().flat_map(of)
    };
    if known().any(|(utc, _)| utc.is_some()) {
        Scale::Utc
    } else {
        Scale::Reference(known().next_back().map_or(0, |(_, run)| run))
    }
}

/// REF - UTC of a node's reference.
fn utc(round: &Round, seen: &NodeSeen) -> Option<Interval> {
    round.regions.iter().find(|of| of.region == seen.region && of.run == seen.run)?.utc_ns
}

fn offset(round: &Round, seen: &NodeSeen, scale: Scale) -> Option<Interval> {
    let skew = seen.skew_ns?;
    match scale {
        Scale::Utc => Some(skew.plus(utc(round, seen)?)),
        Scale::Reference(run) => (seen.run == run).then_some(skew),
    }
}

fn median(all: Vec<Interval>) -> Option<Interval> {
    let (mut low, mut high): (Vec<i64>, Vec<i64>) = all.into_iter().map(|one| (one.low, one.high)).unzip();
    low.sort_unstable();
    high.sort_unstable();
    let middle = low.len() / 2;
    Some(Interval { low: *low.get(middle)?, high: *high.get(middle)? })
}

/// How many nodes of it were known, were set, or had their clocks disrupted.
fn counts(rounds: &[Round], about: &About) -> Vec<String> {
    let mut lines = Vec::new();
    let of = |round: &'_ Round| round.nodes.iter().filter(|seen| about.is_of(seen)).cloned().collect::<Vec<_>>();
    let nodes = rounds.iter().map(|round| of(round).len()).max().unwrap_or_default();
    let known = rounds.iter().map(|round| of(round).iter().filter(|seen| seen.skew_ns.is_some()).count());
    let (least, most) = (known.clone().min().unwrap_or_default(), known.max().unwrap_or_default());
    lines.push(format!("Nodes: up to {nodes}; the clocks of {least} to {most} of them were known"));
    let mut models = BTreeMap::new();
    for round in rounds {
        let (mut set, mut disrupted) = (0, 0);
        for seen in of(round) {
            set += seen.steps.len();
            if seen.skew_ns.is_some() {
                let now = (seen.boot, seen.run, seen.epoch);
                let before = models.insert((seen.region, seen.node), now);
                disrupted += usize::from(before.is_some_and(|before| before != now));
            }
        }
        for (count, what) in
            [(set, "wall clocks were set"), (disrupted, "clocks were disrupted, or have another model")]
        {
            if count > 0 {
                lines.push(format!("{}  {count} {what}", time::rfc3339(round.at_ns)));
            }
        }
    }
    lines
}

/// What a region's word of UTC was, beside all others.
fn word(rounds: &[Round], region: &str) -> Vec<String> {
    let said: Vec<&RegionSeen> =
        rounds.iter().flat_map(|round| &round.regions).filter(|seen| seen.region == region).collect();
    let utc = said.iter().rev().find_map(|seen| seen.utc_ns).map_or_else(
        || "UTC - REF is not known".to_owned(),
        |utc| format!("REF - UTC is {} at last, +-{}", signed(utc.middle()), quantity(utc.half_width(), Unit::Ns)),
    );
    let false_by = falsehood(said.iter().map(|seen| seen.false_by_ns));
    vec![format!("{region}: {utc}; its aggregator's claim of UTC {false_by}")]
}

/// What two regions measured of one another.
fn link(rounds: &[Round], region: &str, peer: &str) -> Vec<String> {
    let of = |round: &'_ Round| -> Option<LinkSeen> {
        round.links.iter().rev().find(|seen| (seen.region.as_str(), seen.peer.as_str()) == (region, peer)).cloned()
    };
    let seen: Vec<Option<LinkSeen>> = rounds.iter().map(of).collect();
    let apart: Vec<Option<Interval>> = seen.iter().map(|seen| seen.as_ref().map(|seen| seen.apart_ns)).collect();
    // References may be far from one another: what changes is to be seen.
    let begin_ns = apart.iter().flatten().next().map_or(0, |apart| apart.middle());
    let apart: Vec<Option<Interval>> =
        apart.into_iter().map(|apart| apart.map(|apart| apart.against(begin_ns))).collect();
    let what = format!("REF of {peer} less that of {region}, less {} at the begin", signed(begin_ns));
    let mut lines = vec![titled(rounds, &what, "")];
    lines.extend(plot::draw(&apart, u64::MAX));
    lines.push(String::new());
    let false_by = falsehood(seen.iter().flatten().map(|seen| seen.false_by_ns));
    lines.push(format!("What the two measure of one another {false_by}"));
    lines
}

/// In how many of the rounds in which something was said it was false, and by how much at most.
fn falsehood(said: impl Iterator<Item = Option<u64>>) -> String {
    let said: Vec<Option<u64>> = said.collect();
    let count = said.iter().flatten().count();
    match said.iter().flatten().max() {
        Some(most) => format!("was false {count} of {} times, by {} at most", said.len(), quantity(*most, Unit::Ns)),
        None if said.is_empty() => "was not heard".to_owned(),
        None => "was not seen to be false".to_owned(),
    }
}

fn signed(ns: i64) -> String {
    format!("{}{}", if ns < 0 { "-" } else { "+" }, quantity(ns.unsigned_abs(), Unit::Ns))
}

fn probes(seen: &[(&Round, Option<NodeSeen>)]) -> Vec<String> {
    let all: Vec<u64> = seen.iter().filter_map(|(_, seen)| seen.as_ref()?.round_trip_ns).collect();
    let bounds: Vec<u64> = seen.iter().filter_map(|(_, seen)| Some(seen.as_ref()?.skew_ns?.half_width())).collect();
    let ns = |size: Option<&u64>| size.map_or_else(|| "none".to_owned(), |size| quantity(*size, Unit::Ns));
    vec![
        format!(
            "Probes: came in {} of {} rounds; least round trip {}, the worst round's {}",
            all.len(),
            seen.len(),
            ns(all.iter().min()),
            ns(all.iter().max())
        ),
        format!(
            "Bound: +-{} at best, +-{} at worst (`syncline clock explain` says what it rests on)",
            ns(bounds.iter().min()),
            ns(bounds.iter().max())
        ),
    ]
}

/// Steps, disruptions and false claims, in order.
fn happened(seen: &[(&Round, Option<NodeSeen>)]) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut epoch, mut false_claims) = (None, BTreeMap::<String, (u64, i64)>::new());
    for (round, seen) in seen {
        let Some(seen) = seen else { continue };
        let at = time::rfc3339(round.at_ns);
        for step in &seen.steps {
            let then = time::rfc3339(round.at_ns.saturating_sub_unsigned(step.ago_ns));
            lines.push(format!("{then}  the wall clock was set by {}", signed(step.size_ns)));
        }
        if seen.skew_ns.is_some() {
            let now = (seen.boot, seen.run, seen.epoch);
            if epoch.replace(now).is_some_and(|before| before != now) {
                lines.push(format!("{at}  the clocks were disrupted, or the model is another (epoch {})", seen.epoch));
            }
        }
        for claim in &seen.claims {
            if let Some(contradiction) = claim.contradiction {
                let (count, gap) = false_claims.entry(claim.source.clone()).or_default();
                (*count, *gap) = (*count + 1, contradiction.gap_ns());
            }
        }
    }
    for (source, (count, gap_ns)) in false_claims {
        let size = quantity(gap_ns.unsigned_abs(), Unit::Ns);
        lines.push(format!("{count} claims of {source} could not be true; the last one by {size}"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;
    const MS: i64 = 1_000_000;

    /// Four rounds of three nodes whose reference is a minute ahead of UTC, which is known in some of them.
    fn rounds(utc_is_known: impl Fn(usize) -> bool) -> Vec<Round> {
        let node = |number: i64| NodeSeen {
            region: "eu".into(),
            node: format!("eu-{number}"),
            run: 9,
            skew_ns: Some(Interval::around(-60 * SECOND + number * MS, 100_000)),
            ..NodeSeen::default()
        };
        let eu = |is_known: bool| RegionSeen {
            region: "eu".into(),
            run: 9,
            utc_ns: is_known.then_some(Interval::around(60 * SECOND, 100_000)),
            false_by_ns: is_known.then_some(7_000_000),
            is_doubted: false,
        };
        let round = |number: usize| Round {
            at_ns: 15 * SECOND * number as i64,
            nodes: (0..3).map(node).collect(),
            regions: vec![eu(utc_is_known(number))],
            ..Round::default()
        };
        (0..4).map(round).collect()
    }

    /// The columns of a picture that have something in them.
    fn drawn(lines: &[String]) -> usize {
        lines.iter().flat_map(|line| line.chars()).filter(|mark| *mark == 'o').count()
    }

    #[test]
    fn a_picture_is_against_one_scale() {
        let (node, region) = (About::Node("eu".into(), "eu-1".into()), About::Region("eu".into()));
        for about in [&node, &region, &About::Fleet] {
            let lines = lines(&rounds(|round| round != 2), about);
            assert!(lines[0].contains("against UTC"), "{}", lines[0]);
            let picture = &lines[1..16];
            assert_eq!(drawn(picture), 3, "the round in which nothing is known of UTC is left out: {picture:#?}");
            assert!(!picture.iter().any(|line| line.contains("60.0 s")), "{picture:#?}");
        }
        let by_reference = lines(&rounds(|_| false), &node);
        assert!(by_reference[0].contains("nobody claims to know UTC"), "{}", by_reference[0]);
        assert_eq!(drawn(&by_reference[1..16]), 4);
        let mut other_run = rounds(|_| false);
        other_run[0].nodes.iter_mut().for_each(|seen| (seen.run, seen.skew_ns) = (8, Some(Interval::exactly(0))));
        assert_eq!(drawn(&lines(&other_run, &node)[1..16]), 3, "another run's is another scale");
    }

    #[test]
    fn what_regions_rest_on_is_shown() {
        let mut rounds = rounds(|round| round != 2);
        rounds[1].nodes.iter_mut().for_each(|seen| seen.epoch += 1);
        let text = lines(&rounds, &About::Region("eu".into())).join("\n");
        for part in [
            "Nodes: up to 3; the clocks of 3 to 3 of them were known",
            "3 clocks were disrupted",
            "eu: REF - UTC is +60.0 s at last",
            "its aggregator's claim of UTC was false 3 of 4 times, by 7.00 ms at most",
        ] {
            assert!(text.contains(part), "{part:?} is not in:\n{text}");
        }
        let link = |apart_ms: i64, false_by_ns| LinkSeen {
            region: "eu".into(),
            peer: "us".into(),
            apart_ns: Interval::around(apart_ms * MS, 100_000),
            false_by_ns,
            ..LinkSeen::default()
        };
        (rounds[0].links, rounds[3].links) = (vec![link(5_000, None)], vec![link(5_002, Some(2_000_000))]);
        let text = lines(&rounds, &About::Link("eu".into(), "us".into())).join("\n");
        assert!(text.contains("REF of us less that of eu, less +5.00 s at the begin"), "{text}");
        assert!(text.contains("one another was false 1 of 2 times, by 2.00 ms at most"), "{text}");
    }
}
