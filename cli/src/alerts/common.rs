//! What nodes have in common, and what regions and messages say of their clocks, in lines. Pure.

use std::collections::BTreeMap;

use syncline_alerts::round::{RegionSeen, Violation};
use syncline_alerts::text::quantity;
use syncline_alerts::{Round, Unit};

use super::about::About;
use super::evidence::signed;
use crate::time;

/// How many nodes of it were known, were set, or had their clocks disrupted.
pub(super) fn counts(rounds: &[Round], about: &About) -> Vec<String> {
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
pub(super) fn word(rounds: &[Round], region: &str) -> Vec<String> {
    let said: Vec<&RegionSeen> =
        rounds.iter().flat_map(|round| &round.regions).filter(|seen| seen.region == region).collect();
    let utc = said.iter().rev().find_map(|seen| seen.utc_ns).map_or_else(
        || "UTC - REF is not known".to_owned(),
        |utc| format!("REF - UTC is {} at last, +-{}", signed(utc.middle()), quantity(utc.half_width(), Unit::Ns)),
    );
    let false_by = falsehood(said.iter().map(|seen| seen.false_by_ns));
    vec![format!("{region}: {utc}; its aggregator's claim of UTC {false_by}")]
}

/// In how many of the rounds in which something was said it was false, and by how much at most.
pub(super) fn falsehood(said: impl Iterator<Item = Option<u64>>) -> String {
    let said: Vec<Option<u64>> = said.collect();
    let count = said.iter().flatten().count();
    match said.iter().flatten().max() {
        Some(most) => format!("was false {count} of {} times, by {} at most", said.len(), quantity(*most, Unit::Ns)),
        None if said.is_empty() => "was not heard".to_owned(),
        None => "was not seen to be false".to_owned(),
    }
}

/// The most pairs of nodes that are told of.
const MOST_PAIRS: usize = 10;

/// Messages that were received before they were sent: of which nodes, in how many rounds, and by how much at most.
pub(super) fn violations(rounds: &[Round], about: &About) -> Vec<String> {
    let mut pairs = BTreeMap::<_, (usize, u64, u64)>::new();
    for violation in rounds.iter().flat_map(|round| &round.violations) {
        let Violation { from, to, messages, by_ns } = violation;
        if [from, to].into_iter().any(|(region, node)| about.is_at(region, node)) {
            let (rounds, all, most_ns) = pairs.entry((from, to)).or_default();
            (*rounds, *all, *most_ns) = (*rounds + 1, all.saturating_add(*messages), (*most_ns).max(*by_ns));
        }
    }
    let more = pairs.len().saturating_sub(MOST_PAIRS);
    let mut lines = Vec::new();
    for ((from, to), (rounds, messages, by_ns)) in pairs.into_iter().take(MOST_PAIRS) {
        let (from, to) = (format!("{}/{}", from.0, from.1), format!("{}/{}", to.0, to.1));
        let by = quantity(by_ns, Unit::Ns);
        lines.push(format!(
            "{from} to {to}: {messages} messages were received before they were sent, in {rounds} rounds; the two clocks are off against one \
             another by {by} at least"
        ));
    }
    lines.extend((more > 0).then(|| format!("and {more} more pairs of nodes")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_that_contradict_clocks_are_shown() {
        let at = |node: &str| ("eu".to_owned(), node.to_owned());
        let told = Violation { from: at("eu-1"), to: at("eu-2"), messages: 5, by_ns: 3_000_000 };
        let round = Round { violations: vec![told], ..Round::default() };
        let rounds = [Round::default(), round.clone(), round];
        let line = "eu/eu-1 to eu/eu-2: 10 messages were received before they were sent, in 2 rounds; the two clocks are off against one another \
                    by 3.00 ms at least";
        let of = |node: &str| About::Node("eu".into(), node.into());
        for about in [of("eu-1"), of("eu-2"), About::Region("eu".into()), About::Fleet] {
            assert_eq!(violations(&rounds, &about), [line], "{about:?}");
        }
        assert!(violations(&rounds, &of("eu-0")).is_empty());
        assert!(violations(&rounds, &About::Region("us".into())).is_empty());
    }
}
