//! The sites of a window, summed up by the store.

use serde::Deserialize;
use syncline_insight::{FOREIGN_PATTERN, blocks_condition, is_inside_expression, plumbing_pattern};

use super::{BlockersArgs, By};
use crate::source::Source;
use crate::target::{self, PEER};
use crate::waits::{self, IS_IN_FULL, Overlapping, all_runtime};
use crate::window::Window;

/// The sites to list, and what was looked at in all.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sites {
    pub(super) sites: Vec<Site>,
    /// Sites that were looked at, listed or not.
    pub(super) all_sites: u64,
    /// Waits at all those sites.
    pub(super) all_waits: u64,
    /// Their time, ns.
    pub(super) all_waited_ns: u64,
    /// Waits of Go's own goroutines, which were not looked at.
    pub(super) own_waits: u64,
    pub(super) own_waited_ns: u64,
}

/// A place in the code where goroutines of a service wait for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Site {
    pub(super) service: String,
    /// `function file:line`, or an address.
    pub(super) site: String,
    pub(super) reason: String,
    /// 1: its waits lie inside of others of the same goroutines, which are counted; they are in no sum.
    pub(super) is_inside: u8,
    pub(super) waits: u64,
    pub(super) nodes: u64,
    pub(super) processes: u64,
    pub(super) waited_ns: u64,
    /// Of it ready but not running, as far as that was seen; none where it never was.
    pub(super) runnable_ns: Option<u64>,
    pub(super) p50_ns: u64,
    pub(super) p99_ns: u64,
    pub(super) max_ns: u64,
    /// When the longest began; the fleet's clock, ns since 1970.
    pub(super) longest_start_ns: i64,
    /// The commonest of what its waits were for: kind of file, and the other end.
    target: (String, String),
    /// Key of the stack of the longest; 0 if none was taken.
    stack_id: u64,
    /// That stack, the innermost frame first.
    #[serde(default)]
    pub(super) stack: Vec<String>,
}

impl Site {
    /// The commonest of what its waits were for; empty where that is not known.
    pub(super) fn target(&self) -> String {
        target::text(&self.target.0, &self.target.1)
    }
}

#[derive(Deserialize)]
struct Row {
    is_own: u8,
    all_sites: u64,
    all_waits: u64,
    all_waited_ns: u64,
    #[serde(flatten)]
    site: Site,
}

pub(super) async fn sites(source: &Source, window: Window, args: &BlockersArgs) -> anyhow::Result<Sites> {
    let (sql, params) = question(window, args);
    let rows: Vec<Row> = source.rows(&sql, &params).await?;
    let mut sites = Sites::default();
    for row in rows {
        if row.is_own == 1 {
            (sites.own_waits, sites.own_waited_ns) = (row.all_waits, row.all_waited_ns);
        } else {
            (sites.all_sites, sites.all_waits, sites.all_waited_ns) = (row.all_sites, row.all_waits, row.all_waited_ns);
            sites.sites.push(row.site);
        }
    }
    let stacks = waits::stacks(source, sites.sites.iter().map(|site| site.stack_id).collect()).await?;
    for site in &mut sites.sites {
        site.stack = stacks.get(&site.stack_id).cloned().unwrap_or_default();
    }
    Ok(sites)
}

/// Targets of a site that are counted while the commonest is looked for; it is the true one unless there are more.
const TARGETS: u32 = 1_000;

/// Each wait counts by its weight. Each moment of a goroutine counts once, see `syncline_insight`'s nesting. The site is found as the agent's watch finds it (`syncline_insight::CallStack::blocking_frame`). Go's own goroutines are those
/// with nothing but the runtime on a stack that was taken in full.
fn question(window: Window, args: &BlockersArgs) -> (String, Vec<(String, String)>) {
    let mut waits = Overlapping::window(window);
    waits.only_whose(&args.whose);
    waits.only_reason(args.reason.as_deref());
    waits.only("shortest", args.min_duration, "dur_ns >= {shortest:UInt64}");
    let (view, conditions) = (&waits.view, waits.conditions());
    let (reason, blocks, is_inside) = (waits::REASON, blocks_condition(), is_inside_expression());
    let is_own = if args.runtime { "0".to_owned() } else { format!("{IS_IN_FULL} AND {}", all_runtime()) };
    let order = match args.by {
        By::Time => "waited_ns",
        By::Count => "waits",
        By::Max => "max_ns",
    };
    let sql = format!(
        "WITH chosen AS (SELECT *, {reason} AS in_words, toUInt8({is_inside}) AS is_inside, {PEER} AS peer FROM {view} AS t WHERE {conditions} AND {blocks}), \
            named AS (SELECT stack_id, frames FROM stacks_named WHERE stack_id IN (SELECT stack_id FROM chosen)), \
            placed AS (SELECT chosen.*, named.frames AS frames, \
                arrayFirst(f -> NOT match(f, {{plumbing:String}}), frames) AS outside, \
                arrayFirst(f -> NOT match(f, '^runtime[.]gopark(unlock)?( |$)') AND NOT match(f, '{FOREIGN_PATTERN}'), frames) AS inside, \
                multiIf(outside != '', outside, inside != '', inside, notEmpty(frames), frames[1], '(no stack)') AS site, \
                toUInt8({is_own}) AS is_own \
                FROM chosen LEFT JOIN named ON chosen.stack_id = named.stack_id) \
        SELECT is_own, toString(placed.service) AS service, site, in_words AS reason, is_inside, toUInt64(round(sum(placed.weight))) AS waits, \
            uniqExact(placed.region, placed.node) AS nodes, uniqExact(placed.region, placed.node, placed.boot, placed.pid) AS processes, \
            toUInt64(round(sum(placed.dur_ns * placed.weight))) AS waited_ns, \
            toUInt64(round(sumOrNullIf(placed.run_delay_ns * placed.weight, bitTest(placed.flags, 0)))) AS runnable_ns, \
            quantileExactWeighted(0.5)(placed.dur_ns, toUInt64(round(1000 * placed.weight))) AS p50_ns, \
            quantileExactWeighted(0.99)(placed.dur_ns, toUInt64(round(1000 * placed.weight))) AS p99_ns, max(placed.dur_ns) AS max_ns, \
            toUnixTimestamp64Nano(argMax(placed.aligned, placed.dur_ns)) AS longest_start_ns, argMax(placed.stack_id, placed.dur_ns) AS stack_id, \
            topK(1, {TARGETS})((toString(placed.fd_type), placed.peer))[1] AS target, \
            count() OVER (PARTITION BY is_own) AS all_sites, sum(if(is_inside, 0, waits)) OVER (PARTITION BY is_own) AS all_waits, \
            sum(if(is_inside, 0, waited_ns)) OVER (PARTITION BY is_own) AS all_waited_ns \
        FROM placed GROUP BY is_own, is_inside, service, site, in_words \
        ORDER BY {order} DESC, service, site, reason, is_inside LIMIT {top} BY is_own",
        top = args.top,
    );
    let mut params = waits.params;
    params.push(("plumbing".to_owned(), plumbing_pattern()));
    (sql, params)
}
