//! `syncline clock`: the clock model on its own, fed from a file.
//!
//! [`record`] and [`stream`] read, [`replay`] (with [`lag`]) drives the estimator through [`model`] (with [`steps`]), [`answers`] and
//! [`output`] write. All between reading and writing is pure.

mod answers;
mod args;
mod lag;
mod model;
mod output;
mod record;
mod replay;
mod steps;
mod stream;

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use crate::failure::usage;
use answers::Answers;
pub(crate) use args::ClockArgs;
use args::ClockCommand;
use stream::Stream;

/// Streams are read in pieces of this size.
const READ_BYTES: usize = 256 << 10;

pub(crate) fn run(args: &ClockArgs) -> anyhow::Result<ExitCode> {
    let ClockCommand::Replay(args) = &args.command;
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
