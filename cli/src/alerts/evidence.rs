//! What was known in the rounds around an incident, in lines. Pure.

use std::collections::BTreeMap;

use syncline_alerts::round::{Contradiction, NodeSeen};
use syncline_alerts::text::quantity;
use syncline_alerts::{Interval, Limits, Round, Rule, Unit};

use super::about::About;
use super::history::EVERY_MS;
use super::{common, minutes, pairs, plot, series};
use crate::time;

/// What there is to be shown, and beside what.
pub(super) struct Known<'a> {
    pub(super) rounds: &'a [Round],
    /// The limits that alerts of the incident were raised at, of those rules that it has some of.
    pub(super) limits: &'a BTreeMap<Rule, u64>,
    pub(super) kept: Kept,
}

/// Which of what was measured then is still in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) probes: bool,
    /// Offsets, frequencies, claims.
    pub(super) clocks: bool,
}

/// What all offsets of a picture are against: they would else jump where nothing did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    Utc,
    /// This run of a reference.
    Reference(u64),
}

/// What was known of it, round by round.
pub(super) fn lines(known: &Known<'_>, about: &About) -> Vec<String> {
    let Known { rounds, limits, kept } = *known;
    if !kept.clocks {
        return vec![
            "What clocks were then is not kept any more: offsets, frequencies and claims are for 14 days, probes for 3.".to_owned(),
        ];
    }
    let mut lines = Vec::new();
    match about {
        About::Node(region, node) => {
            lines.extend(clocks((rounds, limits), about, &format!("Wall clock of {region}/{node}")));
            let of = |round: &Round| round.nodes.iter().find(|seen| about.is_of(seen)).cloned();
            let seen: Vec<(&Round, Option<NodeSeen>)> = rounds.iter().map(|round| (round, of(round))).collect();
            lines.extend(series::table(&seen));
            lines.push(String::new());
            lines.extend(probes(&seen, kept));
            lines.extend(happened(&seen));
        }
        About::Link(region, peer) => lines.extend(pairs::lines(rounds, (region, peer))),
        About::Region(region) => {
            lines.extend(clocks((rounds, limits), about, &format!("Most wall clocks of {region}")));
            lines.extend(minutes::table(rounds, about));
            lines.extend(common::counts(rounds, about));
            lines.extend(common::word(rounds, region));
        }
        About::Fleet => {
            lines.extend(clocks((rounds, limits), about, "Most wall clocks of the fleet"));
            lines.extend(minutes::table(rounds, about));
            lines.extend(common::counts(rounds, about));
            let mut regions: Vec<&str> =
                rounds.iter().flat_map(|round| &round.regions).map(|seen| seen.region.as_str()).collect();
            regions.sort_unstable();
            regions.dedup();
            lines.extend(regions.into_iter().flat_map(|region| common::word(rounds, region)));
        }
    }
    lines.extend(common::violations(rounds, about));
    lines
}

/// A picture of what most of the clocks have, which of a single one is its own.
fn clocks((rounds, limits): (&[Round], &BTreeMap<Rule, u64>), about: &About, whose: &str) -> Vec<String> {
    let of =
        |round: &Round| -> Vec<NodeSeen> { round.nodes.iter().filter(|seen| about.is_of(seen)).cloned().collect() };
    let seen: Vec<(&Round, Vec<NodeSeen>)> = rounds.iter().map(|round| (round, of(round))).collect();
    let scale = scale(&seen);
    let most = |(round, nodes): &(&Round, Vec<NodeSeen>)| {
        median(nodes.iter().filter_map(|seen| offset(round, seen, scale)).collect())
    };
    let offsets: Vec<Option<Interval>> = seen.iter().map(most).collect();
    let against = if scale == Scale::Utc { "UTC" } else { "the region's reference (nobody claims to know UTC)" };
    // An override may have another one, which only an alert of an offset tells.
    let (limit_ns, limit) = match limits.get(&Rule::Offset) {
        Some(limit_ns) => {
            (*limit_ns, format!(", - the limit of the offset's alert, {}", quantity(*limit_ns, Unit::Ns)))
        }
        None => (Limits::default().offset_ns, ", - the usual limit of offsets".to_owned()),
    };
    let mut lines = vec![titled(rounds, &format!("{whose} against {against}"), &limit)];
    lines.extend(plot::draw(&offsets, limit_ns));
    lines.push(String::new());
    lines
}

pub(super) fn titled(rounds: &[Round], what: &str, more: &str) -> String {
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

pub(super) fn median(all: Vec<Interval>) -> Option<Interval> {
    let (mut low, mut high): (Vec<i64>, Vec<i64>) = all.into_iter().map(|one| (one.low, one.high)).unzip();
    low.sort_unstable();
    high.sort_unstable();
    let middle = low.len() / 2;
    Some(Interval { low: *low.get(middle)?, high: *high.get(middle)? })
}

pub(super) fn signed(ns: i64) -> String {
    format!("{}{}", if ns < 0 { "-" } else { "+" }, quantity(ns.unsigned_abs(), Unit::Ns))
}

fn probes(seen: &[(&Round, Option<NodeSeen>)], kept: Kept) -> Vec<String> {
    let all: Vec<u64> = seen.iter().filter_map(|(_, seen)| seen.as_ref()?.round_trip_ns).collect();
    let bounds: Vec<u64> = seen.iter().filter_map(|(_, seen)| Some(seen.as_ref()?.skew_ns?.half_width())).collect();
    let ns = |size: Option<&u64>| size.map_or_else(|| "none".to_owned(), |size| quantity(*size, Unit::Ns));
    let probes = if all.is_empty() && !kept.probes {
        "Probes: not kept any more (3 days)".to_owned()
    } else {
        let (best, worst) = (ns(all.iter().min()), ns(all.iter().max()));
        let (came, rounds) = (all.len(), seen.len());
        format!("Probes: came in {came} of {rounds} rounds; least round trip {best}, the worst round's {worst}")
    };
    let (best, worst) = (ns(bounds.iter().min()), ns(bounds.iter().max()));
    let bound = format!("Bound: +-{best} at best, +-{worst} at worst (`syncline clock explain` says what it rests on)");
    vec![probes, bound]
}

/// Steps and disruptions in order, and claims.
fn happened(seen: &[(&Round, Option<NodeSeen>)]) -> Vec<String> {
    let (mut lines, mut epoch) = (Vec::new(), None);
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
    }
    lines.extend(claims(seen));
    lines
}

/// How many claims of each source could not be true, and the two words that the newest of them is by.
fn claims(seen: &[(&Round, Option<NodeSeen>)]) -> Vec<String> {
    let mut claims = BTreeMap::<&str, (u64, u64, Contradiction)>::new();
    for claim in seen.iter().filter_map(|(_, seen)| seen.as_ref()).flat_map(|seen| &seen.claims) {
        let (all, count, newest) = claims.entry(&claim.source).or_default();
        *all += 1;
        if let Some(contradiction) = claim.contradiction {
            (*count, *newest) = (*count + 1, contradiction);
        }
    }
    let line = |(source, (all, count, newest)): (&str, (u64, u64, Contradiction))| {
        if count == 0 {
            return format!("Claims of {source}: {all}, all of which may be true");
        }
        let size = quantity(newest.gap_ns().unsigned_abs(), Unit::Ns);
        let (claimed, measured) = (between(newest.claimed_ns), between(newest.measured_ns));
        format!(
            "Claims of {source}: {count} of {all} could not be true; the last one by {size}: by it REF less the wall clock was {claimed}, \
             and by what was measured {measured}"
        )
    };
    claims.into_iter().map(line).collect()
}

fn between(Interval { low, high }: Interval) -> String {
    format!("{} to {}", signed(low), signed(high))
}

#[cfg(test)]
mod tests {
    use syncline_alerts::round::{ClaimSeen, LinkSeen, RegionSeen};

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

    const KEPT: Kept = Kept { probes: true, clocks: true };

    fn lines(rounds: &[Round], about: &About) -> Vec<String> {
        super::lines(&Known { rounds, limits: &BTreeMap::new(), kept: KEPT }, about)
    }

    #[test]
    fn the_limit_is_that_which_the_alert_was_raised_at() {
        let (rounds, node) = (rounds(|_| true), About::Node("eu".into(), "eu-1".into()));
        let shown = |limits: &BTreeMap<Rule, u64>| super::lines(&Known { rounds: &rounds, limits, kept: KEPT }, &node);
        let usual = shown(&BTreeMap::new());
        assert!(usual[0].contains("- the usual limit of offsets"), "{}", usual[0]);
        assert!(!usual.iter().any(|line| line.contains("----")), "50 ms is beyond the picture");
        let low = shown(&BTreeMap::from([(Rule::Offset, 500_000)]));
        assert!(low[0].contains("- the limit of the offset's alert, 500 us"), "{}", low[0]);
        assert!(low.iter().any(|line| line.contains("----")), "{low:#?}");
    }

    #[test]
    fn what_is_too_old_is_told_as_not_kept_and_not_as_never_there() {
        let (rounds, node) = (rounds(|_| true), About::Node("eu".into(), "eu-1".into()));
        let shown = |kept| super::lines(&Known { rounds: &rounds, limits: &BTreeMap::new(), kept }, &node).join("\n");
        assert!(shown(KEPT).contains("Probes: came in 0 of 4 rounds"));
        let no_probes = shown(Kept { probes: false, clocks: true });
        assert!(
            no_probes.contains("Probes: not kept any more (3 days)") && !no_probes.contains("came in"),
            "{no_probes}"
        );
        let nothing = shown(Kept { probes: false, clocks: false });
        assert!(
            nothing.starts_with("What clocks were then is not kept any more") && !nothing.contains("nothing is known")
        );
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
    fn a_claim_is_shown_beside_what_was_measured() {
        let contradiction = Contradiction {
            claimed_ns: Interval::around(60 * MS, 2_000_000),
            measured_ns: Interval::around(-MS, 100_000),
        };
        let claim = |contradiction| ClaimSeen { source: "chrony".into(), contradiction };
        let mut rounds = rounds(|_| true);
        rounds[0].nodes[1].claims = vec![claim(None)];
        rounds[2].nodes[1].claims = vec![claim(Some(contradiction))];
        let text = lines(&rounds, &About::Node("eu".into(), "eu-1".into())).join("\n");
        let part = "Claims of chrony: 1 of 2 could not be true; the last one by 58.9 ms: by it REF less the wall clock was +58.0 ms to +62.0 ms, \
                    and by what was measured -1.10 ms to -900 us";
        assert!(text.contains(part), "{text}");
    }

    /// With a link between the two, and 3 ms between their wall clocks.
    #[test]
    fn of_two_regions_the_wall_clocks_and_the_words_of_both_are_shown() {
        let mut rounds = rounds(|_| false);
        for round in &mut rounds {
            let of_us = round.nodes.clone().into_iter().map(|seen| NodeSeen {
                region: "us".into(),
                run: 5,
                skew_ns: seen.skew_ns.map(|skew| skew.against(10 * SECOND + 3 * MS)),
                ..seen
            });
            let of_us: Vec<NodeSeen> = of_us.collect();
            round.nodes.extend(of_us);
            round.regions.push(RegionSeen {
                region: "us".into(),
                run: 5,
                false_by_ns: Some(8_000_000),
                ..RegionSeen::default()
            });
            round.links = vec![LinkSeen {
                region: "eu".into(),
                run: 9,
                peer: "us".into(),
                peer_run: 5,
                apart_ns: Interval::around(10 * SECOND, 100_000),
                false_by_ns: None,
            }];
        }
        for (one, other, apart) in
            [("eu", "us", "+3.00 ms at last, +-300 us"), ("us", "eu", "-3.00 ms at last, +-300 us")]
        {
            let text = lines(&rounds, &About::Link(one.into(), other.into())).join("\n");
            for part in [
                &format!("Most wall clocks of {one} less those of {other}: {apart}"),
                &format!("REF of {other} less that of {one}"),
                "us: UTC - REF is not known; its aggregator's claim of UTC was false 4 of 4 times, by 8.00 ms at most",
                "eu: UTC - REF is not known; its aggregator's claim of UTC was not seen to be false",
                "Nodes: up to 3; the clocks of 3 to 3 of them were known",
            ] {
                assert!(text.contains(part), "{part:?} is not in:\n{text}");
            }
        }
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
            run: 9,
            peer: "us".into(),
            peer_run: 5,
            apart_ns: Interval::around(apart_ms * MS, 100_000),
            false_by_ns,
        };
        (rounds[0].links, rounds[3].links) = (vec![link(5_000, None)], vec![link(5_002, Some(2_000_000))]);
        let text = lines(&rounds, &About::Link("eu".into(), "us".into())).join("\n");
        assert!(text.contains("REF of us less that of eu, less +5.00 s at the begin"), "{text}");
        assert!(text.contains("one another was false 1 of 2 times, by 2.00 ms at most"), "{text}");
        assert!(!text.contains("Most wall clocks of eu less"), "nothing is known of those of us: {text}");
        assert!(text.contains("us: UTC - REF is not known; its aggregator's claim of UTC was not heard"), "{text}");
    }
}
