//! `syncline skew --pairs`: what nodes sent one another, held against the clocks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::args::SkewArgs;
use crate::colour::Palette;
use crate::failure::usage;
use crate::source::Source;
use crate::table::{Align, Table};
use crate::{time, units};

/// The store's check of a minute comes later than that, so the newest are looked at here.
const UNCHECKED_NS: i64 = 240_000_000_000;
const MINUTE_NS: i64 = 60_000_000_000;

/// Messages of one node to another.
#[derive(Debug, Clone, Deserialize)]
struct OneWay {
    src_region: String,
    src_node: String,
    dst_region: String,
    dst_node: String,
    pairs: u64,
    violated: u64,
    cannot_tell: u64,
    ambiguous: u64,
    /// Least receipt - send; of no use without pairs.
    least_gap_ns: i64,
    /// Least of the most that receipt - send can be, by the bounds.
    slack_ns: i64,
}

/// Messages of two nodes to each other, or of one to itself.
#[derive(Debug, Serialize)]
pub(crate) struct NodePair {
    region: String,
    node: String,
    peer_region: String,
    peer: String,
    /// Marks of which both the send and the receipt are known.
    messages: u64,
    /// Of these, proved to be received before they were sent.
    violated: u64,
    cannot_tell: u64,
    /// Left out: seen more than once at an end.
    ambiguous: u64,
    /// Least estimated way from node to peer, and back; none where no message went.
    least_there_ns: Option<i64>,
    least_back_ns: Option<i64>,
    /// Both together: a round trip, in which an error of the clocks that does not change cancels out.
    sum_ns: Option<i64>,
    /// By how much the closest message is short of a violation; negative if it is one.
    slack_ns: Option<i64>,
    /// contradicted, doubted, consistent.
    clocks: &'static str,
}

const CHECKED: &str = "SELECT toString(src_region) AS src_region, toString(src_node) AS src_node, toString(dst_region) AS dst_region, \
    toString(dst_node) AS dst_node, sum(p.pairs) AS pairs, sum(p.violated) AS violated, sum(p.cannot_tell) AS cannot_tell, \
    sum(p.ambiguous) AS ambiguous, minIf(p.least_gap_ns, p.pairs > 0) AS least_gap_ns, minIf(p.slack_ns, p.pairs > 0) AS slack_ns \
    FROM pair_checks AS p FINAL WHERE minute >= toDateTime({since:Int64}, 'UTC') GROUP BY src_region, src_node, dst_region, dst_node";

const UNCHECKED: &str = "SELECT toString(src_region) AS src_region, toString(src_node) AS src_node, toString(dst_region) AS dst_region, \
    toString(dst_node) AS dst_node, pairs, violated, cannot_tell, ambiguous, least_gap_ns, slack_ns \
    FROM pair_sums(t0 = fromUnixTimestamp64Nano(toInt64({t0:Int64}), 'UTC'), t1 = fromUnixTimestamp64Nano(toInt64({t1:Int64}), 'UTC'))";

/// End of what is checked, and of the messages; both ns since 1970, 0 = there are none.
const ENDS: &str = "SELECT (SELECT toInt64(toUInt32(max(minute))) FROM pair_checks) * 1000000000 AS checked, \
    (SELECT toInt64(toUInt32(max(bucket))) FROM messages) * 1000000000 AS told";

#[derive(Debug, Deserialize)]
struct Ends {
    checked: i64,
    told: i64,
}

pub(crate) async fn find(source: &Source, args: &SkewArgs) -> anyhow::Result<Vec<NodePair>> {
    let since = args.since.as_deref().unwrap_or("-1h");
    let since = time::parse(since, time::now_ns()).map_err(|error| usage(format!("--since: {error}")))?;
    let mut ways: Vec<OneWay> =
        source.rows(CHECKED, &[("since".to_owned(), (since / 1_000_000_000).to_string())]).await?;
    let ends: Vec<Ends> = source.rows(ENDS, &[]).await?;
    if let Some((t0, t1)) = ends.first().and_then(|ends| ends.unchecked(since)) {
        let params = [("t0".to_owned(), t0.to_string()), ("t1".to_owned(), t1.to_string())];
        ways.extend(source.rows::<OneWay>(UNCHECKED, &params).await?);
    }
    let mut pairs = together(&ways);
    if let Some(node) = &args.node {
        pairs.retain(|pair| pair.node == *node || pair.peer == *node);
    }
    Ok(pairs)
}

impl Ends {
    /// What is not checked yet: whole minutes.
    fn unchecked(&self, since: i64) -> Option<(i64, i64)> {
        let checked = if self.checked > 0 { self.checked + MINUTE_NS } else { 0 };
        // Buckets are stamped before alignment: messages may be a little later.
        let end = self.told + 2 * MINUTE_NS;
        let begin = checked.max(end - UNCHECKED_NS).max(since);
        (self.told > 0 && begin < end).then_some((begin, end))
    }
}

/// Both ways of each two nodes.
fn together(ways: &[OneWay]) -> Vec<NodePair> {
    let mut pairs: BTreeMap<_, [Vec<&OneWay>; 2]> = BTreeMap::new();
    for way in ways {
        let (src, dst) = ((&way.src_region, &way.src_node), (&way.dst_region, &way.dst_node));
        let (key, place) = if src <= dst { ((src, dst), 0) } else { ((dst, src), 1) };
        pairs.entry(key).or_default()[place].push(way);
    }
    pairs.into_iter().map(|((node, peer), ways)| NodePair::of(node, peer, &ways)).collect()
}

impl NodePair {
    fn of(
        (region, node): (&String, &String),
        (peer_region, peer): (&String, &String),
        ways: &[Vec<&OneWay>; 2],
    ) -> Self {
        let all = || ways.iter().flatten();
        let sum = |number: fn(&OneWay) -> u64| all().map(|way| number(way)).fold(0, u64::saturating_add);
        let least = |place: usize| ways[place].iter().filter(|way| way.pairs > 0).map(|way| way.least_gap_ns).min();
        let (there, back) = (least(0), least(1));
        let sum_ns = there.zip(back).map(|(there, back)| there.saturating_add(back));
        let violated = sum(|way| way.violated);
        Self {
            region: region.clone(),
            node: node.clone(),
            peer_region: peer_region.clone(),
            peer: peer.clone(),
            messages: sum(|way| way.pairs),
            violated,
            cannot_tell: sum(|way| way.cannot_tell),
            ambiguous: sum(|way| way.ambiguous),
            least_there_ns: there,
            least_back_ns: back,
            sum_ns,
            slack_ns: all()
                .filter(|way| way.pairs > 0)
                .map(|way| way.slack_ns)
                .filter(|slack| *slack != i64::MAX)
                .min(),
            clocks: match (violated, sum_ns) {
                (1.., _) => "contradicted",
                (0, Some(..0)) => "doubted",
                (0, _) => "consistent",
            },
        }
    }

    /// Whether a clock is proved to be wrong.
    pub(crate) fn is_contradicted(&self) -> bool {
        self.violated > 0
    }
}

pub(crate) fn text(pairs: &[NodePair], width: usize, palette: Palette) -> String {
    if pairs.is_empty() {
        return "no message is known at both of its ends: that takes two observed processes with a TCP connection between them, \
            without an address translation or a proxy in between\n"
            .to_owned();
    }
    let mut lines = crate::skew::with_heading(&table(pairs), width, palette);
    lines.push(String::new());
    lines.extend(NOTE.map(str::to_owned));
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

const NOTE: [&str; 3] = [
    "A message is sent before it is received: VIOLATED are those that the clocks prove otherwise, beyond their bounds.",
    "LEAST is the shortest way by the clocks; an error that does not change is in both ways, once with + and once with -, and not in SUM.",
    "What is not violated proves the clocks only to within the way of the message: SLACK is what they could still be off by.",
];

fn table(pairs: &[NodePair]) -> Table {
    let mut table = Table::new(&[
        ("NODE", Align::Left),
        ("PEER", Align::Left),
        ("MESSAGES", Align::Right),
        ("VIOLATED", Align::Right),
        ("CANNOT TELL", Align::Right),
        ("LEAST THERE", Align::Right),
        ("LEAST BACK", Align::Right),
        ("SUM", Align::Right),
        ("SLACK", Align::Right),
        ("CLOCKS", Align::Left),
    ]);
    let name = |region: &str, node: &str| format!("{region}/{node}");
    let signed = |ns: Option<i64>| ns.map_or_else(|| "-".to_owned(), signed);
    for pair in pairs {
        table.push(&[
            name(&pair.region, &pair.node),
            name(&pair.peer_region, &pair.peer),
            pair.messages.to_string(),
            pair.violated.to_string(),
            pair.cannot_tell.to_string(),
            signed(pair.least_there_ns),
            signed(pair.least_back_ns),
            signed(pair.sum_ns),
            signed(pair.slack_ns),
            pair.clocks.to_owned(),
        ]);
    }
    table
}

fn signed(ns: i64) -> String {
    let sign = if ns < 0 { "-" } else { "" };
    format!("{sign}{}", units::span(ns.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(src: &str, dst: &str, pairs: u64, violated: u64, least_gap_ns: i64, slack_ns: i64) -> OneWay {
        let (src, dst) = (src.split_once('/').unwrap(), dst.split_once('/').unwrap());
        OneWay {
            src_region: src.0.into(),
            src_node: src.1.into(),
            dst_region: dst.0.into(),
            dst_node: dst.1.into(),
            pairs,
            violated,
            cannot_tell: 1,
            ambiguous: 0,
            least_gap_ns,
            slack_ns,
        }
    }

    #[test]
    fn both_ways_of_two_nodes_are_one_line() {
        let ways = [
            way("us/b", "eu/a", 10, 0, 4_000_000, 4_100_000),
            way("eu/a", "us/b", 20, 0, 3_000_000, 3_200_000),
            way("eu/a", "us/b", 5, 0, 2_000_000, 2_500_000),
            way("eu/a", "eu/c", 7, 0, -9_000_000, i64::MAX),
            way("eu/c", "eu/a", 7, 3, 1_000_000, -8_000_000),
        ];
        let text = text(&together(&ways), 300, Palette { enabled: false });
        let lines: Vec<&str> = text.lines().take(3).collect();
        assert_eq!(
            lines,
            [
                "NODE  PEER  MESSAGES  VIOLATED  CANNOT TELL  LEAST THERE  LEAST BACK       SUM     SLACK  CLOCKS",
                "eu/a  eu/c        14         3            2     -9.00 ms     1.00 ms  -8.00 ms  -8.00 ms  contradicted",
                "eu/a  us/b        35         0            3      2.00 ms     4.00 ms   6.00 ms   2.50 ms  consistent",
            ],
            "{text}"
        );
    }

    #[test]
    fn a_sum_below_nothing_is_a_doubt_and_one_way_alone_is_none() {
        let doubted = together(&[way("a/a", "a/b", 1, 0, -5, 3), way("a/b", "a/a", 1, 0, 4, 3)]);
        assert_eq!((doubted[0].clocks, doubted[0].sum_ns, doubted[0].is_contradicted()), ("doubted", Some(-1), false));
        let alone = together(&[way("a/a", "a/b", 1, 0, -5, 3)]);
        assert_eq!((alone[0].clocks, alone[0].sum_ns, alone[0].least_back_ns), ("consistent", None, None));
    }

    #[test]
    fn what_is_not_checked_yet_is_looked_at_but_not_for_ever() {
        let minutes = |n: i64| n * MINUTE_NS;
        let unchecked = |checked, told| Ends { checked: minutes(checked), told: minutes(told) }.unchecked(0);
        assert_eq!(unchecked(100, 101), Some((minutes(101), minutes(103))));
        assert_eq!(unchecked(0, 101), Some((minutes(99), minutes(103))));
        assert_eq!(unchecked(103, 101), None);
        assert_eq!(unchecked(0, 0), None);
    }
}
