//! `--format speedscope`: a profile per goroutine.

use clickhouse::Row;
use serde::Deserialize;
use syncline_export::Speedscope;
use syncline_insight::blocks_condition;

use super::rows::{Order, Rows};
use super::sink::Sink;
use super::stacks::Stacks;
use super::{Export, Tally};
use crate::failure::usage;
use crate::time;
use crate::waits::{BEFORE_NS, view};
use crate::window::Window;

/// More waits than speedscope can show: it holds the whole document in a page's memory. The store sorts them by goroutine.
const MANY: u64 = 500_000;
/// The longest range: 100 days. speedscope counts in ns, which a page's numbers do exactly for 104.
const LONGEST_NS: i64 = 100 * 86_400_000_000_000;

pub(super) async fn write(export: &Export<'_>, sink: &mut Sink) -> anyhow::Result<Tally> {
    let window = export.window;
    if window.to_ns.saturating_sub(window.from_ns) > LONGEST_NS {
        return Err(usage("a speedscope document holds at most 100 days: shorten the range"));
    }
    let waits = export.args.waits(window);
    let all = Window { from_ns: window.from_ns.saturating_sub(BEFORE_NS), to_ns: window.to_ns };
    let blocks = blocks_condition();
    check_number(export, &format!("FROM {} AS t WHERE {} AND {blocks}", view("timeline", all), waits.conditions()))
        .await?;

    let (mut stacks, mut tally, mut told) = (Stacks::default(), Tally::default(), 0);
    let name = format!("syncline: waits from {}", time::rfc3339(window.from_ns));
    let mut document = Speedscope::begin(window.from_ns, window.to_ns, &name, &mut sink.buffer);
    let mut rows = Rows::ask(export.source, all, &waits, &blocks, Order::Goroutine)?;
    loop {
        let some = rows.next(export.source, &mut stacks).await?;
        if some.is_empty() {
            break;
        }
        for row in &some {
            if !export.args.runtime && row.is_own(&stacks) {
                tally.own += 1;
                continue;
            }
            let wait = row.wait(&stacks);
            document.add(&wait, &mut sink.buffer);
            told += 1;
        }
        sink.pass_on()?;
        sink.show(told);
    }
    let written = document.finish(&mut sink.buffer);
    tally.waits = written.waits;
    tally.inside = written.inside;
    tally.unbounded = written.unbounded;
    Ok(tally)
}

async fn check_number(export: &Export<'_>, from: &str) -> anyhow::Result<()> {
    #[derive(Row, Deserialize)]
    struct Number {
        waits: u64,
    }
    let sql = format!("SELECT count() AS waits {from}");
    let mut cursor = export.source.cursor::<Number>(&sql, &export.args.waits(export.window).params)?;
    let found = cursor.next().await.map_err(|error| export.source.explain(error))?;
    match found {
        Some(Number { waits }) if waits > MANY => Err(usage(format!(
            "{waits} waits are more than the {MANY} that speedscope can show: shorten the range, or choose with --service, --node, --goroutine, \
             --min-duration; perfetto and parquet hold any number"
        ))),
        _ => Ok(()),
    }
}
