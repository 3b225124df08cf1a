//! What two regions rest on: their references, their wall clocks and their words, in lines. Pure.

use syncline_alerts::round::LinkSeen;
use syncline_alerts::text::quantity;
use syncline_alerts::{Interval, Round, Unit};

use super::about::About;
use super::evidence::{median, signed, titled};
use super::{common, plot};

pub(super) fn lines(rounds: &[Round], (region, peer): (&str, &str)) -> Vec<String> {
    let seen: Vec<Option<LinkSeen>> = rounds.iter().map(|round| link(round, region, peer)).collect();
    let mut lines = references(rounds, &seen, (region, peer));
    lines.extend(walls(rounds, &seen, (region, peer)));
    let false_by = common::falsehood(seen.iter().flatten().map(|seen| seen.false_by_ns));
    lines.push(format!("What the two measure of one another {false_by}"));
    for end in [region, peer] {
        lines.extend(common::word(rounds, end));
        lines.extend(common::counts(rounds, &About::Region(end.to_owned())));
    }
    lines
}

/// What the two measured of one another, as the one that is named first would say it.
fn link(round: &Round, region: &str, peer: &str) -> Option<LinkSeen> {
    let of = |one: &str, other: &str| {
        round.links.iter().rev().find(|seen| (seen.region.as_str(), seen.peer.as_str()) == (one, other)).cloned()
    };
    let turned = |seen: LinkSeen| LinkSeen {
        region: seen.peer,
        run: seen.peer_run,
        peer: seen.region,
        peer_run: seen.run,
        apart_ns: Interval::exactly(0).minus(seen.apart_ns),
        false_by_ns: seen.false_by_ns,
    };
    of(region, peer).or_else(|| of(peer, region).map(turned))
}

/// A picture of how far their references were from one another.
fn references(rounds: &[Round], seen: &[Option<LinkSeen>], (region, peer): (&str, &str)) -> Vec<String> {
    let apart: Vec<Option<Interval>> = seen.iter().map(|seen| seen.as_ref().map(|seen| seen.apart_ns)).collect();
    // References may be far from one another: what changes is to be seen.
    let begin_ns = apart.iter().flatten().next().map_or(0, |apart| apart.middle());
    let apart: Vec<Option<Interval>> =
        apart.into_iter().map(|apart| apart.map(|apart| apart.against(begin_ns))).collect();
    let what = format!("REF of {peer} less that of {region}, less {} at the begin", signed(begin_ns));
    let mut lines = vec![titled(rounds, &what, "")];
    lines.extend(plot::draw(&apart, u64::MAX));
    lines.push(String::new());
    lines
}

/// The same of most of their wall clocks, by what the two measured of one another; nothing where that is not known.
fn walls(rounds: &[Round], seen: &[Option<LinkSeen>], (region, peer): (&str, &str)) -> Vec<String> {
    let apart = |(round, link): (&Round, &Option<LinkSeen>)| {
        let link = link.as_ref()?;
        let wall = |region: &str, run: u64| {
            let of = round.nodes.iter().filter(|seen| seen.region == region && seen.run == run);
            median(of.filter_map(|seen| seen.skew_ns).collect())
        };
        Some(wall(region, link.run)?.minus(wall(peer, link.peer_run)?).minus(link.apart_ns))
    };
    let apart: Vec<Option<Interval>> = rounds.iter().zip(seen).map(apart).collect();
    let Some(last) = apart.iter().rev().find_map(|apart| *apart) else { return Vec::new() };
    let (middle, half) = (signed(last.middle()), quantity(last.half_width(), Unit::Ns));
    let what = format!("Most wall clocks of {region} less those of {peer}: {middle} at last, +-{half}");
    let mut lines = vec![titled(rounds, &what, "")];
    lines.extend(plot::draw(&apart, u64::MAX));
    lines.push(String::new());
    lines
}
