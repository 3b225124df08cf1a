//! `syncline goroutine`: one goroutine's story on the fleet's one clock.
//!
//! [`query`] reads its waits and the wakes it gave, [`open`] its waits that have not ended; [`story`] puts them in order; [`report`] and
//! [`document`] write them, with how it spent its time by state, which [`crate::states`] reads.

mod document;
mod open;
mod query;
mod report;
mod story;

use std::process::ExitCode;

use clap::Args;

use crate::answer::{print_json, print_text};
use crate::args::{Format, StoreArgs};
use crate::source::Source;
use crate::whose::process_id;
use crate::window::{Window, Wish};
use crate::{states, time, waits};

/// The length of a window of which only one end is given.
const USUAL_NS: i64 = 600_000_000_000;

/// Tell the story of one goroutine: how it spent its time, what it waited for, how long, who woke it, whom it woke, and what it still
/// waits for.
///
/// In the gaps between its waits it ran, was ready to run, or waited too shortly to be recorded one by one.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct GoroutineArgs {
    /// The process, by its id on its node
    #[arg(value_parser = process_id)]
    pid: u32,
    /// The goroutine, by the number that Go's stack traces give it
    #[arg(value_parser = goroutine_id)]
    goid: u64,
    /// The node, where several have a process and goroutine of these numbers
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// The region, likewise
    #[arg(long, value_name = "NAME")]
    region: Option<String>,
    /// Begin of the window; default: 10 minutes before its end
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// End of the window; default: now, or without --from the newest wait in the store, which may still go on
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    /// Tell at most this many waits and wakes, the last ones
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// text for people, json for programs
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  syncline goroutine 4711 18                       process 4711, goroutine 18, as `syncline timeline` lists them
  syncline goroutine 4711 18 --node eu-1 --from -30s
  syncline goroutine 4711 18 --format json | jq '.story[] | select(.kind == \"wake\")'

`inside:` marks waits that lie inside of the one before, as system calls of C code inside of the call of C: the sum has them once.
A thread that was preempted only waited for a CPU, and is not in the sum. BOUND is of the time in the first column. GAP is the time
since the end of the wait before; RUNNABLE the part of a wait in which the goroutine was ready and no processor took it. Waits that
have not ended come last, and are in no sum: those that go on, and one that never ended because its process did. Times are written
as for `syncline timeline`.";

/// A goroutine id of Go.
pub(crate) fn goroutine_id(text: &str) -> Result<u64, String> {
    let id = text.parse().ok().filter(|id| *id > 0);
    id.ok_or_else(|| {
        "not a goroutine: its number, as in `goroutine 18 [select]` of Go's stack traces, and in `syncline stuck --each`".to_owned()
    })
}

pub(crate) async fn run(store: &StoreArgs, args: &GoroutineArgs) -> anyhow::Result<ExitCode> {
    let now_ns = time::now_ns();
    // Wrong times are told before anything is started.
    let wish = Wish::parse(args.from.as_deref(), args.to.as_deref(), USUAL_NS, now_ns)?;
    let source = Source::open(store).await?;
    let found = find(&source, wish, now_ns, args).await;
    source.close().await?;
    let found = found?;
    match args.format {
        Format::Text => print_text(|width, palette| report::text(&found, args, width, palette))?,
        Format::Json => print_json(&document::Document::of(&found, args))?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn find(source: &Source, wish: Wish, now_ns: i64, args: &GoroutineArgs) -> anyhow::Result<report::Found> {
    let window = match wish {
        Wish::Given(window) => window,
        Wish::NewestData => Window::ending_at(newest_ns(source).await?.unwrap_or(now_ns), USUAL_NS),
    };
    let who = query::who(source, window, args).await?;
    let place =
        who.as_ref().map_or([args.region.as_ref(), args.node.as_ref()], |who| [Some(&who.region), Some(&who.node)]);
    let told = states::of_goroutine(source, window, args.pid, args.goid, place).await?;
    let open = open::waits(source, window, args).await?;
    // One without a wait that ended is known by those that did not, and one that never waited by its states alone.
    let who = match who {
        None => query::chosen(&open.iter().map(|wait| wait.who.clone()).collect::<Vec<_>>(), args)?,
        who => who,
    };
    let who = match who {
        None => query::chosen(&told.iter().map(query::Who::of).collect::<Vec<_>>(), args)?,
        who => who,
    };
    let is_its = |other: &query::Who| who.as_ref().is_some_and(|who| other.is_same_process(who));
    let states = told.into_iter().find(|told| is_its(&query::Who::of(told)));
    let open = open.into_iter().filter(|wait| is_its(&wait.who)).collect();
    let newest_ns = if who.is_none() { newest_ns(source).await? } else { None };
    let (events, matched) = match &who {
        Some(who) => query::events(source, window, args, who).await?,
        None => (Vec::new(), 0),
    };
    Ok(report::Found { window, who, states, matched, story: story::story(events, args.goid), open, now_ns, newest_ns })
}

/// When the newest wait in the store ended, or was seen to go on; none if it is empty.
async fn newest_ns(source: &Source) -> anyhow::Result<Option<i64>> {
    Ok(waits::newest_ns(source).await?.max(open::newest_ns(source).await?))
}
