//! What `syncline export` is asked.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::args::span;
use crate::goroutine::goroutine_id;
use crate::waits::Overlapping;
use crate::whose::Whose;
use crate::window::Window;

/// Write the waits of a time range to a file that another tool opens, all on the fleet's one clock.
///
/// perfetto: a trace for ui.perfetto.dev, with a track per region, node, process and goroutine, and flows from who woke to who was woken.
/// pprof: a block profile for `go tool pprof`. speedscope: a profile per goroutine for speedscope.app. parquet: one row per wait, with its
/// stack. docs/export.md says what each of them carries and what it loses.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExportArgs {
    /// What to write
    #[arg(long, short, value_name = "FORMAT")]
    pub(super) format: Format,
    /// The file, which is there complete or not at all; - is standard output
    #[arg(long, short, value_name = "FILE")]
    pub(super) output: PathBuf,
    /// Begin of the range; default: a minute before its end
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(super) from: Option<String>,
    /// End of the range; default: now, or without --from the newest wait in the store
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(super) to: Option<String>,
    #[command(flatten)]
    pub(super) whose: Whose,
    /// Only this goroutine, by the number that Go's stack traces give it
    #[arg(long, value_name = "ID", value_parser = goroutine_id)]
    pub(super) goroutine: Option<u64>,
    /// Only these kinds of waits, separated by commas
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub(super) kind: Vec<Kind>,
    /// Only waits whose reason contains this text, in upper or lower case: mutex, chan receive, IO wait, select
    #[arg(long, value_name = "TEXT")]
    pub(super) reason: Option<String>,
    /// Only waits at least this long: 500us, 1ms, 2s
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub(super) min_duration: Option<u64>,
    /// Go's own goroutines, too, such as the garbage collector's
    #[arg(long)]
    pub(super) runtime: bool,
}

const EXAMPLES: &str = "\
Examples:
  syncline export -f perfetto -o incident.pftrace --from -30s          open it in https://ui.perfetto.dev
  syncline export -f pprof -o block.pb.gz --service cart --from -1h    go tool pprof -http : block.pb.gz
  syncline export -f speedscope -o cart.speedscope.json --service cart --from 14:05:00 --to 14:05:10
  syncline export -f parquet -o waits.parquet --from -1d --to now
  syncline export -f perfetto -o - --region eu | gzip > eu.pftrace.gz

Waits that began up to a minute before the range and last into it are in it, with their full length. Those that have not ended are counted
only. Of a wait whose node's clock is not known the time is marked as unbounded. Times are written as for `syncline timeline`.";

/// Condition on the value of [`ExportArgs::kinds`].
pub(super) const OF_KINDS: &str = "has(splitByChar(',', {kinds:String}), toString(t.kind))";

/// What other tools open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Perfetto,
    Pprof,
    Speedscope,
    Parquet,
}

/// What waits, as the store names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(super) enum Kind {
    Goroutine,
    Syscall,
    #[value(alias = "off-cpu")]
    OffCpu,
    Cgo,
}

impl Format {
    pub(super) fn is_binary(self) -> bool {
        self != Self::Speedscope
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Perfetto => "a Perfetto trace",
            Self::Pprof => "a pprof profile",
            Self::Speedscope => "a speedscope document",
            Self::Parquet => "Parquet",
        }
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Goroutine => "goroutine",
            Self::Syscall => "syscall",
            Self::OffCpu => "off_cpu",
            Self::Cgo => "cgo",
        }
    }
}

impl ExportArgs {
    /// The waits that are asked for.
    pub(super) fn waits(&self, window: Window) -> Overlapping {
        let mut waits = Overlapping::window(window);
        waits.only_whose(&self.whose);
        waits.only_reason(self.reason.as_deref());
        waits.only("shortest", self.min_duration, "t.dur_ns >= {shortest:UInt64}");
        waits.only("goid", self.goroutine, "t.goid = {goid:UInt64}");
        waits.only("kinds", self.kinds(), OF_KINDS);
        waits
    }

    /// With commas between; none for all kinds.
    pub(super) fn kinds(&self) -> Option<String> {
        let names: Vec<&str> = self.kind.iter().map(|kind| kind.name()).collect();
        (!names.is_empty()).then(|| names.join(","))
    }

    /// Whether a wait of this goroutine and kind is asked for.
    pub(super) fn takes(&self, goid: u64, kind: &str) -> bool {
        self.goroutine.is_none_or(|wanted| wanted == goid)
            && (self.kind.is_empty() || self.kind.iter().any(|wanted| wanted.name() == kind))
    }

    /// What was looked for, for people.
    pub(super) fn filters(&self) -> Vec<String> {
        let mut filters = self.whose.named();
        filters.extend(self.goroutine.map(|goid| format!("goroutine {goid}")));
        filters.extend(
            (!self.kind.is_empty()).then(|| self.kind.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" or ")),
        );
        filters.extend(self.reason.as_ref().map(|reason| format!("reason {reason:?}")));
        filters.extend(self.min_duration.map(|ns| format!("at least {}", crate::units::span(ns))));
        filters
    }
}
