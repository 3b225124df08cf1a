//! `syncline skew`: how far each node's clock is off, how sure that is, and how fast it drifts.

use std::io::{self, Write};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use crate::args::{Format, SkewArgs, StoreArgs};
use crate::colour::{Colour, Palette};
use crate::source::Source;
use crate::table::{Align, Table};
use crate::{message_pairs, region_pairs, terminal, units};

/// What is known about the clocks of the fleet.
#[derive(Debug, Serialize)]
struct Skews {
    nodes: Vec<NodeSkew>,
    /// The regions' clocks against the fleet's, the root's; the root itself has no entry.
    regions: Vec<RegionSkew>,
    /// What nodes say of their own wall clocks and the probes contradict.
    false_claims: Vec<FalseClaim>,
    /// Of which two regions' references one was disrupted within the last day.
    disrupted_references: Vec<DisruptedReferences>,
}

/// The references of two regions, one of which was disrupted: which of them is not known.
#[derive(Debug, Serialize, Deserialize)]
struct DisruptedReferences {
    /// The region that saw it.
    region: String,
    peer: String,
    times: u64,
    /// When last, in RFC 3339.
    last: String,
}

/// REF - wall of the node, by its claim and as measured.
#[derive(Debug, Serialize, Deserialize)]
struct FalseClaim {
    region: String,
    node: String,
    /// Who claims it.
    source: String,
    claimed_low_ns: i64,
    claimed_high_ns: i64,
    measured_low_ns: i64,
    measured_high_ns: i64,
    /// When, in RFC 3339.
    at: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct NodeSkew {
    region: String,
    node: String,
    status: String,
    /// The node's wall clock - the fleet's clock.
    offset_ns: i64,
    /// Half width of the interval that holds the true offset; none if nothing is known.
    bound_ns: Option<u64>,
    /// What the bound assumes.
    bound_class: String,
    /// How much too fast (+) the node's oscillator runs, in 1e-9.
    drift_ppb: i64,
    /// For which time this holds, in RFC 3339.
    as_of: String,
    /// Milliseconds since the newest probe was stored.
    probe_age_ms: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct RegionSkew {
    region: String,
    root: String,
    status: String,
    /// The region's reference clock - the root's.
    offset_ns: i64,
    bound_ns: Option<u64>,
    drift_ppb: i64,
    /// Milliseconds since the newest estimate was stored.
    age_ms: i64,
}

const NODES: &str = "SELECT region, node, toString(status) AS status, wall_offset_ns AS offset_ns, \
    nullIf(err_ns, 18446744073709551615) AS bound_ns, toString(bound_class) AS bound_class, drift_ppb, \
    concat(replaceOne(toString(as_of), ' ', 'T'), 'Z') AS as_of, probe_age_ms \
    FROM skew_now ORDER BY region, node";

const REGIONS: &str = "SELECT region, root, toString(status) AS status, -off_to AS offset_ns, \
    nullIf(err_to_ns, 18446744073709551615) AS bound_ns, -rate_ppb AS drift_ppb, \
    dateDiff('millisecond', created, now64(3, 'UTC')) AS age_ms \
    FROM (SELECT * FROM region_clock FINAL ORDER BY ref_from DESC LIMIT 1 BY region) ORDER BY region";

/// The newest claim of each, if it is false. Nodes that have said nothing for an hour, by what others have said, are gone.
const FALSE_CLAIMS: &str = "SELECT * EXCEPT verdict FROM (SELECT toString(region) AS region, toString(node) AS node, toString(source) AS source, \
    claimed_low_ns, claimed_high_ns, measured_low_ns, measured_high_ns, concat(replaceOne(toString(clock_claims.at), ' ', 'T'), 'Z') AS at, \
    verdict FROM clock_claims WHERE clock_claims.at > (SELECT max(clock_claims.at) FROM clock_claims) - INTERVAL 1 HOUR \
    ORDER BY clock_claims.at DESC LIMIT 1 BY region, node, source) \
    WHERE verdict = 'contradicted' ORDER BY region, node, source";

/// Rows may have come twice.
const DISRUPTED_REFERENCES: &str = "SELECT toString(region) AS region, toString(peer) AS peer, count() AS times, \
    concat(replaceOne(toString(max(until)), ' ', 'T'), 'Z') AS last \
    FROM (SELECT DISTINCT region, peer, boot, ref_run, mono_to, clock_disruptions.at AS until FROM clock_disruptions \
    WHERE node = '' AND clock_disruptions.at > now64(9, 'UTC') - INTERVAL 1 DAY) GROUP BY region, peer ORDER BY region, peer";

const NOTE: [&str; 2] = [
    "OFFSET is the wall clock minus the fleet's clock; the true offset lies within OFFSET ± BOUND.",
    "An asymmetry of the path that never changes cannot be seen, only bounded.",
];

pub(crate) async fn run(store: &StoreArgs, args: &SkewArgs) -> anyhow::Result<ExitCode> {
    let source = Source::open(store).await?;
    let found = found(&source, args).await;
    source.close().await?;
    let (text, code) = found?;
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(code)
}

/// A message contradicts the clocks.
const CONTRADICTED: u8 = 3;

/// What is asked for, as it is to be printed, and the exit code that says it.
async fn found(source: &Source, args: &SkewArgs) -> anyhow::Result<(String, ExitCode)> {
    let palette = Palette { enabled: terminal::wants_colour() };
    let width = if terminal::is_terminal() { terminal::width() } else { usize::MAX };
    if args.pairs {
        let pairs = message_pairs::find(source, args).await?;
        let text = match args.format {
            Format::Text => message_pairs::text(&pairs, width, palette),
            Format::Json => serde_json::to_string_pretty(&pairs)? + "\n",
        };
        let contradicted = pairs.iter().any(message_pairs::NodePair::is_contradicted);
        return Ok((text, if contradicted { ExitCode::from(CONTRADICTED) } else { ExitCode::SUCCESS }));
    }
    let text = match (args.regions, args.format) {
        (false, Format::Text) => find(source).await?.text(width, palette),
        (false, Format::Json) => serde_json::to_string_pretty(&find(source).await?)? + "\n",
        (true, Format::Text) => region_pairs::text(&region_pairs::find(source).await?, width, palette),
        (true, Format::Json) => serde_json::to_string_pretty(&region_pairs::find(source).await?)? + "\n",
    };
    Ok((text, ExitCode::SUCCESS))
}

async fn find(source: &Source) -> anyhow::Result<Skews> {
    let (nodes, regions) = (source.rows(NODES, &[]).await?, source.rows(REGIONS, &[]).await?);
    let false_claims = source.rows(FALSE_CLAIMS, &[]).await?;
    let disrupted_references = source.rows(DISRUPTED_REFERENCES, &[]).await?;
    Ok(Skews { nodes, regions, false_claims, disrupted_references })
}

impl DisruptedReferences {
    fn text(&self) -> String {
        let Self { region, peer, times, last } = self;
        let often = if *times == 1 { "once".to_owned() } else { format!("{times} times") };
        format!("{region}: its reference or that of {peer} was disrupted {often} within the last day, at {last}")
    }
}

impl FalseClaim {
    fn text(&self) -> String {
        let Self { node, source, claimed_low_ns, claimed_high_ns, measured_low_ns, measured_high_ns, at, .. } = self;
        let interval = |low: i64, high: i64| {
            let half = high.abs_diff(low) / 2;
            format!("{} {}", units::offset(low.saturating_add_unsigned(half), Some(half)), units::bound(Some(half)))
        };
        format!(
            "{node}: what {source} said of the wall clock at {at} is false: the reference is ahead of it by {} by its claim, by {} as measured",
            interval(*claimed_low_ns, *claimed_high_ns),
            interval(*measured_low_ns, *measured_high_ns)
        )
    }
}

impl Skews {
    fn text(&self, width: usize, palette: Palette) -> String {
        if self.nodes.is_empty() {
            return "no node's clock is known yet: an agent's first estimates come within seconds of its start\n"
                .to_owned();
        }
        let mut lines = with_heading(&self.node_table(), width, palette);
        if !self.regions.is_empty() {
            lines.push(String::new());
            lines.extend(with_heading(&self.region_table(), width, palette));
        }
        if !self.false_claims.is_empty() {
            lines.push(String::new());
            lines.extend(self.false_claims.iter().map(FalseClaim::text));
        }
        if !self.disrupted_references.is_empty() {
            lines.push(String::new());
            lines.extend(self.disrupted_references.iter().map(DisruptedReferences::text));
        }
        lines.push(String::new());
        lines.extend(NOTE.map(str::to_owned));
        lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    fn node_table(&self) -> Table {
        let mut table = Table::new(&[
            ("REGION", Align::Left),
            ("NODE", Align::Left),
            ("OFFSET", Align::Right),
            ("BOUND", Align::Right),
            ("DRIFT", Align::Right),
            ("STATUS", Align::Left),
            ("LAST PROBE", Align::Right),
        ]);
        for node in &self.nodes {
            table.push(&[
                node.region.clone(),
                node.node.clone(),
                offset(node.offset_ns, node.bound_ns, &node.status),
                units::bound(node.bound_ns),
                units::ppm(node.drift_ppb),
                node.status.clone(),
                node.probe_age_ms.map_or_else(|| "never".to_owned(), age),
            ]);
        }
        table
    }

    fn region_table(&self) -> Table {
        let mut table = Table::new(&[
            ("REGION", Align::Left),
            ("AGAINST", Align::Left),
            ("OFFSET", Align::Right),
            ("BOUND", Align::Right),
            ("DRIFT", Align::Right),
            ("STATUS", Align::Left),
            ("LAST ESTIMATE", Align::Right),
        ]);
        for region in &self.regions {
            table.push(&[
                region.region.clone(),
                region.root.clone(),
                offset(region.offset_ns, region.bound_ns, &region.status),
                units::bound(region.bound_ns),
                units::ppm(region.drift_ppb),
                region.status.clone(),
                age(region.age_ms),
            ]);
        }
        table
    }
}

/// An offset of a clock about which nothing is known is no number.
fn offset(ns: i64, bound_ns: Option<u64>, status: &str) -> String {
    if bound_ns.is_none() && status == "unknown" { "-".to_owned() } else { units::offset(ns, bound_ns) }
}

pub(crate) fn age(ms: i64) -> String {
    // The database's clock may be set back between the two readings.
    let ns = u64::try_from(ms).unwrap_or(0).saturating_mul(1_000_000);
    format!("{} ago", units::span(ns))
}

pub(crate) fn with_heading(table: &Table, width: usize, palette: Palette) -> Vec<String> {
    let mut lines = table.lines(width);
    if let Some(heading) = lines.first_mut() {
        *heading = palette.paint(Colour::Bold, heading);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, offset_ns: i64, bound_ns: Option<u64>, status: &str) -> NodeSkew {
        NodeSkew {
            region: "eu-west".into(),
            node: name.into(),
            status: status.into(),
            offset_ns,
            bound_ns,
            bound_class: "hard".into(),
            drift_ppb: -12_345,
            as_of: "2026-11-23T14:05:00Z".into(),
            probe_age_ms: Some(800),
        }
    }

    #[test]
    fn every_node_has_a_line_with_scaled_units() {
        let skews = Skews {
            nodes: vec![node("a", 3_000_123_456, Some(150_000), "synchronized"), node("b", 0, None, "unknown")],
            regions: vec![RegionSkew {
                region: "us-east".into(),
                root: "eu-west".into(),
                status: "free_running".into(),
                offset_ns: -42_000,
                bound_ns: Some(90_000),
                drift_ppb: 5,
                age_ms: 61_000,
            }],
            false_claims: Vec::new(),
            disrupted_references: vec![DisruptedReferences {
                region: "us-east".into(),
                peer: "eu-west".into(),
                times: 2,
                last: "2026-11-23T14:05:00Z".into(),
            }],
        };
        let text = skews.text(200, Palette { enabled: false });
        let lines: Vec<&str> = text.lines().take(8).collect();
        assert_eq!(
            lines,
            [
                "REGION   NODE      OFFSET    BOUND        DRIFT  STATUS        LAST PROBE",
                "eu-west  a     +3.00012 s  ±150 µs  -12.345 ppm  synchronized  800 ms ago",
                "eu-west  b              -  unknown  -12.345 ppm  unknown       800 ms ago",
                "",
                "REGION   AGAINST  OFFSET     BOUND       DRIFT  STATUS        LAST ESTIMATE",
                "us-east  eu-west  -42 µs  ±90.0 µs  +0.005 ppm  free_running     61.0 s ago",
                "",
                "us-east: its reference or that of eu-west was disrupted 2 times within the last day, at 2026-11-23T14:05:00Z",
            ]
        );
    }

    #[test]
    fn an_empty_fleet_says_so() {
        let (nodes, regions, false_claims, disrupted_references) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let skews = Skews { nodes, regions, false_claims, disrupted_references };
        assert!(skews.text(80, Palette { enabled: false }).starts_with("no node's clock is known yet"));
    }
}
