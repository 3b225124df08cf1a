//! `syncline skew --regions`: what is known of every two regions, and which of their words cannot be true.

use serde::{Deserialize, Serialize};

use crate::colour::Palette;
use crate::source::Source;
use crate::table::{Align, Table};
use crate::units;

/// Two regions, or a region and UTC, as the root's aggregator last found them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RegionPair {
    region: String,
    /// The other region; `(utc)` is UTC.
    peer: String,
    /// Runs of their references: aggregators of one region have one each.
    ref_run: u64,
    peer_run: u64,
    /// The peer's reference - the region's.
    off_ns: i64,
    low_ns: i64,
    high_ns: i64,
    /// By their own link, or the region's own claim; none where there is none.
    direct_low_ns: Option<i64>,
    direct_high_ns: Option<i64>,
    /// Of that: unknown (there is none), consistent, doubted, false.
    verdict: String,
    /// It is off by at least so much.
    off_by_ns: u64,
    /// Milliseconds since this was stored.
    age_ms: i64,
}

/// Those of the last time that regions were put together, or shortly before.
const PAIRS: &str = "SELECT toString(region) AS region, toString(peer) AS peer, ref_run, peer_run, off AS off_ns, low AS low_ns, high AS high_ns, \
    if(direct = 1, direct_low, NULL) AS direct_low_ns, if(direct = 1, direct_high, NULL) AS direct_high_ns, \
    toString(verdict) AS verdict, off_by_ns, dateDiff('millisecond', created, now64(3, 'UTC')) AS age_ms \
    FROM (SELECT * FROM region_pairs WHERE created > (SELECT max(created) FROM region_pairs) - INTERVAL 30 SECOND ORDER BY created DESC LIMIT 1 BY region, peer, ref_run, peer_run) \
    ORDER BY region, peer, ref_run, peer_run";

pub(crate) async fn find(source: &Source) -> anyhow::Result<Vec<RegionPair>> {
    source.rows(PAIRS, &[]).await
}

pub(crate) fn text(pairs: &[RegionPair], width: usize, palette: Palette) -> String {
    if pairs.is_empty() {
        return "no two regions are known against each other: give their aggregators --root and --peer; what they measure \
            is put together every 10 s\n"
            .to_owned();
    }
    let mut lines = crate::skew::with_heading(&table(pairs), width, palette);
    if let Some(age_ms) = pairs.iter().map(|pair| pair.age_ms).min() {
        lines.extend([
            String::new(),
            format!("Put together at the root {}; it does so every 10 s.", crate::skew::age(age_ms)),
        ]);
    }
    let untrue: Vec<String> = pairs.iter().filter_map(RegionPair::untrue).collect();
    if !untrue.is_empty() {
        lines.push(String::new());
        lines.extend(untrue);
    }
    lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
}

fn table(pairs: &[RegionPair]) -> Table {
    let mut table = Table::new(&[
        ("REGION", Align::Left),
        ("PEER", Align::Left),
        ("PEER AHEAD BY", Align::Right),
        ("BETWEEN", Align::Right),
        ("AND", Align::Right),
        ("BOUND", Align::Right),
        ("BY THEMSELVES", Align::Right),
        ("VERDICT", Align::Left),
    ]);
    for pair in pairs {
        let half = pair.high_ns.abs_diff(pair.low_ns) / 2;
        let direct = pair.direct_high_ns.zip(pair.direct_low_ns).map(|(high, low)| high.abs_diff(low) / 2);
        table.push(&[
            name(&pair.region, pair.ref_run, pairs),
            name(&pair.peer, pair.peer_run, pairs),
            units::offset(pair.off_ns, Some(half)),
            units::offset(pair.low_ns, Some(half)),
            units::offset(pair.high_ns, Some(half)),
            units::bound(Some(half)),
            direct.map_or_else(|| "-".to_owned(), |half| units::bound(Some(half))),
            pair.verdict.clone(),
        ]);
    }
    table
}

/// A region, and which of its references where it has several.
fn name(region: &str, run: u64, pairs: &[RegionPair]) -> String {
    let ends = pairs.iter().flat_map(|pair| [(&pair.region, pair.ref_run), (&pair.peer, pair.peer_run)]);
    let has_several = ends.into_iter().any(|(other, other_run)| other == region && other_run != run);
    if has_several { format!("{region}/{:04x}", run >> 48) } else { region.to_owned() }
}

impl RegionPair {
    /// What is not true of what the two say of each other, in a line.
    fn untrue(&self) -> Option<String> {
        let said = if self.peer == "(utc)" {
            format!("what {} claims of UTC", self.region)
        } else {
            format!("what {} and {} measure of each other", self.region, self.peer)
        };
        let off_by = units::span(self.off_by_ns);
        match self.verdict.as_str() {
            "false" => Some(format!("{said} is false: it is off by at least {off_by}, or all others are")),
            "doubted" if self.off_by_ns > 0 => {
                Some(format!("{said} is doubted: it is off by at least {off_by}, or others are, which is less likely"))
            }
            "doubted" => Some(format!("{said} is doubted: it is far from all that the others say")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(region: &str, peer: &str, direct: bool, verdict: &str, off_by_ns: u64) -> RegionPair {
        RegionPair {
            region: region.into(),
            peer: peer.into(),
            ref_run: 1,
            peer_run: u64::from(peer != "(utc)"),
            off_ns: 40_000_000,
            low_ns: 39_400_000,
            high_ns: 40_600_000,
            direct_low_ns: direct.then_some(25_000_000),
            direct_high_ns: direct.then_some(55_000_000),
            verdict: verdict.into(),
            off_by_ns,
            age_ms: 3_000,
        }
    }

    #[test]
    fn a_pair_has_a_line_and_what_is_untrue_another() {
        let pairs = [
            pair("ap", "eu", true, "consistent", 0),
            pair("ap", "us", false, "unknown", 0),
            pair("eu", "(utc)", true, "false", 41_000_000),
        ];
        let text = text(&pairs, 200, Palette { enabled: false });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "REGION  PEER   PEER AHEAD BY    BETWEEN        AND    BOUND  BY THEMSELVES  VERDICT",
                "ap      eu         +40.00 ms  +39.40 ms  +40.60 ms  ±600 µs       ±15.0 ms  consistent",
                "ap      us         +40.00 ms  +39.40 ms  +40.60 ms  ±600 µs              -  unknown",
                "eu      (utc)      +40.00 ms  +39.40 ms  +40.60 ms  ±600 µs       ±15.0 ms  false",
                "",
                "Put together at the root 3.00 s ago; it does so every 10 s.",
                "",
                "what eu claims of UTC is false: it is off by at least 41.0 ms, or all others are",
            ],
            "{text}"
        );
    }

    #[test]
    fn without_pairs_it_says_what_is_missing() {
        assert!(text(&[], 80, Palette { enabled: false }).contains("--peer"));
    }
}
