//! `--format pprof`: a block profile, of the waits summed up by stack.

use std::collections::HashMap;
use std::sync::Arc;

use clickhouse::Row;
use serde::Deserialize;
use syncline_event::StackId;
use syncline_insight::{
    Build, Call, CallStack, Contention, Frame, Recorded, Tag, blocks_condition, is_inside_expression, is_own_reason,
    pprof_gz,
};

use super::args::OF_KINDS;
use super::pieces::pieces;
use super::sink::Sink;
use super::stacks::Stacks;
use super::{Export, Tally};
use crate::failure::usage;
use crate::waits::{BEFORE_NS, REASON, view};
use crate::window::Window;

/// Rows of a piece, which the store puts in the order of goroutines. Some 500 MB there.
const PIECE: u64 = 4_000_000;
/// Samples that are held, at some 300 bytes each.
const MANY: usize = 1_000_000;

/// What the waits of a sample have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Sample {
    region: String,
    node: String,
    service: String,
    pid: u32,
    reason: String,
    stack_id: u64,
    /// Below the threshold: there is no stack.
    is_short: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    count: u64,
    ns: u64,
}

#[derive(Debug, Row, Deserialize)]
struct SumRow {
    region: String,
    node: String,
    service: String,
    pid: u32,
    reason: String,
    stack_id: u64,
    is_in_full: u8,
    is_inside: u8,
    waits: u64,
    unbounded: u64,
    ns: u64,
}

#[derive(Default)]
struct Samples(HashMap<Sample, Sum>);

pub(super) async fn write(export: &Export<'_>, sink: &mut Sink) -> anyhow::Result<Tally> {
    let (mut samples, mut stacks, mut tally) = (Samples::default(), Stacks::default(), Tally::default());
    for (piece, is_first) in pieces(export.source, export.window, export.args, PIECE)
        .await?
        .into_iter()
        .zip([true].into_iter().chain(std::iter::repeat(false)))
    {
        sum_piece(export, piece, is_first, &mut samples, &mut stacks, &mut tally).await?;
        sink.tell(tally.waits, piece.to_ns, export.window);
    }
    add_short(export, &mut samples, &mut tally).await?;
    let about = export.about();
    let recorded = Recorded {
        start_wall_ns: export.window.from_ns,
        duration_ns: export.window.to_ns.saturating_sub(export.window.from_ns),
        comments: about.iter().map(|(name, text)| format!("{name}: {text}")).collect(),
    };
    stacks.learn(export.source, samples.0.keys().map(|sample| sample.stack_id)).await?;
    let mut named: Vec<_> = samples.0.iter().map(|(sample, sum)| (sample, sum, sample.stack(&stacks))).collect();
    named.sort_by_key(|(sample, sum, _)| {
        (std::cmp::Reverse(sum.ns), sample.stack_id, &sample.node, sample.pid, &sample.reason)
    });
    let contentions = named.iter().map(|(sample, sum, stack)| Contention {
        stack,
        count: sum.count,
        delay_ns: sum.ns,
        labels: sample.labels(),
    });
    sink.buffer = pprof_gz(contentions, &recorded)?;
    Ok(tally)
}

/// Each wait counts by its weight. Each moment of a goroutine counts once: of waits inside of one another the outermost does. It may have begun a minute before the piece.
async fn sum_piece(
    export: &Export<'_>,
    piece: Window,
    is_first: bool,
    samples: &mut Samples,
    stacks: &mut Stacks,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let waits = export.args.waits(export.window);
    let around = if is_first { piece } else { Window { from_ns: piece.from_ns.saturating_sub(BEFORE_NS), ..piece } };
    let sql = format!(
        "SELECT toString(c.region) AS region, toString(c.node) AS node, toString(c.service) AS service, c.pid AS pid, c.in_words AS reason, \
            c.stack_id AS stack_id, toUInt8(bitAnd(c.flags, 12) = 0) AS is_in_full, c.is_inside AS is_inside, toUInt64(round(sum(c.weight))) AS waits, \
            toUInt64(round(sumIf(c.weight, c.err_ns = 18446744073709551615 OR c.err_end_ns = 18446744073709551615))) AS unbounded, toUInt64(round(sum(c.dur_ns * c.weight))) AS ns \
        FROM (SELECT t.region, t.node, t.service, t.pid, {REASON} AS in_words, t.stack_id, t.flags, t.err_ns, t.err_end_ns, t.dur_ns, t.weight, t.aligned, \
                toUInt8({is_inside}) AS is_inside \
            FROM {view} AS t WHERE {conditions} AND {blocks}) AS c \
        WHERE toUnixTimestamp64Nano(c.aligned) >= {{piece_from:Int64}} \
        GROUP BY region, node, service, pid, reason, stack_id, is_in_full, is_inside",
        is_inside = is_inside_expression(),
        view = view("timeline", around),
        conditions = waits.conditions(),
        blocks = blocks_condition(),
    );
    let mut params = waits.params;
    params.push(("piece_from".to_owned(), piece.from_ns.max(0).to_string()));
    let mut cursor = export.source.cursor::<SumRow>(&sql, &params)?;
    let mut rows = Vec::new();
    while let Some(row) = cursor.next().await.map_err(|error| export.source.explain(error))? {
        rows.push(row);
        if rows.len() > MANY {
            return Err(too_many());
        }
    }
    stacks.learn(export.source, rows.iter().map(|row| row.stack_id)).await?;
    for row in rows {
        let is_own = row.is_in_full == 1 && stacks.is_of_the_runtime(row.stack_id);
        if is_own && !export.args.runtime {
            tally.own += row.waits;
        } else if row.is_inside == 1 {
            tally.inside += row.waits;
        } else {
            tally.waits += row.waits;
            tally.unbounded += row.unbounded;
            samples.add(row)?;
        }
    }
    Ok(())
}

/// Waits below the threshold have no time but the minute in which they were told, and no goroutine.
async fn add_short(export: &Export<'_>, samples: &mut Samples, tally: &mut Tally) -> anyhow::Result<()> {
    if export.args.goroutine.is_some() || export.args.min_duration.is_some() {
        return Ok(());
    }
    let second = |ns: i64| ns.div_euclid(1_000_000_000).clamp(0, i64::from(u32::MAX));
    let mut conditions = vec![
        "toUnixTimestamp(t.bucket) >= {first:Int64} AND toUnixTimestamp(t.bucket) <= {last:Int64}".to_owned(),
        "NOT (t.kind = 'off_cpu' AND t.reason = 'preempted')".to_owned(),
    ];
    let mut params = vec![
        ("first".to_owned(), (second(export.window.from_ns) / 60 * 60).to_string()),
        ("last".to_owned(), second(export.window.to_ns - 1).to_string()),
    ];
    let mut only = |name: &str, value: Option<String>, condition: String| {
        if let Some(value) = value {
            params.push((name.to_owned(), value));
            conditions.push(condition);
        }
    };
    for condition in export.args.whose.conditions() {
        only(condition.name, Some(condition.value), condition.sql.to_owned());
    }
    only("kinds", export.args.kinds(), OF_KINDS.to_owned());
    let has_reason = format!("positionCaseInsensitiveUTF8({REASON}, {{reason:String}}) > 0");
    only("reason", export.args.reason.clone(), has_reason);
    let sql = format!(
        "SELECT toString(t.region) AS region, toString(t.node) AS node, toString(t.service) AS service, t.pid AS pid, {REASON} AS reason, \
            toUInt64(0) AS stack_id, toUInt8(0) AS is_in_full, toUInt8(0) AS is_inside, toUInt64(round(sum(t.count * t.weight))) AS waits, toUInt64(0) AS unbounded, \
            toUInt64(round(sum(t.total_ns * t.weight))) AS ns \
        FROM short_waits AS t WHERE {} GROUP BY region, node, service, pid, reason",
        conditions.join(" AND ")
    );
    let mut cursor = export.source.cursor::<SumRow>(&sql, &params)?;
    while let Some(row) = cursor.next().await.map_err(|error| export.source.explain(error))? {
        if export.args.runtime || !is_own_reason(&row.reason) {
            tally.short += row.waits;
            samples.add_as(row, true)?;
        }
    }
    Ok(())
}

fn too_many() -> anyhow::Error {
    usage(format!(
        "more than {MANY} different stacks, processes and reasons: shorten the range, or choose with --service or --node"
    ))
}

impl Samples {
    fn add(&mut self, row: SumRow) -> anyhow::Result<()> {
        self.add_as(row, false)
    }

    fn add_as(&mut self, row: SumRow, is_short: bool) -> anyhow::Result<()> {
        let SumRow { region, node, service, pid, reason, stack_id, .. } = row;
        let sum = self.0.entry(Sample { region, node, service, pid, reason, stack_id, is_short }).or_default();
        sum.count = sum.count.saturating_add(row.waits);
        sum.ns = sum.ns.saturating_add(row.ns);
        if self.0.len() > MANY { Err(too_many()) } else { Ok(()) }
    }
}

impl Sample {
    fn labels(&self) -> Vec<(&'static str, Tag<'_>)> {
        let mut labels = vec![
            ("region", Tag::Text(&self.region)),
            ("node", Tag::Text(&self.node)),
            ("service", Tag::Text(&self.service)),
            ("reason", Tag::Text(&self.reason)),
            ("pid", Tag::Number(self.pid.into())),
        ];
        if self.is_short {
            labels.push(("threshold", Tag::Text("below")));
        }
        labels
    }

    /// Its stack, or what stands for it: nothing that is counted may be without a name.
    fn stack(&self, stacks: &Stacks) -> Arc<CallStack> {
        match stacks.get(self.stack_id) {
            _ if self.is_short => named_only(format!("({} below the threshold, where is not known)", self.reason)),
            Some(stack) if !stack.calls.is_empty() => stack,
            _ => named_only("(no stack)".to_owned()),
        }
    }
}

fn named_only(function: String) -> Arc<CallStack> {
    let frames = vec![Frame { function, file: String::new(), line: 0 }];
    let build = Arc::new(Build { id: 0, path: String::new() });
    Arc::new(CallStack { id: StackId::NONE, build, calls: vec![Arc::new(Call { address: 0, frames })], is_cut: false })
}
