//! `syncline states`: how goroutines spent their time, by state: of processes all together, or of single ones.
//!
//! [`query`] reads it from the store's views, [`report`] writes processes, [`goroutines`] single goroutines, also for
//! `syncline goroutine`.

mod goroutines;
mod query;
mod report;

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::answer::{print_json, print_text};
use crate::args::{Format, StoreArgs};
use crate::colour::Palette;
use crate::observed::{LeftOut, count_without, said};
use crate::source::Source;
use crate::whose::Whose;
use crate::window::{Window, Wish};
use crate::{time, units};

pub(crate) use goroutines::{Entry, split_of_one};
pub(crate) use query::{Goroutine, of_goroutine};

/// The length of a window of which only one end is given.
const USUAL_NS: i64 = 600_000_000_000;

/// Show how goroutines spent their time: running, ready but not running, in system calls, in C code, blocked.
///
/// One line per process: how many of its goroutines were in each state at a time, and which share of all their time that is.
/// With --goroutines one line per goroutine, with its whole life as far as it was seen.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatesArgs {
    /// Begin of the window; default: 10 minutes before its end
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// End of the window; default: now, or without --from the newest in the store
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    #[command(flatten)]
    whose: Whose,
    /// List single goroutines that lived in the window
    #[arg(long)]
    goroutines: bool,
    /// What comes first: of processes the greatest share of this state, of goroutines the longest time in it
    #[arg(long, value_name = "STATE", default_value = "runnable")]
    by: By,
    /// Let MOSTLY BLOCKED BY name what only Go's own goroutines wait for, too, such as `GC worker (idle)`
    ///
    /// Their time is in all sums, with or without this option.
    #[arg(long)]
    runtime: bool,
    /// List at most this many processes, or goroutines
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// text for people, json for programs
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

const EXAMPLES: &str = "\
Examples:
  syncline states                                    the last 10 minutes in the store, by the share of runnable
  syncline states --service cart --by running
  syncline states --goroutines --by blocked --node eu-1 --from -1m
  syncline states --format json | jq '.processes[0].states'
  syncline sql \"SELECT service, state, sum(total_ns) FROM state_split(t0 = now() - 600, t1 = now()) GROUP BY 1, 2\"

runnable: ready, but no processor (GOMAXPROCS) took it. HANDOFFS: returns from a system call or C code whose processor had been
given to others meanwhile. MOSTLY BLOCKED BY: the reason of most of the time blocked, and its share. What only Go's own
goroutines wait for, such as `GC worker (idle)`, is left out there (--runtime: not), but its time is in BLOCKED.
`> 5 s`: it was there before. Times are written as for `syncline timeline`. The states of a process are left out first where an agent
keeps its budget: of how many processes they were, at some time in the window, is said below.";

/// A state, to rank by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    Running,
    Runnable,
    Syscall,
    Cgo,
    Blocked,
}

impl By {
    fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Runnable => "runnable",
            Self::Syscall => "syscall",
            Self::Cgo => "cgo",
            Self::Blocked => "blocked",
        }
    }
}

pub(crate) async fn run(store: &StoreArgs, args: &StatesArgs) -> anyhow::Result<ExitCode> {
    let now_ns = time::now_ns();
    // Wrong times are told before anything is started.
    let wish = Wish::parse(args.from.as_deref(), args.to.as_deref(), USUAL_NS, now_ns)?;
    let source = Source::open(store).await?;
    let found = find(&source, wish, now_ns, args).await;
    source.close().await?;
    let found = found?;
    match args.format {
        Format::Text => print_text(|width, palette| {
            text(&found, args, width, palette).iter().flat_map(|line| [line.as_str(), "\n"]).collect()
        })?,
        Format::Json => match &found.what {
            What::Processes(processes) => print_json(&report::Document::of(&found, processes))?,
            What::Goroutines(goroutines) => print_json(&goroutines::Document::of(&found, goroutines))?,
        },
    }
    Ok(ExitCode::SUCCESS)
}

/// What was found.
struct Found {
    window: Window,
    /// How many there are; listed are the first of them.
    matched: u64,
    what: What,
    /// Of how many processes they are not known somewhere in the window, to keep a budget.
    without: u64,
    /// Where nothing was found: the newest moment of which the store knows anything of this kind.
    newest_ns: Option<i64>,
}

enum What {
    Processes(Vec<query::Process>),
    Goroutines(Vec<Goroutine>),
}

impl Found {
    fn is_empty(&self) -> bool {
        match &self.what {
            What::Processes(processes) => processes.is_empty(),
            What::Goroutines(goroutines) => goroutines.is_empty(),
        }
    }
}

async fn find(source: &Source, wish: Wish, now_ns: i64, args: &StatesArgs) -> anyhow::Result<Found> {
    let table = if args.goroutines { "goroutine_states" } else { "process_states" };
    let window = match wish {
        Wish::Given(window) => window,
        Wish::NewestData => Window::ending_at(query::newest_ns(source, table).await?.unwrap_or(now_ns), USUAL_NS),
    };
    let (what, matched) = if args.goroutines {
        let (goroutines, matched) = query::goroutines(source, window, args).await?;
        (What::Goroutines(goroutines), matched)
    } else {
        let (processes, matched) = query::processes(source, window, args).await?;
        (What::Processes(processes), matched)
    };
    let newest_ns = if matched == 0 { query::newest_ns(source, table).await? } else { None };
    let without = count_without(source, LeftOut::States, window, &args.whose).await?;
    Ok(Found { window, matched, what, without, newest_ns })
}

fn text(found: &Found, args: &StatesArgs, width: usize, palette: Palette) -> Vec<String> {
    if found.is_empty() {
        return nothing(found, args);
    }
    let (table, listed, one) = match &found.what {
        What::Processes(processes) => (report::table(processes, args.runtime), processes.len(), "process"),
        What::Goroutines(goroutines) => (goroutines::table(goroutines), goroutines.len(), "goroutine"),
    };
    let by = match found.what {
        What::Processes(_) => format!("by the share of {}", args.by.name()),
        What::Goroutines(_) => format!("by the time {}", args.by.name()),
    };
    let mut lines = vec![
        format!("{}: {}{}, {by}", span_of(found.window), counted(found.matched, one), args.filters()),
        String::new(),
    ];
    lines.extend(crate::skew::with_heading(&table, width, palette));
    let more = found.matched.saturating_sub(listed as u64);
    if more > 0 {
        lines.push(format!("and {} more (--limit)", counted(more, one)));
    }
    lines.extend(said(LeftOut::States, found.without));
    lines
}

fn nothing(found: &Found, args: &StatesArgs) -> Vec<String> {
    let hint = match found.newest_ns {
        None => {
            "the store knows of none at all: are agents of this version running, and do they reach their aggregator?"
                .to_owned()
        }
        Some(newest) if newest < found.window.from_ns || newest > found.window.to_ns => {
            format!(
                "the newest in the store is of {}: choose another window with --from and --to",
                time::date_and_time(newest)
            )
        }
        Some(_) => {
            "there are others in the store: leave out a filter, or choose a longer window with --from".to_owned()
        }
    };
    let what = if args.goroutines { "goroutines" } else { "processes" };
    let first = format!("no states of {what} are known{}, {}", args.filters(), span_of(found.window));
    [crate::table::printable(&first), hint].into_iter().chain(said(LeftOut::States, found.without)).collect()
}

fn counted(count: u64, one: &str) -> String {
    match (count, one) {
        (1, one) => format!("1 {one}"),
        (_, "process") => format!("{count} processes"),
        (_, one) => format!("{count} {one}s"),
    }
}

fn span_of(window: Window) -> String {
    let length = units::span(window.to_ns.abs_diff(window.from_ns));
    format!("{} to {} ({length})", time::date_and_time(window.from_ns), time::date_and_time(window.to_ns))
}

impl StatesArgs {
    /// What was looked for, for people.
    fn filters(&self) -> String {
        let filters = self.whose.named().join(", ");
        if filters.is_empty() { filters } else { format!(" of {filters}") }
    }
}
