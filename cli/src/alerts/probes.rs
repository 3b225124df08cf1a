//! The probes that an incident rests on: the best of each part of its time.

use serde::Deserialize;
use syncline_alerts::Unit;
use syncline_alerts::text::quantity;

use super::evidence::signed;
use crate::source::Source;
use crate::table::{Align, Table};
use crate::time;

/// Probes that are shown at most.
const MOST: i64 = 16;
const MS: i64 = 1_000_000;

#[derive(Debug, Deserialize)]
struct Probe {
    at_ns: i64,
    round_trip_ns: u64,
    kind: String,
    used: u8,
    /// WALL - REF by this probe alone, where the wall clock is known then.
    is_placed: u8,
    skew_ns: i64,
}

/// Of what was inserted in a part of the time the one with the least round trip. Offsets are of the wall clock as the segment has it that
/// covers the probe.
const BEST: &str = "SELECT at_ns, rtt_ns AS round_trip_ns, toString(probe_kind) AS kind, used, toUInt8(wall_off != 0) AS is_placed, \
    wall_off - intDiv(t2 + t3 - t1 - t4, 2) AS skew_ns FROM (\
    SELECT region, node, boot, t1, t2, t3, t4, rtt_ns, kind AS probe_kind, used, toUnixTimestamp64Nano(at) AS at_ns, received FROM clock_probes \
    WHERE region = {region:String} AND node = {node:String} AND toUnixTimestamp64Milli(received) > {from:Int64} \
    AND toUnixTimestamp64Milli(received) <= {to:Int64} \
    ORDER BY rtt_ns, t1 LIMIT 1 BY intDiv(toUnixTimestamp64Milli(received) - {from:Int64} - 1, {part:Int64})) AS probes \
    ASOF LEFT JOIN (SELECT region, node, boot, toInt64(mono_to) AS mono_to, wall_off FROM clock_segments_log WHERE region = {region:String} AND node = {node:String} \
    AND toUnixTimestamp64Milli(created) > {from:Int64} AND toUnixTimestamp64Milli(created) <= {to:Int64} + 600000) AS segments \
    ON probes.region = segments.region AND probes.node = segments.node AND probes.boot = segments.boot AND segments.mono_to >= probes.t1 \
    ORDER BY at_ns LIMIT 16";

/// Those of a node between two times, ms by the database's clock.
pub(super) async fn lines(
    source: &Source,
    (region, node): (&str, &str),
    (from_ms, to_ms): (i64, i64),
) -> anyhow::Result<Vec<String>> {
    let part_ms = (to_ms - from_ms).max(MOST).div_euclid(MOST) + 1;
    let numbers = [("from", from_ms), ("to", to_ms), ("part", part_ms)];
    let names = [("region", region), ("node", node)].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let params: Vec<(String, String)> =
        names.into_iter().chain(numbers.map(|(name, value)| (name.to_owned(), value.to_string()))).collect();
    let probes: Vec<Probe> = source.rows(BEST, &params).await?;
    if probes.is_empty() {
        return Ok(Vec::new());
    }
    let part = quantity(part_ms.unsigned_abs().saturating_mul(MS.unsigned_abs()), Unit::Ns);
    let mut lines = vec![format!("The best probe of each {part}, by the region's reference:")];
    lines.extend(table(&probes).lines(usize::MAX));
    lines.push(String::new());
    Ok(lines)
}

fn table(probes: &[Probe]) -> Table {
    let mut table = Table::new(&[
        ("TIME", Align::Left),
        ("ROUND TRIP", Align::Right),
        ("OFFSET FROM REF", Align::Right),
        ("+-", Align::Right),
        ("PATH", Align::Left),
        ("", Align::Left),
    ]);
    for Probe { at_ns, round_trip_ns, kind, used, is_placed, skew_ns } in probes {
        table.push(&[
            time::time_of_day(*at_ns, 3),
            quantity(*round_trip_ns, Unit::Ns),
            if *is_placed == 1 { signed(*skew_ns) } else { "-".to_owned() },
            quantity(round_trip_ns / 2, Unit::Ns),
            kind.clone(),
            if *used == 1 { String::new() } else { "not used".to_owned() },
        ]);
    }
    table
}
