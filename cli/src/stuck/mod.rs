//! `syncline stuck`: goroutines that have waited for long and still do.
//!
//! [`query`] reads them from the store, [`sites`] puts together what waits at one place, [`report`] writes both.

mod query;
mod report;
mod sites;

use std::process::ExitCode;

use clap::Args;

use crate::answer::{print_json, print_text};
use crate::args::{Format, StoreArgs, span, trace_id};
use crate::observed::{LeftOut, count_without};
use crate::source::Source;
use crate::time;
use crate::whose::Whose;
use crate::window::Window;

use query::Stuck;
pub(crate) use query::{Wanted, stuck};

/// How a process is observed is told every 10 s, and is in the store some seconds later.
const OBSERVED_WITHIN_NS: i64 = 60_000_000_000;

/// Tell which goroutines have waited for long and still do, over all nodes: what is stuck now, and where.
///
/// Agents tell of a wait that goes on when it is as old as their --open-after (5 s), again at four times that age and so on,
/// and every hour. One that has ended, or whose process has, is not shown.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StuckArgs {
    #[command(flatten)]
    whose: Whose,
    /// Only waits whose reason contains this text, in upper or lower case: mutex, chan receive, IO wait, select
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only those of this trace, as the program's profiler labels have it: 32 hexadecimal digits, or 16
    #[arg(long, value_name = "ID", value_parser = trace_id)]
    trace: Option<String>,
    /// Only those that have gone on for at least so long: 30s, 5m
    #[arg(long, value_name = "SPAN", value_parser = span)]
    min_duration: Option<u64>,
    /// List each goroutine, the oldest wait first, and not the places
    #[arg(long)]
    each: bool,
    /// List at most this many places, or goroutines
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    top: u32,
    /// List Go's own goroutines, too, such as the garbage collector's
    #[arg(long)]
    runtime: bool,
    /// text for people, json for programs: each goroutine, with its stack
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  syncline stuck                                  the places where most goroutines are stuck
  syncline stuck --service cart --min-duration 1m --each
  syncline stuck --reason mutex
  syncline stuck --trace 4bf92f3577b34da6a3ce929d0e0e4736 --each
  syncline stuck --format json | jq '.waits[0].stack'
  syncline sql 'SELECT * FROM open_waits_now ORDER BY since LIMIT 5'

FOR is what most of them wait for: the other end of a connection, or the kind of file. Servers that wait for their next client are
listed as well: nothing tells them from those that wait in vain. While an agent observes a process in windows of time, to keep its budget,
it does not tell of its goroutines' waits that go on: of how many processes that is so now is said below.";

pub(crate) async fn run(store: &StoreArgs, args: &StuckArgs) -> anyhow::Result<ExitCode> {
    let source = Source::open(store).await?;
    let found = find(&source, args).await;
    source.close().await?;
    let (found, untold) = found?;
    let now_ns = time::now_ns();
    match args.format {
        Format::Text => print_text(|width, palette| report::text(&found, untold, args, now_ns, width, palette))?,
        Format::Json => print_json(&report::Document::of(&found, untold, args.top, now_ns))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// And of how many processes it is not told.
async fn find(source: &Source, args: &StuckArgs) -> anyhow::Result<(Stuck, u64)> {
    let now = Window::ending_at(time::now_ns(), OBSERVED_WITHIN_NS);
    let untold = count_without(source, LeftOut::OpenWaits, now, &args.whose).await?;
    Ok((stuck(source, &args.wanted()).await?, untold))
}

impl StuckArgs {
    fn wanted(&self) -> Wanted<'_> {
        Wanted {
            whose: &self.whose,
            reason: self.reason.as_deref(),
            trace: self.trace.as_deref(),
            min_duration: self.min_duration,
            began_before_ns: None,
            with_own: self.runtime,
        }
    }
}
