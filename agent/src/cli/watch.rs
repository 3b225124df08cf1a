//! Options of `watch`.

use std::convert::Infallible;
use std::time::Duration;

use clap::{Args, ValueEnum};
use syncline_insight::Order;

use crate::units;
use crate::watch::{Look, Out, WatchConfig, Who};

pub(super) const WATCH_EXAMPLES: &str = "Examples:
  syncline-agent watch checkout                         every process that runs a file named checkout
  syncline-agent watch 4242 --sort max                  one process, the longest waits first
  syncline-agent watch /opt/shop/checkout --wait        wait until it is started
  syncline-agent watch checkout --for 10s --out block.pb.gz && go tool pprof -top block.pb.gz
  syncline-agent watch checkout --for 10s --out block.svg --out events.jsonl
  syncline-agent watch checkout --reason mutex | cat    a plain table every second

On a terminal: q quits, t c m sort by time, count, longest, arrows and enter show the stacks of a site, / filters, g shows Go's \
own goroutines, p pauses, r begins anew. In a pipe there is a plain table every --interval. The last table begins with `==`, \
the others with `--`.

TIME is from parking to running again; RUNNABLE is the part of it in which the goroutine was ready, and no processor took it. \
NOW is how many goroutines are blocked there for a second or longer, and the longest for how long: TIME has what they have waited \
until now. What is inside of a call of C says so instead of its SHARE, and is in no sum.

What watching costs the program is not kept inside a budget, as `run` does by default: a program that blocks 10,000 times a second loses some percent of a CPU \
to it while it is watched.

Exit codes: 0 done (also by q, Ctrl-C, SIGTERM, and when the processes ended), 1 it cannot watch or write, 2 usage.";

/// Options of `watch`.
#[derive(Args, Debug)]
pub struct WatchArgs {
    /// A process id, the name of an executable's file, or a path to it (what has a slash)
    #[arg(value_name = "PID|NAME", value_parser = who)]
    who: Who,
    /// Wait for the first process to start, and for the next one when all have ended
    #[arg(long)]
    wait: bool,
    /// End after this time, which begins with the first process
    #[arg(long = "for", value_name = "DURATION", allow_hyphen_values = true, value_parser = units::duration)]
    length: Option<Duration>,
    /// Time between two tables
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = interval)]
    interval: Duration,
    /// Shortest wait that is looked at one by one; shorter ones are summed up by reason
    #[arg(long, value_name = "DURATION", default_value = "1ms", allow_hyphen_values = true, value_parser = units::duration)]
    min: Duration,
    /// Show at most this many sites
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    top: u16,
    /// What comes first
    #[arg(long, value_name = "ORDER", default_value = "time")]
    sort: Sort,
    /// Only waits whose reason contains this text, in upper or lower case: mutex, chan receive, IO wait, select
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Show Go's own goroutines, too, such as the garbage collector's, also in what --out writes
    #[arg(long)]
    runtime: bool,
    /// In plain tables: every listed site's stacks and wakers below
    #[arg(long)]
    stacks: bool,
    /// Also write a file, by the end of its name: .pb.gz (profile for go tool pprof) and .svg (flame graph) at the end, .jsonl (every
    /// wait) as they come; repeat it for more
    #[arg(long, value_name = "FILE")]
    out: Vec<Out>,
    /// Deepest stack taken, frames
    #[arg(long, value_name = "FRAMES", default_value_t = 64, value_parser = clap::value_parser!(u8).range(1..=127))]
    stack_depth: u8,
    /// Also take the kernel's part of the stack of system calls that block
    #[arg(long)]
    kernel_stacks: bool,
    /// Size of the ring between kernel and agent, a power of two: more rides out longer bursts
    #[arg(long, value_name = "SIZE", default_value = "4MiB", value_parser = super::ring_bytes)]
    ring_bytes: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sort {
    Time,
    Count,
    Max,
}

impl WatchArgs {
    /// The settings of the watch.
    pub fn config(self) -> WatchConfig {
        let order = match self.sort {
            Sort::Time => Order::Time,
            Sort::Count => Order::Count,
            Sort::Max => Order::Max,
        };
        WatchConfig {
            who: self.who,
            wait: self.wait,
            length: self.length,
            interval: self.interval,
            threshold: self.min,
            max_stack_depth: self.stack_depth,
            added: super::kernel_stacks(self.kernel_stacks),
            ring_bytes: self.ring_bytes,
            look: Look { order, top: self.top.into(), runtime: self.runtime, stacks: self.stacks },
            reason: self.reason,
            out: self.out,
        }
    }
}

fn who(text: &str) -> Result<Who, String> {
    if text.is_empty() {
        return Err("name a process, by its id or its executable".to_owned());
    }
    text.parse().map_err(|never: Infallible| match never {})
}

fn interval(text: &str) -> Result<Duration, String> {
    let range = Duration::from_millis(100)..=Duration::from_secs(3600);
    super::within(units::duration(text)?, &range, "100ms to 60m")
}
