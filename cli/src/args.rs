//! The command line. Its help is the first documentation a person meets, so every command shows how it is used.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::alerts::AlertsArgs;
use crate::bias::BiasArgs;
use crate::blockers::BlockersArgs;
use crate::clock::ClockArgs;
use crate::export::ExportArgs;
use crate::goroutine::GoroutineArgs;
use crate::ledger::{AuditArgs, LossArgs};
use crate::observed::ObservedArgs;
use crate::sends::SendsArgs;
use crate::states::StatesArgs;
use crate::stuck::StuckArgs;
use crate::symbols::SymbolsArgs;
use crate::time;
use crate::whose::Whose;

/// Ask a Syncline store what the goroutines of your fleet waited for, and when, on one clock.
#[derive(Debug, Parser)]
#[command(name = "syncline", version, after_help = EXAMPLES, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  syncline doctor                                what this machine can and cannot do
  syncline skew                                  how far each node's clock is off
  syncline alerts                                which clocks went wrong
  syncline timeline --from -30s                  who waited in the last half minute, all regions
  syncline blockers --service cart               where cart's goroutines waited longest
  syncline stuck                                 which goroutines still wait, and where
  syncline states                                how goroutines spent their time: running, runnable, blocked, ...
  syncline goroutine 4711 18                     what one goroutine waited for, and whom it woke
  syncline sends                                 how long what was sent over TCP took to be acknowledged
  syncline export -f perfetto -o t.pftrace       the last minute as a trace that ui.perfetto.dev opens
  syncline loss                                  how much was captured, stored, lost, and to what
  syncline audit                                 whether all of it adds up
  syncline symbols list                          which builds have addresses without names
  syncline sql 'SELECT region, count() FROM events GROUP BY region'
  syncline bias -- ./worker                      what Go's own block profile sees of a program, and what not
  syncline clock replay --stream s.csv --answers a.csv   a recorded node through the clock model
  syncline --store /var/lib/syncline skew        a store elsewhere
  syncline --url http://user@ch.example:8123 skew

Exit codes: 0 done, 1 it failed, 2 it was asked wrongly.";

/// Which store to ask.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Store")]
pub(crate) struct StoreArgs {
    /// Directory of an embedded store [env: SYNCLINE_STORE] [default: ~/.local/share/syncline/store]
    ///
    /// While an aggregator runs on it, its engine answers; otherwise an engine is started for this one command.
    /// Without the option: $SYNCLINE_STORE, $XDG_DATA_HOME/syncline/store, ~/.local/share/syncline/store.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) store: Option<PathBuf>,
    /// A ClickHouse server instead: http://[user[:password]@]host:port [env: SYNCLINE_URL]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Database of the tables and views
    #[arg(long, global = true, value_name = "NAME", default_value = syncline_store::DEFAULT_DATABASE)]
    pub(crate) database: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Sql(SqlArgs),
    Timeline(TimelineArgs),
    Blockers(BlockersArgs),
    Stuck(StuckArgs),
    States(StatesArgs),
    Goroutine(GoroutineArgs),
    Sends(SendsArgs),
    Observed(ObservedArgs),
    Export(ExportArgs),
    Loss(LossArgs),
    Audit(AuditArgs),
    Symbols(SymbolsArgs),
    Skew(SkewArgs),
    Alerts(AlertsArgs),
    Doctor(DoctorArgs),
    Bias(Box<BiasArgs>),
    Clock(ClockArgs),
}

/// Answer an SQL query (ClickHouse's SQL), read-only.
///
/// The query may read all tables and change nothing: ClickHouse itself refuses INSERT, ALTER, CREATE, DROP, SYSTEM and SET.
#[derive(Args, Debug)]
#[command(after_help = SQL_EXAMPLES)]
pub(crate) struct SqlArgs {
    /// The query; `-`, or nothing when standard input is not a terminal, reads it from there
    pub(crate) query: Option<String>,
    /// json, jsonl, csv, tsv, pretty, vertical, parquet, or any format name of ClickHouse
    ///
    /// Default: pretty on a terminal, tsv (with a line of names) otherwise. json is one document with types and the rows
    /// under "data"; jsonl is one object per line. A FORMAT in the query wins.
    #[arg(long, short, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Value of a parameter {name:Type} of the query; repeat it for more
    #[arg(long = "param", short, value_name = "NAME=VALUE")]
    pub(crate) params: Vec<String>,
    /// A setting of ClickHouse for this query, such as max_threads=1; a SETTINGS clause in the query is refused
    #[arg(long = "setting", value_name = "NAME=VALUE")]
    pub(crate) settings: Vec<String>,
}

const SQL_EXAMPLES: &str = "\
Examples:
  syncline sql 'SHOW TABLES'
  syncline sql 'SELECT reason, count(), max(dur_ns) FROM events GROUP BY reason ORDER BY 3 DESC'
  syncline sql -f vertical -p svc=cart 'SELECT * FROM events WHERE service = {svc:String} LIMIT 5'
  syncline sql --format jsonl 'SELECT * FROM skew_now' | jq .
  syncline sql --format parquet 'SELECT * FROM events' > events.parquet
  syncline sql < report.sql

What there is: SHOW TABLES; what its columns mean: DESCRIBE TABLE events.";

/// Draw who waited for what and how long, across regions, on the fleet's one clock.
///
/// One lane per goroutine (node service/pid goid), the lanes of a region together; below, the longest waits in order of
/// time. Waits that began up to a minute before the window and last into it are shown too; those that have not ended are counted
/// only. Every time has an error bound: two waits closer than their bounds may have come in either order.
#[derive(Args, Debug)]
#[command(after_help = TIMELINE_EXAMPLES)]
pub(crate) struct TimelineArgs {
    /// Begin of the window; default: 10 s before its end
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) from: Option<String>,
    /// End of the window; default: now, or without --from the newest wait in the store
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) to: Option<String>,
    #[command(flatten)]
    pub(crate) whose: Whose,
    /// Only waits whose reason contains this text, in upper or lower case: mutex, chan receive, IO wait, select
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Only waits at least this long: 500us, 1ms, 2s
    #[arg(long, value_name = "SPAN", value_parser = span)]
    pub(crate) min_duration: Option<u64>,
    /// Show Go's own goroutines, too, such as the garbage collector's
    #[arg(long)]
    pub(crate) runtime: bool,
    /// Take at most this many waits, the longest
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: u32,
    /// Draw at most this many lanes, those that waited longest in all
    #[arg(long, value_name = "N", default_value_t = 40)]
    pub(crate) lanes: u32,
    /// List at most this many waits, the longest
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub(crate) rows: u32,
    /// Columns of the picture; default: the terminal's, or 120
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(40..=1000))]
    pub(crate) width: Option<u16>,
    /// Draw with ASCII characters only
    #[arg(long)]
    pub(crate) ascii: bool,
    /// text for people, json for programs
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
}

const TIMELINE_EXAMPLES: &str = "\
Examples:
  syncline timeline                                         the last 10 s of data in the store
  syncline timeline --from -30s --service cart
  syncline timeline --from 14:05:00 --to 14:05:02.5 --min-duration 50ms --reason mutex
  syncline timeline --from 2026-11-23T14:05:00Z --to 2026-11-23T14:06:00Z --format json

A TIME is RFC 3339 (2026-11-23T14:05:00.25Z), HH:MM:SS[.fff] (today, UTC), -30s or -5m (before
now), now, or a Unix time in s, ms, us or ns.
Colours tell the reasons apart on a terminal; set NO_COLOR to have none.";

/// Show how far each node's clock is off, how sure that is, and how fast it drifts.
///
/// OFFSET is the node's wall clock minus the fleet's one clock; the true offset lies within OFFSET +- BOUND.
/// DRIFT is how much faster (+) or slower (-) than it the node's oscillator runs. Below are the regions' own clocks
/// against that of the root region, which is the fleet's.
#[derive(Args, Debug)]
#[command(after_help = SKEW_EXAMPLES)]
pub(crate) struct SkewArgs {
    /// Every two regions instead, and each against UTC: what all links and claims say together, and which is false
    #[arg(long)]
    pub(crate) regions: bool,
    /// Every two nodes that sent each other something instead: whether it was sent before it was received, by the clocks. Exit code 3
    /// if a message contradicts them
    #[arg(long, conflicts_with = "regions")]
    pub(crate) pairs: bool,
    /// With --pairs: messages since then
    #[arg(long, value_name = "TIME", default_value = "-1h", requires = "pairs", allow_hyphen_values = true)]
    pub(crate) since: Option<String>,
    /// With --pairs: of this node only
    #[arg(long, value_name = "NAME", requires = "pairs")]
    pub(crate) node: Option<String>,
    /// text for people, json for programs
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
}

const SKEW_EXAMPLES: &str = "\
Examples:
  syncline skew
  syncline skew --format json | jq '.nodes[] | select(.status != \"synchronized\")'
  syncline skew --regions
  syncline skew --pairs --since -10m --node eu-1

Status: synchronized (probes arrive and agree), free_running (no probe for 16 s: the numbers are of AGE ago),
disrupted (the clock was disturbed and is being learnt anew), unknown (no estimate yet).";

/// Check what this machine can and cannot do, with a hint for everything that is missing.
///
/// Exit code 0 if Go programs can be captured here, 1 if not.
#[derive(Args, Debug)]
#[command(after_help = DOCTOR_EXAMPLES)]
pub(crate) struct DoctorArgs {
    /// Print {checks: [{check, status, found, hint}], can_capture, can_store}
    #[arg(long)]
    pub(crate) json: bool,
}

const DOCTOR_EXAMPLES: &str = "\
Examples:
  sudo syncline doctor
  syncline doctor --json | jq '.checks[] | select(.status != \"ok\")'";

/// For whom to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Text,
    Json,
}

pub(crate) fn span(text: &str) -> Result<u64, String> {
    time::span(text).ok_or_else(|| format!("{text:?} is not a length of time; write 500us, 1ms, 2s, 1m"))
}

/// A trace id as the store has it: 32 digits in lower case.
pub(crate) fn trace_id(text: &str) -> Result<String, String> {
    let is_id = matches!(text.len(), 16 | 32) && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    if is_id {
        Ok(format!("{:0>32}", text.to_ascii_lowercase()))
    } else {
        Err("not a trace id: 32 hexadecimal digits, or 16, as in 4bf92f3577b34da6a3ce929d0e0e4736".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn relative_times_are_values_not_options() {
        let cli = Cli::try_parse_from(["syncline", "timeline", "--from", "-30s", "--to", "-10s"]).unwrap();
        let Command::Timeline(args) = cli.command else { panic!("not a timeline") };
        assert_eq!((args.from.as_deref(), args.to.as_deref()), (Some("-30s"), Some("-10s")));
    }
}
