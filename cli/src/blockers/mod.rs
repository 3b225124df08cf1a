//! `syncline blockers`: where goroutines wait, over the fleet: the places in the code that cost most.
//!
//! [`query`] reads the sites from the store; [`report`] writes them and knows no store.

mod query;
mod report;

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::answer::{print_json, print_text};
use crate::args::{Format, StoreArgs, span};
use crate::source::Source;
use crate::whose::Whose;
use crate::window::{Window, Wish};
use crate::{time, waits};
pub(crate) use report::{callers, short};

/// The length of a window of which only one end is given.
const USUAL_NS: i64 = 600_000_000_000;

/// Rank the places in the code where goroutines wait, over all nodes: the sites that cost most.
///
/// A site is the innermost call that is not Go's own way there (runtime, sync, the poller, net, io), for one service and
/// reason. Waits that overlap the window count in full.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BlockersArgs {
    /// Begin of the window; default: 10 minutes before its end
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// End of the window; default: now, or without --from the newest wait in the store
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    #[command(flatten)]
    whose: Whose,
    /// Only waits whose reason contains this text, in upper or lower case: mutex, chan receive, IO wait, select
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only waits at least this long: 500us, 1ms, 2s
    #[arg(long, value_name = "SPAN", value_parser = span)]
    min_duration: Option<u64>,
    /// What comes first: the time of all waits, their number, or the longest
    #[arg(long, value_name = "ORDER", default_value = "time")]
    by: By,
    /// List at most this many sites
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    top: u32,
    /// List sites of Go's own goroutines, too, such as the garbage collector's
    #[arg(long)]
    runtime: bool,
    /// text for people, json for programs
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  syncline blockers                                       the last 10 minutes of data in the store
  syncline blockers --service cart --by max --top 5
  syncline blockers --from -1h --region eu --reason mutex
  syncline blockers --format json | jq '.sites[0].stack'

SHARE is of the time of all waits that were looked at. Of waits inside of one another, as a system call of C code inside of the
call of C, the outermost is in it; the others say `inside`. Threads that ran no goroutine, or only waited for a CPU, are not
listed. CALLED FROM are the calls outside of the site, of the stack of its longest wait; json has that stack in full. FOR is
the commonest of what its waits were for: the other end of a connection, or the kind of file. Times are written as for `syncline timeline`.";

/// What sites are ranked by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    Time,
    Count,
    Max,
}

pub(crate) async fn run(store: &StoreArgs, args: &BlockersArgs) -> anyhow::Result<ExitCode> {
    let now_ns = time::now_ns();
    // Wrong times are told before anything is started.
    let wish = Wish::parse(args.from.as_deref(), args.to.as_deref(), USUAL_NS, now_ns)?;
    let source = Source::open(store).await?;
    let found = find(&source, wish, now_ns, args).await;
    source.close().await?;
    let (window, sites, newest_ns) = found?;
    match args.format {
        Format::Text => print_text(|width, palette| report::text(window, &sites, args, newest_ns, width, palette))?,
        Format::Json => print_json(&report::Document::of(window, &sites))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The sites of the window, and where there are none the end of the newest wait in the store.
async fn find(
    source: &Source,
    wish: Wish,
    now_ns: i64,
    args: &BlockersArgs,
) -> anyhow::Result<(Window, query::Sites, Option<i64>)> {
    let window = waits::window(source, wish, USUAL_NS, now_ns).await?;
    let sites = query::sites(source, window, args).await?;
    let newest_ns = if sites.sites.is_empty() { waits::newest_ns(source).await? } else { None };
    Ok((window, sites, newest_ns))
}

impl BlockersArgs {
    /// What was looked for, for people.
    fn filters(&self) -> String {
        let mut filters = self.whose.named();
        filters.extend(self.reason.as_ref().map(|reason| format!("reason {reason:?}")));
        filters.extend(self.min_duration.map(|ns| format!("at least {}", crate::units::span(ns))));
        filters.join(", ")
    }
}
