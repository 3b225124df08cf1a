//! `syncline clock`: the clock model on its own, fed from a file or from what is stored of a node.
//!
//! [`stored`] reads what the store has of a node and writes it as a stream (with [`asked`]), [`explain`] puts it through the model once more.
//! [`record`] and [`stream`] read, [`replay`] (with [`lag`]) drives the estimator through [`model`] (with [`steps`]), [`answers`] and
//! [`output`] write. All between reading and writing is pure.

mod answers;
mod args;
mod asked;
mod explain;
mod lag;
mod model;
mod record;
mod replay;
mod steps;
mod stored;
mod stream;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use syncline_timebase::Instant;

use crate::answer::print_json;
use crate::args::{Format, StoreArgs};
use crate::failure::usage;
use crate::source::Source;
use crate::time;
use answers::Answers;
pub(crate) use args::ClockArgs;
use args::{ClockCommand, ExplainArgs, RecordArgs, ReplayArgs, WhichNode};
use asked::AskedWait;
use stored::StoredStream;
use stream::Stream;

/// A region's clock may be ahead of this machine's; and what came after a time is of use too. ns.
const AFTERWARDS_NS: i64 = 300_000_000_000;
/// Streams are read in pieces of this size.
const READ_BYTES: usize = 256 << 10;

pub(crate) async fn run(store: &StoreArgs, args: &ClockArgs) -> anyhow::Result<ExitCode> {
    match &args.command {
        ClockCommand::Explain(args) => explain_node(store, args).await,
        ClockCommand::Record(args) => record_node(store, args).await,
        ClockCommand::Replay(args) => replay_stream(args),
    }
}

async fn read_stored(store: &StoreArgs, which: &WhichNode, window: [i64; 3]) -> anyhow::Result<StoredStream> {
    let source = Source::open(store).await?;
    let read = stored::read(&source, which, window).await;
    source.close().await?;
    read
}

/// From `--since` before a time until a while after it, with the time between them.
fn window(which: &WhichNode, at_ns: i64) -> [i64; 3] {
    [at_ns.saturating_sub_unsigned(which.since), at_ns, at_ns.saturating_add(AFTERWARDS_NS)]
}

async fn explain_node(store: &StoreArgs, args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let now_ns = time::now_ns();
    let at_ns =
        args.at.as_deref().map(|text| time::parse(text, now_ns)).transpose().map_err(|why| usage(why.to_string()))?;
    // What came soon after it says as much of it as what came before.
    let stream = read_stored(store, &args.which, window(&args.which, at_ns.unwrap_or(now_ns))).await?;
    let newest = stream.probes.last().map_or(now_ns, |stored| stored.probe.replied.ns());
    let at = Instant::from_ns(at_ns.unwrap_or(newest));
    let explanation = explain::explain(&args.which.node, &stream, args.assumed.tolerance(), at)
        .map_err(|explain::Unknown| usage(format!("nothing is known of node {:?} at that time", args.which.node)))?;
    match args.format {
        Format::Text => io::stdout().lock().write_all(explanation.text().as_bytes())?,
        Format::Json => print_json(&explanation)?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn record_node(store: &StoreArgs, args: &RecordArgs) -> anyhow::Result<ExitCode> {
    let (stream, waits) = read_asked(store, args).await?;
    let knots = if args.out == Path::new("-") {
        stored::write(&stream, &waits, &mut io::BufWriter::new(io::stdout().lock()))?
    } else {
        let name = args.out.display();
        let file = File::create(&args.out).with_context(|| format!("cannot write {name}"))?;
        let mut file = io::BufWriter::new(file);
        let written = stored::write(&stream, &waits, &mut file).and_then(|knots| file.flush().map(|()| knots));
        written.with_context(|| format!("cannot write {name}"))?
    };
    let (probes, events, boot) = (stream.probes.len(), waits.len(), stream.boot);
    let all = if events == args.events as usize { " (--events says how many)" } else { "" };
    let _ = writeln!(
        io::stderr(),
        "syncline: probes={probes} knots={knots} region={} boot={boot:016x} events={events}{all}",
        stream.region
    );
    Ok(ExitCode::SUCCESS)
}

async fn read_asked(store: &StoreArgs, args: &RecordArgs) -> anyhow::Result<(StoredStream, Vec<AskedWait>)> {
    let source = Source::open(store).await?;
    let read = async {
        let stream = stored::read(&source, &args.which, window(&args.which, time::now_ns())).await?;
        let waits = asked::read(&source, &args.which.node, &stream, args.events as usize).await?;
        Ok((stream, waits))
    };
    let read = read.await;
    source.close().await?;
    read
}

fn replay_stream(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let options = args.options()?;
    let stream = open(&args.stream)?;
    let mut answers = Answers::create(args)?;
    let summary = replay::replay(stream, &options, &mut answers)?;
    answers.complete()?;
    // Nobody may be reading any more, which is no reason to fail.
    let _ = writeln!(io::stderr(), "syncline: {summary}");
    Ok(ExitCode::SUCCESS)
}

fn open(path: &Path) -> anyhow::Result<Stream<Box<dyn BufRead>>> {
    if path == Path::new("-") {
        return Ok(Stream::new("standard input".to_owned(), Box::new(io::stdin().lock())));
    }
    let name = path.display().to_string();
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(usage(format!("there is no stream at {name}: give --stream a file, or - for standard input")));
        }
        opened => opened.with_context(|| format!("cannot read {name}"))?,
    };
    if file.metadata().is_ok_and(|found| found.is_dir()) {
        return Err(usage(format!("--stream {name} is a directory: name a file in it")));
    }
    Ok(Stream::new(name, Box::new(BufReader::with_capacity(READ_BYTES, file))))
}
