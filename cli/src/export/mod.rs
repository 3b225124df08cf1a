//! `syncline export`: the waits of a range as a file that another tool opens.
//!
//! [`rows`] reads waits one after the other, a piece of the range at a time ([`pieces`]), with their [`stacks`] and with what ended them
//! across the network ([`edges`]). [`trace`], [`speedscope`] and [`profile`] hand them to the encoders; [`table`] lets ClickHouse write. [`sink`]
//! takes the bytes. No format holds the range in memory.

mod args;
mod edges;
mod pieces;
mod profile;
mod progress;
mod rows;
mod sink;
mod speedscope;
mod stacks;
mod table;
mod trace;

use std::path::Path;
use std::process::ExitCode;

use serde::Deserialize;
use syncline_export::Wait;
use syncline_insight::waits as counted;

use crate::args::StoreArgs;
use crate::failure::usage;
use crate::source::Source;
use crate::stuck::{Wanted, stuck};
use crate::units::bytes;
use crate::window::{Window, Wish};
use crate::{terminal, time, waits};
pub(crate) use args::ExportArgs;
use args::Format;
use sink::Sink;

/// The length of a range of which only one end is given.
const USUAL_NS: i64 = 60_000_000_000;

/// What is exported.
struct Export<'a> {
    source: &'a Source,
    args: &'a ExportArgs,
    window: Window,
    /// Waits that have not ended, which are in no file.
    still: u64,
    /// By cause.
    losses: Vec<Loss>,
}

/// What was written, and what was not.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    waits: u64,
    /// Of these, without a bound of their time.
    unbounded: u64,
    /// Of these, with a flow from what ended them.
    flows: u64,
    /// Beside them, summed up below the threshold.
    short: u64,
    /// Of Go's own goroutines, left out.
    own: u64,
    /// Inside of others, left out where each moment counts once.
    inside: u64,
}

#[derive(Deserialize)]
struct Loss {
    cause: String,
    lost: u64,
}

pub(crate) async fn run(store: &StoreArgs, args: &ExportArgs) -> anyhow::Result<ExitCode> {
    let now_ns = time::now_ns();
    // Wrong times and files are told before anything is started.
    let wish = Wish::parse(args.from.as_deref(), args.to.as_deref(), USUAL_NS, now_ns)?;
    if args.output == Path::new("-") && args.format.is_binary() && terminal::is_terminal() {
        return Err(usage(format!(
            "{} is binary and would garble the terminal: name a file with -o",
            args.format.name()
        )));
    }
    let sink = Sink::create(&args.output)?;
    let mut source = Source::open(store).await?;
    source.be_patient();
    let outcome = export(&source, args, wish, now_ns, sink).await;
    let closed = source.close().await;
    outcome?;
    closed.map(|()| ExitCode::SUCCESS)
}

async fn export(source: &Source, args: &ExportArgs, wish: Wish, now_ns: i64, mut sink: Sink) -> anyhow::Result<()> {
    let window = waits::window(source, wish, USUAL_NS, now_ns).await?;
    let still = still(source, args, if wish == Wish::NewestData { now_ns } else { window.to_ns }).await?;
    let export = Export { source, args, window, still, losses: losses(source, window, args).await? };
    let tally = match args.format {
        Format::Perfetto => trace::write(&export, &mut sink).await?,
        Format::Pprof => profile::write(&export, &mut sink).await?,
        Format::Speedscope => speedscope::write(&export, &mut sink).await?,
        Format::Parquet => table::write(&export, &mut sink).await?,
    };
    let newest_ns = if tally.waits == 0 { waits::newest_ns(source).await? } else { None };
    let report = export.report(&tally, &sink, newest_ns);
    sink.complete()?;
    report.iter().for_each(|line| eprintln!("{line}"));
    Ok(())
}

/// How many waits that began before this go on.
async fn still(source: &Source, args: &ExportArgs, before_ns: i64) -> anyhow::Result<u64> {
    let wanted = Wanted {
        whose: &args.whose,
        reason: args.reason.as_deref(),
        trace: None,
        min_duration: args.min_duration,
        began_before_ns: Some(before_ns),
        with_own: args.runtime,
    };
    let found = stuck(source, &wanted).await?.waits;
    Ok(found.iter().filter(|wait| args.takes(wait.goid, &wait.kind)).count() as u64)
}

/// What was captured in these minutes and not stored; it is not known whose it was.
async fn losses(source: &Source, window: Window, args: &ExportArgs) -> anyhow::Result<Vec<Loss>> {
    let mut conditions =
        vec!["toUnixTimestamp(t.bucket) >= {first:Int64} AND toUnixTimestamp(t.bucket) <= {last:Int64}"];
    let second = |ns: i64| ns.div_euclid(1_000_000_000).clamp(0, i64::from(u32::MAX));
    let mut params = vec![
        ("first".to_owned(), (second(window.from_ns) / 60 * 60).to_string()),
        ("last".to_owned(), second(window.to_ns).to_string()),
    ];
    for condition in
        args.whose.conditions().into_iter().filter(|condition| ["region", "node"].contains(&condition.name))
    {
        conditions.push(condition.sql);
        params.push((condition.name.to_owned(), condition.value));
    }
    let sql = format!(
        "SELECT toString(t.cause) AS cause, sum(t.count) AS lost FROM losses AS t WHERE {} GROUP BY cause ORDER BY lost DESC, cause",
        conditions.join(" AND ")
    );
    source.rows(&sql, &params).await
}

impl Export<'_> {
    /// What a reader of the file should know, by name.
    fn about(&self) -> Vec<(&'static str, String)> {
        let filters = self.args.filters();
        let mut about = vec![
            ("from", time::rfc3339(self.window.from_ns)),
            ("to", time::rfc3339(self.window.to_ns)),
            ("clock", "the fleet's: the reference of the root region".to_owned()),
        ];
        about.extend((!filters.is_empty()).then(|| ("only", filters.join(", "))));
        about.extend((self.still > 0).then(|| ("still waiting and not in here", self.still.to_string())));
        about.extend((!self.losses.is_empty()).then(|| ("lost in these minutes", self.lost())));
        about
    }

    fn lost(&self) -> String {
        let texts: Vec<String> = self.losses.iter().map(|loss| format!("{} {}", loss.lost, loss.cause)).collect();
        texts.join(", ")
    }

    /// For people, on standard error.
    fn report(&self, tally: &Tally, sink: &Sink, newest_ns: Option<i64>) -> Vec<String> {
        let (window, args) = (self.window, self.args);
        let [from, to] = [window.from_ns, window.to_ns].map(time::date_and_time);
        let filters = match args.filters() {
            filters if filters.is_empty() => String::new(),
            filters => format!(" of {}", filters.join(", ")),
        };
        let file = if args.output == Path::new("-") {
            "standard output".to_owned()
        } else {
            args.output.display().to_string()
        };
        let (size, took) = (bytes(sink.size()), sink.took().as_secs_f64());
        let all = counted(tally.waits);
        let mut lines =
            vec![format!("{all}{filters} from {from} to {to} in {file}: {}, {size}, {took:.1} s", args.format.name())];
        let Tally { unbounded, flows, short, own, inside, .. } = *tally;
        let still = self.still;
        let parts = [
            (unbounded, "marked, since their nodes' clocks were not known and their times have no bound", ""),
            (flows, "with a flow from what ended them", ""),
            (short, "summed up by reason, of whole minutes, since they are below the threshold", ""),
            (inside, "left out, since they lie inside of others and each moment of a goroutine counts once", ""),
            (own, "left out, since they are of Go's own goroutines", "; --runtime adds them"),
            (still, "left out, since they have not ended", "; syncline stuck shows them"),
        ];
        let told = parts.iter().filter(|(number, ..)| *number > 0);
        lines.extend(told.map(|(number, what, then)| format!("{what}: {}{then}", counted(*number))));
        lines.extend((!self.losses.is_empty()).then(|| format!("lost in these minutes: {}", self.lost())));
        if tally.waits == 0 {
            lines.push(match newest_ns {
                Some(ns) => format!(
                    "there are no such waits; the newest wait in the store ended at {}",
                    time::date_and_time(ns)
                ),
                None => "there are no waits in the store".to_owned(),
            });
        }
        lines
    }
}

impl Tally {
    fn count(&mut self, wait: &Wait<'_>) {
        self.waits += 1;
        self.unbounded += u64::from(wait.is_unbounded());
    }
}
