//! The waits of a goroutine and the waits that it ended, read from the store's view `timeline`.

use serde::{Deserialize, Serialize};
use syncline_insight::blocks_condition;

use super::GoroutineArgs;
use crate::ending::{self, Ending};
use crate::failure::usage;
use crate::source::Source;
use crate::states::Goroutine;
use crate::target::{self, Target};
use crate::waits::{self, Overlapping};
use crate::window::Window;

/// Of which process the goroutine is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Who {
    pub(super) region: String,
    pub(super) node: String,
    pub(super) service: String,
    /// First 8 bytes of the boot id.
    pub(super) boot: u64,
}

impl Who {
    pub(super) fn of(states: &Goroutine) -> Self {
        let Goroutine { region, node, service, boot, .. } = states.clone();
        Self { region, node, service, boot }
    }

    /// Whether both are of one boot of one node; a service may get another name.
    pub(super) fn is_same_process(&self, other: &Self) -> bool {
        (&self.region, &self.node, self.boot) == (&other.region, &other.node, other.boot)
    }
}

/// A wait, of the goroutine or of one that it woke.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Event {
    pub(super) goid: u64,
    /// `goroutine`, `syscall`, `cgo` or `off_cpu`.
    pub(super) kind: String,
    /// It keeps the goroutine from going on; else it only waits for a CPU.
    pub(super) blocks: u8,
    /// Woken by the network poller.
    pub(super) by_netpoll: u8,
    pub(super) reason: String,
    /// Park; the fleet's clock, ns since 1970.
    pub(super) start_ns: i64,
    /// Running again, likewise.
    pub(super) end_ns: i64,
    /// Half width of the bound of the park; none where nothing is known.
    pub(super) bound_ns: Option<u64>,
    /// Of the end.
    pub(super) end_bound_ns: Option<u64>,
    /// Park; the node's monotonic clock, ns.
    pub(super) mono_ns: u64,
    pub(super) duration_ns: u64,
    /// None where the ready was not seen.
    pub(super) run_delay_ns: Option<u64>,
    #[serde(flatten)]
    pub(super) target: Target,
    #[serde(flatten)]
    pub(super) ending: Ending,
    pub(super) stack_id: u64,
    /// The innermost frame first: `function file:line`, or an address.
    #[serde(default)]
    pub(super) stack: Vec<String>,
}

/// The process, if there is one; of several boots of one node the newest.
///
/// # Errors
/// If several nodes have a process and a goroutine of these numbers.
pub(super) async fn who(source: &Source, window: Window, args: &GoroutineArgs) -> anyhow::Result<Option<Who>> {
    let (view, conditions, params) = parts(window, args, None);
    let sql = format!(
        "SELECT toString(t.region) AS region, toString(t.node) AS node, argMax(toString(t.service), aligned_end) AS service, boot \
        FROM {view} AS t WHERE {conditions} GROUP BY t.region, t.node, boot ORDER BY max(aligned_end) DESC"
    );
    let found: Vec<Who> = source.rows(&sql, &params).await?;
    chosen(&found, args)
}

/// The first of these, the newest first.
///
/// # Errors
/// If they are of several nodes.
pub(super) fn chosen(found: &[Who], args: &GoroutineArgs) -> anyhow::Result<Option<Who>> {
    let Some(newest) = found.first().cloned() else { return Ok(None) };
    let mut nodes: Vec<String> =
        found.iter().map(|who| format!("{} ({}, {})", who.node, who.region, who.service)).collect();
    nodes.sort_unstable();
    nodes.dedup();
    if found.iter().any(|who| (&who.region, &who.node) != (&newest.region, &newest.node)) {
        return Err(usage(format!(
            "goroutine {} of a process {} is on several nodes: {}: choose one with --node or --region",
            args.goid,
            args.pid,
            nodes.join(", ")
        )));
    }
    Ok(Some(newest))
}

/// The last of its waits and of those that it ended, and how many there are.
pub(super) async fn events(
    source: &Source,
    window: Window,
    args: &GoroutineArgs,
    who: &Who,
) -> anyhow::Result<(Vec<Event>, u64)> {
    #[derive(Deserialize)]
    struct Row {
        matched: u64,
        #[serde(flatten)]
        event: Event,
    }
    let (view, conditions, params) = parts(window, args, Some(who));
    let sql = format!(
        "SELECT goid, toString(t.kind) AS kind, toUInt8({blocks}) AS blocks, toUInt8(bitTest(flags, 1)) AS by_netpoll, \
            {reason} AS reason, \
            toUnixTimestamp64Nano(aligned) AS start_ns, toUnixTimestamp64Nano(aligned_end) AS end_ns, \
            nullIf(err_ns, 18446744073709551615) AS bound_ns, nullIf(err_end_ns, 18446744073709551615) AS end_bound_ns, mono_ns, \
            dur_ns AS duration_ns, if(bitTest(flags, 0), run_delay_ns, NULL) AS run_delay_ns, {target}, {ending}, stack_id, \
            count() OVER () AS matched \
        FROM {view} AS t WHERE {conditions} ORDER BY mono_ns + duration_ns DESC LIMIT {limit}",
        blocks = blocks_condition(),
        reason = waits::REASON,
        target = target::columns(),
        ending = ending::COLUMNS,
        limit = args.limit,
    );
    let rows: Vec<Row> = source.rows(&sql, &params).await?;
    let matched = rows.first().map_or(0, |row| row.matched);
    let mut events: Vec<Event> = rows.into_iter().map(|row| row.event).collect();
    let ids = events.iter().flat_map(|event| [event.stack_id, event.ending.waker_stack_id]).collect();
    let stacks = waits::stacks(source, ids).await?;
    for event in &mut events {
        event.stack = stacks.get(&event.stack_id).cloned().unwrap_or_default();
        event.ending.complete(&stacks);
    }
    Ok((events, matched))
}

/// View, conditions and parameters; of this process, or of all that have the numbers.
fn parts(window: Window, args: &GoroutineArgs, who: Option<&Who>) -> (String, String, Vec<(String, String)>) {
    let mut waits = Overlapping::window(window);
    waits.only("pid", Some(args.pid), "pid = {pid:UInt32}");
    match who {
        None => waits.only("goid", Some(args.goid), "goid = {goid:UInt64}"),
        Some(_) => waits.only("goid", Some(args.goid), "(t.goid = {goid:UInt64} OR t.waker_goid = {goid:UInt64})"),
    }
    let (region, node) =
        (who.map(|who| &who.region).or(args.region.as_ref()), who.map(|who| &who.node).or(args.node.as_ref()));
    waits.only("region", region, "region = {region:String}");
    waits.only("node", node, "node = {node:String}");
    waits.only("boot", who.map(|who| who.boot), "boot = {boot:UInt64}");
    let conditions = waits.conditions();
    (waits.view, conditions, waits.params)
}
