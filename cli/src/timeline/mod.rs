//! `syncline timeline`: who waited for what, across regions, on one clock.
//!
//! [`query`] reads the waits of a window from the store; [`picture`] draws them and knows neither store nor terminal.

mod bars;
mod event;
mod lanes;
mod list;
mod picture;
mod query;
mod scale;

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

use crate::answer::print_json;
use crate::args::{Format, StoreArgs, TimelineArgs};
use crate::colour::Palette;
use crate::source::Source;
use crate::window::Wish;
use crate::{terminal, time, waits};
use event::Event;
use picture::{Look, View, picture};

/// The length of a window of which only one end is given.
const USUAL_NS: i64 = 10_000_000_000;

pub(crate) async fn run(store: &StoreArgs, args: &TimelineArgs) -> anyhow::Result<ExitCode> {
    let now_ns = time::now_ns();
    // Wrong times are told before anything is started.
    let wish = Wish::parse(args.from.as_deref(), args.to.as_deref(), USUAL_NS, now_ns)?;
    let source = Source::open(store).await?;
    let found = find(&source, wish, now_ns, args).await;
    source.close().await?;
    let view = found?;
    match args.format {
        Format::Text => io::stdout().lock().write_all(picture(&view, look(args)).as_bytes())?,
        Format::Json => print_json(&Document::of(&view))?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn find(source: &Source, wish: Wish, now_ns: i64, args: &TimelineArgs) -> anyhow::Result<View> {
    let window = waits::window(source, wish, USUAL_NS, now_ns).await?;
    let mut view = query::view(source, window, args).await?;
    // What began after the newest wait that has ended belongs to the newest, too.
    let before_ns = if wish == Wish::NewestData { now_ns } else { window.to_ns };
    view.still = query::still(source, before_ns, args).await?;
    Ok(view)
}

fn look(args: &TimelineArgs) -> Look {
    let width = args.width.map_or_else(terminal::width, usize::from);
    Look {
        width,
        // Whoever reads from a pipe wants whole names.
        list_width: if args.width.is_some() || terminal::is_terminal() { width } else { usize::MAX },
        ascii: args.ascii,
        palette: Palette { enabled: terminal::wants_colour() },
        lanes: args.lanes as usize,
        rows: args.rows as usize,
    }
}

/// The view for programs.
#[derive(Serialize)]
struct Document<'a> {
    from: String,
    to: String,
    /// Waits in the window; `events` holds the longest of them when there are more than `--limit`.
    matched: u64,
    /// Of Go's own goroutines, not in the above.
    runtime_waits: u64,
    runtime_waited_ns: u64,
    /// Goroutines that began to wait in the window or before, and still do.
    still_waiting: u64,
    events: Vec<Entry<'a>>,
}

#[derive(Serialize)]
struct Entry<'a> {
    start: String,
    end: String,
    /// The innermost function that is not the language's own.
    frame: Option<&'a str>,
    #[serde(flatten)]
    event: &'a Event,
}

impl<'a> Document<'a> {
    fn of(view: &'a View) -> Self {
        let entry = |event: &'a Event| Entry {
            start: time::rfc3339(event.start_ns),
            end: time::rfc3339(event.end_ns),
            frame: event.frame(),
            event,
        };
        let (from, to) = (time::rfc3339(view.from_ns), time::rfc3339(view.to_ns));
        Self {
            from,
            to,
            matched: view.matched,
            runtime_waits: view.own_waits,
            runtime_waited_ns: view.own_waited_ns,
            still_waiting: view.still,
            events: view.events.iter().map(entry).collect(),
        }
    }
}
