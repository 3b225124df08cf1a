//! What is asked of 48 M waits, of ten times fewer and of ten times the nodes; and placing an hour of them anew.
//!
//! The stores are made up by ClickHouse itself (`store/examples/fill.rs`, INSERT SELECT): sending 48 M waits would take minutes and change nothing
//! of what is asked. 48 M waits are four hours of 12 M each. The placing is the aggregator's own (`Store::settle_events`).

use std::path::Path;

use anyhow::{Result, bail};

use super::Sizes;
use super::asked::Asked;
use super::programs::Programs;
use super::target::{Finding, Target, shown};
use crate::bench::statistics::{Spread, whole};
use crate::bench::table;

/// 12 M an hour.
const PER_S: u64 = 3_333;
const NODES: u64 = 300;
const TIMES: u64 = 10;
const NS: i64 = 1_000_000_000;
const WINDOW_NS: i64 = 2 * NS;
const HOUR_NS: i64 = 3_600 * NS;
/// What is asked of all stores alike lies in what the small ones have.
const SHORT_NS: i64 = 600 * NS;
/// Answers of a round.
const TIMES_ASKED: u32 = 5;

pub(super) struct Queries {
    stores: [OneStore; 3],
    row_bytes: f64,
    settled: Vec<Settled>,
}

/// Waits that were placed anew.
struct Settled {
    nodes: u32,
    is_together: bool,
    seconds: f64,
}

/// A store, and how long answers took, ms.
struct OneStore {
    rows: u64,
    nodes: u64,
    asked: Asked,
    newest_ns: i64,
    timeline_ms: Vec<f64>,
    top_hour_ms: Vec<f64>,
    top_short_ms: Vec<f64>,
    rounds: i64,
}

impl Queries {
    pub(super) fn new(programs: &Programs, sizes: Sizes, dir: &Path) -> Result<Self> {
        let few = sizes.rows / TIMES;
        let store = |name: &str, rows, nodes| OneStore::fill(programs, &dir.join(name), rows, nodes);
        let mut stores = [
            store("large", sizes.rows, NODES)?,
            store("few-rows", few, NODES)?,
            store("many-nodes", few, NODES * TIMES)?,
        ];
        let bytes = "SELECT sum(data_compressed_bytes) / sum(rows) FROM system.parts WHERE active AND database = currentDatabase() AND table = 'events'";
        let row_bytes = stores[0].asked.number(bytes)?;
        Ok(Self { stores, row_bytes, settled: Vec::new() })
    }

    pub(super) fn round(&mut self) -> Result<()> {
        self.stores.iter_mut().try_for_each(OneStore::round)
    }

    /// Last, since it leaves patches beside the rows, which others would be slowed down by. What it did is counted.
    pub(super) fn realign(&mut self) -> Result<()> {
        let all = u32::try_from(NODES)?;
        // Patches of one make the next one slower: the few come first, and what is no more done before what is.
        let steps = [(1_001, 3, true), (1_002, all / 10, false), (1_003, all / 10, true), (1_004, all, true)];
        for (revision, nodes, is_together) in steps {
            let asked = &mut self.stores[0].asked;
            let seconds = asked.settle(revision, nodes, is_together)?;
            let found = asked.number(&format!("SELECT uniqExact(node) FROM events WHERE model_rev = {revision}"))?;
            if found != f64::from(nodes) {
                bail!("waits of {found} nodes were placed anew instead of {nodes}");
            }
            eprintln!("  {nodes} nodes re-aligned in {seconds:.2} s");
            self.settled.push(Settled { nodes, is_together, seconds });
        }
        Ok(())
    }

    pub(super) fn findings(&self) -> Vec<Finding> {
        let large = &self.stores[0];
        let rows = millions(large.rows);
        let of_ms = |what: String, most, ms: &[f64]| Finding {
            what,
            target: Target::AtMost(most),
            found: Spread::of(ms.iter().copied()),
            unit: "ms",
        };
        let mut findings = vec![
            Finding {
                what: format!("a row of the modelled mix, compressed, of {rows}"),
                target: Target::AtMost(20.0),
                found: Spread::of([self.row_bytes]),
                unit: "B",
            },
            of_ms(format!("2 s of `timeline` over {rows} rows, 99 %"), 40.0, &[p99(&large.timeline_ms)]),
            of_ms(
                format!("the same, median, {} answers", large.timeline_ms.len()),
                40.0,
                &[median(&large.timeline_ms)],
            ),
            of_ms("top 20 stacks of a service over an hour, 99 %".into(), 120.0, &[p99(&large.top_hour_ms)]),
            of_ms("the same, median".into(), 120.0, &[median(&large.top_hour_ms)]),
        ];
        for Settled { nodes, is_together, seconds } in &self.settled {
            let how = if *is_together { "" } else { ", as it was before: a statement for each" };
            findings.push(Finding {
                what: format!("an hour of {} rows re-aligned: {nodes} of {NODES} nodes{how}", millions(large.rows / 4)),
                target: match nodes {
                    3 => Target::AtMost(0.5),
                    _ if u64::from(*nodes) == NODES => Target::AtMost(5.0),
                    _ => Target::None,
                },
                found: Spread::of([*seconds]),
                unit: "s",
            });
        }
        for (what, ms) in QUESTIONS {
            let [large, few, many] = self.stores.each_ref().map(|store| median(ms(store)));
            let growth = |what: String, found| Finding {
                what,
                target: Target::AtMost(2.0),
                found: Spread::of([found]),
                unit: "x",
            };
            findings.push(growth(format!("growth with {TIMES} x the rows: {what}"), large / few));
            findings.push(growth(format!("growth with {TIMES} x the nodes: {what}"), many / few));
        }
        findings
    }

    /// A table of all stores.
    pub(super) fn growth(&self) -> String {
        let row = |store: &OneStore| {
            let label = format!("{} rows, {} nodes", millions(store.rows), whole(store.nodes as f64));
            std::iter::once(label)
                .chain(QUESTIONS.map(|(_, ms)| shown(Spread::of(ms(store).iter().copied()))))
                .collect()
        };
        let rows: Vec<Vec<String>> = self.stores.iter().map(row).collect();
        table::text(&["answers, median (least to most), ms", QUESTIONS[0].0, QUESTIONS[1].0], &rows)
    }

    /// Of each store, and of each question, its times.
    pub(super) fn times(&self) -> [[Spread; 2]; 3] {
        self.stores.each_ref().map(|store| QUESTIONS.map(|(_, ms)| Spread::of(ms(store).iter().copied())))
    }
}

type Times = fn(&OneStore) -> &[f64];
/// What all stores are asked, whose answers are as large in all.
const QUESTIONS: [(&str, Times); 2] =
    [("2 s of `timeline`", |store| &store.timeline_ms), ("top stacks of ten minutes", |store| &store.top_short_ms)];

impl OneStore {
    fn fill(programs: &Programs, dir: &Path, rows: u64, nodes: u64) -> Result<Self> {
        eprintln!("a store of {} rows of {nodes} nodes", millions(rows));
        std::fs::create_dir_all(dir)?;
        let mut asked = Asked::fill(programs, dir, rows, PER_S, nodes)?;
        let found = asked.number("SELECT count() FROM events")?;
        if found != rows as f64 {
            bail!("{found} rows were made instead of {rows}");
        }
        let newest_ns = asked.number("SELECT max(toInt64(mono_ns) + al_off) FROM events")? as i64;
        let empty = Vec::new;
        let (timeline_ms, top_hour_ms, top_short_ms) = (empty(), empty(), empty());
        let mut store = Self { rows, nodes, asked, newest_ns, timeline_ms, top_hour_ms, top_short_ms, rounds: 0 };
        // What answers the first time reads from the disk.
        store.round()?;
        (store.timeline_ms, store.top_hour_ms, store.top_short_ms) = (empty(), empty(), empty());
        Ok(store)
    }

    /// Each round asks of another time.
    fn round(&mut self) -> Result<()> {
        self.rounds += 1;
        let last = self.newest_ns - (10 * self.rounds % 120) * NS;
        let asked = &mut self.asked;
        self.timeline_ms.extend(asked.ask(TIMES_ASKED, &timeline([last - WINDOW_NS, last]))?);
        self.top_short_ms.extend(asked.ask(TIMES_ASKED, &top_stacks([last - SHORT_NS, last]))?);
        self.top_hour_ms.extend(asked.ask(TIMES_ASKED, &top_stacks([last - HOUR_NS, last]))?);
        Ok(())
    }
}

/// What a person looks at, of all waits that began in these two seconds.
pub(super) fn timeline([from, to]: [i64; 2]) -> String {
    format!(
        "SELECT aligned, err_ns, region, node, service, goid, reason, dur_ns, stack \
         FROM timeline(t0 = fromUnixTimestamp64Nano({from}, 'UTC'), t1 = fromUnixTimestamp64Nano({to}, 'UTC')) ORDER BY aligned"
    )
}

/// Where a service waited longest, with the names of all calls: by minutes of the regions' clocks.
pub(super) fn top_stacks([from, to]: [i64; 2]) -> String {
    format!(
        "WITH tops AS (SELECT stack_id, count() AS waits, sum(dur_ns) AS waited_ns FROM events WHERE service = 'service-1' \
           AND bucket >= toDateTime({}, 'UTC') AND bucket < toDateTime({}, 'UTC') GROUP BY stack_id ORDER BY waited_ns DESC LIMIT 20) \
         SELECT waits, waited_ns, frames FROM tops LEFT JOIN \
           (SELECT stack_id, frames FROM stacks_named WHERE stack_id IN (SELECT stack_id FROM tops)) AS named USING stack_id ORDER BY waited_ns DESC",
        from / NS,
        to / NS
    )
}

fn median(ms: &[f64]) -> f64 {
    Spread::of(ms.iter().copied()).median
}

fn p99(ms: &[f64]) -> f64 {
    let ms: Vec<f32> = ms.iter().map(|ms| *ms as f32).collect();
    crate::bench::quantile(&ms, 0.99)
}

fn millions(rows: u64) -> String {
    format!("{} M", rows as f64 / 1e6)
}
