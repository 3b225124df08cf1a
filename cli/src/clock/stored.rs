//! A node's clock stream as it is in the store: its probes and the readings of its clocks beside them.

use std::io::{self, Write};

use serde::Deserialize;
use syncline_clock::ToldDisruption;
use syncline_timebase::{Instant, Knot, Probe, Span};

use super::args::WhichNode;
use super::asked::AskedWait;
use crate::failure::usage;
use crate::source::Source;
use crate::time;

/// A probe with the readings beside it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct StoredProbe {
    pub(crate) probe: Probe,
    /// Stamped by the kernels.
    pub(crate) by_udp: bool,
    /// Before it and after it, where there are any.
    pub(crate) knots: [Option<Knot>; 2],
}

/// What the store has of one node, in one boot and against one run of the reference.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct StoredStream {
    pub(crate) region: String,
    pub(crate) boot: u64,
    /// In order of their reception.
    pub(crate) probes: Vec<StoredProbe>,
    /// What its agent told of disruptions between them, in order of their begin.
    pub(crate) told: Vec<ToldDisruption>,
}

#[derive(Debug, Deserialize)]
struct ToldRow {
    since: i64,
    until: i64,
}

#[derive(Debug, Deserialize)]
struct Row {
    region: String,
    boot: u64,
    t1: i64,
    t2: i64,
    t3: i64,
    t4: i64,
    kind: String,
    before_mono: i64,
    before_raw_off: i64,
    before_wall_off: i64,
    before_bracket_ns: i64,
    after_mono: i64,
    after_raw_off: i64,
    after_wall_off: i64,
    after_bracket_ns: i64,
}

/// The boot and run of the probe within the window that is nearest to the time that is asked about; `t2` is the region's REF.
const PROBES: &str = "
WITH nearest AS (
    SELECT boot, ref_run FROM clock_probes
    WHERE node = {node:String} AND t2 >= {from:Int64} AND t2 < {to:Int64} AND ({boot:UInt64} = 0 OR boot = {boot:UInt64})
    ORDER BY abs(t2 - {at:Int64}), t2 DESC LIMIT 1
)
SELECT toString(region) AS region, boot, t1, t2, t3, t4, toString(kind) AS kind, before_mono, before_raw_off, before_wall_off,
    toInt64(before_bracket_ns) AS before_bracket_ns, after_mono, after_raw_off, after_wall_off, toInt64(after_bracket_ns) AS after_bracket_ns
FROM clock_probes
WHERE node = {node:String} AND t2 >= {from:Int64} AND t2 < {to:Int64} AND (boot, ref_run) IN nearest
ORDER BY t2";

/// Two aggregators that both stored a batch have both told.
const TOLD: &str = "
SELECT DISTINCT toInt64(mono_from) AS since, toInt64(mono_to) AS until
FROM clock_disruptions
WHERE region = {region:String} AND node = {node:String} AND boot = {boot:UInt64} AND mono_from >= {first:UInt64} AND mono_to <= {last:UInt64}
ORDER BY since, until";

/// What the store has of the node that is asked for, around a time that lies between the two others.
pub(crate) async fn read(
    source: &Source,
    which: &WhichNode,
    [from_ns, at_ns, until_ns]: [i64; 3],
) -> anyhow::Result<StoredStream> {
    let param = |name: &str, value: String| (name.to_owned(), value);
    let params = [
        param("node", which.node.clone()),
        param("from", from_ns.to_string()),
        param("at", at_ns.to_string()),
        param("to", until_ns.to_string()),
        param("boot", which.boot.unwrap_or(0).to_string()),
    ];
    let rows: Vec<Row> = source.rows(PROBES, &params).await?;
    let Some(first) = rows.first() else {
        return Err(usage(format!(
            "the store has no probe of node {:?} between {} and {}: `syncline skew` lists the nodes; --since reaches further back, for three days at most",
            which.node,
            time::date_and_time(from_ns),
            time::date_and_time(until_ns)
        )));
    };
    let probes = rows.iter().map(StoredProbe::of).collect();
    let told = read_told(source, &which.node, &rows).await?;
    Ok(StoredStream { region: first.region.clone(), boot: first.boot, probes, told })
}

/// What the agent told of between the first of the probes and the last.
async fn read_told(source: &Source, node: &str, probes: &[Row]) -> anyhow::Result<Vec<ToldDisruption>> {
    let (Some(first), Some(last)) = (probes.first(), probes.last()) else { return Ok(Vec::new()) };
    let param = |name: &str, value: String| (name.to_owned(), value);
    let params = [
        param("region", first.region.clone()),
        param("node", node.to_owned()),
        param("boot", first.boot.to_string()),
        param("first", first.t1.max(0).to_string()),
        param("last", last.t4.max(0).to_string()),
    ];
    let rows: Vec<ToldRow> = source.rows(TOLD, &params).await?;
    let told =
        |row: &ToldRow| ToldDisruption { since: Instant::from_ns(row.since), until: Instant::from_ns(row.until) };
    Ok(rows.iter().map(told).collect())
}

impl StoredProbe {
    fn of(row: &Row) -> Self {
        let knot = |mono: i64, raw_off: i64, wall_off: i64, bracket_ns: i64| {
            (mono != 0).then(|| Knot {
                mono: Instant::from_ns(mono),
                raw: Instant::from_ns(mono.saturating_add(raw_off)),
                wall: Instant::from_ns(mono.saturating_add(wall_off)),
                bracket: Span::from_ns(bracket_ns),
            })
        };
        Self {
            probe: Probe {
                sent: Instant::from_ns(row.t1),
                received: Instant::from_ns(row.t2),
                replied: Instant::from_ns(row.t3),
                returned: Instant::from_ns(row.t4),
            },
            by_udp: row.kind == "udp",
            knots: [
                knot(row.before_mono, row.before_raw_off, row.before_wall_off, row.before_bracket_ns),
                knot(row.after_mono, row.after_raw_off, row.after_wall_off, row.after_bracket_ns),
            ],
        }
    }
}

/// Writes the stream in the form that `syncline clock replay` reads; how many readings it has. A reading that stands beside two probes
/// is written once. Asked for is when each probe came back (its number, negative, is the id), right behind it, and when each of `waits`
/// began (id: its number), behind the first probe that was sent after its end, as in the fleet. `waits` stand in the order of their ends.
pub(crate) fn write(stream: &StoredStream, waits: &[AskedWait], out: &mut impl Write) -> io::Result<usize> {
    let (mut knots, mut newest) = (0, None);
    let (mut waits, mut told) = (waits.iter().peekable(), stream.told.iter().peekable());
    let mut write_knot = |knot: &Knot, out: &mut dyn Write| {
        if newest.is_none_or(|newest| knot.mono > newest) {
            newest = Some(knot.mono);
            knots += 1;
            writeln!(out, "K,{},{},{}", knot.mono.ns(), knot.raw.ns(), knot.wall.ns())?;
        }
        io::Result::Ok(())
    };
    for (number, stored) in (1i64..).zip(&stream.probes) {
        let Probe { sent, received, replied, returned } = stored.probe;
        let [before, after] = stored.knots;
        if let Some(before) = before {
            write_knot(&before, out)?;
        }
        // In its place: a probe that returned behind its begin may have met it.
        while let Some(told) = told.next_if(|told| told.since < returned) {
            writeln!(out, "D,{},{}", told.since.ns(), told.until.ns())?;
        }
        let wall_off = before.or(after).map_or(0, |knot| knot.mono.offset_to(knot.wall).ns());
        let wall = |mono: i64| mono.saturating_add(wall_off);
        writeln!(
            out,
            "P,{},{},{},{},{},{}",
            sent.ns(),
            received.ns(),
            replied.ns(),
            returned.ns(),
            wall(sent.ns()),
            wall(returned.ns())
        )?;
        if let Some(after) = after {
            write_knot(&after, out)?;
        }
        writeln!(out, "E,{},{},{}", -number, returned.ns(), wall(returned.ns()))?;
        while let Some(wait) = waits.next_if(|wait| wait.ended < sent) {
            write_wait(wait, out)?;
        }
    }
    waits.try_for_each(|wait| write_wait(wait, out))?;
    Ok(knots)
}

fn write_wait(wait: &AskedWait, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "E,{},{},{}", wait.seq, wait.began.ns(), wait.wall.ns())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(t1: i64, before: i64, after: i64) -> Row {
        Row {
            region: "eu".into(),
            boot: 7,
            t1,
            t2: t1 + 1_000_050,
            t3: t1 + 1_000_060,
            t4: t1 + 110,
            kind: "udp".into(),
            before_mono: before,
            before_raw_off: 5,
            before_wall_off: 900,
            before_bracket_ns: 80,
            after_mono: after,
            after_raw_off: 6,
            after_wall_off: 900,
            after_bracket_ns: 90,
        }
    }

    #[test]
    fn a_stored_stream_is_one_that_replay_reads() {
        let rows = [row(1_000, 990, 1_200), row(2_000, 1_200, 2_200), row(3_000, 0, 0)];
        let told = vec![ToldDisruption { since: Instant::from_ns(1_300), until: Instant::from_ns(1_400) }];
        let probes = rows.iter().map(StoredProbe::of).collect();
        let stream = StoredStream { region: "eu".into(), boot: 7, probes, told };
        let wait = |seq, began, ended| AskedWait {
            seq,
            began: Instant::from_ns(began),
            wall: Instant::from_ns(began + 900),
            ended: Instant::from_ns(ended),
        };
        let mut out = Vec::new();
        let waits = [wait(8, 1_050, 1_999), wait(7, 1_500, 2_000), wait(9, 1_600, 5_000)];
        assert_eq!(write(&stream, &waits, &mut out).unwrap(), 3);
        let text = String::from_utf8(out).unwrap();
        let expected = "K,990,995,1890\nP,1000,1001050,1001060,1110,1900,2010\nK,1200,1206,2100\nE,-1,1110,2010\n\
                        D,1300,1400\nP,2000,1002050,1002060,2110,2900,3010\nK,2200,2206,3100\nE,-2,2110,3010\nE,8,1050,1950\n\
                        P,3000,1003050,1003060,3110,3000,3110\nE,-3,3110,3110\nE,7,1500,2400\nE,9,1600,2500\n";
        assert_eq!(text, expected);
        assert!(text.lines().all(|line| super::super::record::parse(line.as_bytes()).is_ok()));
    }
}
