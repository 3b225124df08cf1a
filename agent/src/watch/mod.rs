//! `syncline-agent watch`: where the goroutines of a program block, live, with nothing but this machine.
//!
//! ```text
//! capture ─> Gathering (names, sites, short waits, losses) ─> Lines (a pipe) or Screen (a terminal)   [gather, lines, screen]
//!                          └> Out: events.jsonl as they come; block.pb.gz, block.svg at the end        [out]
//! ```
//!
//! One thread does all of it: the kernel's ring rides out the moment that a table takes.

mod error;
mod front;
mod gather;
mod lines;
mod names;
mod out;
mod reason;
#[cfg(test)]
mod sample;
mod screen;
mod short;
mod states;
mod table;
mod who;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

pub use error::WatchError;
pub use out::{Out, OutKind};
pub use who::Who;

use crate::capture::{Capture, CaptureConfig, CaptureKind, Kinds};
use front::{Front, Wish};
use gather::Gathering;
use syncline_insight::Order;
use tokio::signal::unix::{SignalKind, signal};

/// Longest sleep in the kernel, and so the longest delay of a key.
const POLL: Duration = Duration::from_millis(50);
/// How goroutines spend their time is read for each screen.
const STATES_EVERY: Duration = Duration::from_secs(1);
/// Goroutines that are blocked for so long are shown before their wait ends.
const OPEN_AFTER: Duration = Duration::from_secs(1);
/// Rounds of emptying the ring at the end; the probes are still attached, so it may never be empty.
const LAST_ROUNDS: usize = 16;

/// Settings of a watch.
#[derive(Clone, Debug)]
pub struct WatchConfig {
    /// Whom to watch.
    pub who: Who,
    /// Wait for the first process, and go on when the last one has ended.
    pub wait: bool,
    /// How long, from the first process on; else until it is ended.
    pub length: Option<Duration>,
    /// Time between two tables.
    pub interval: Duration,
    /// Waits at least this long are looked at one by one.
    pub threshold: Duration,
    /// Deepest stack taken, return addresses.
    pub max_stack_depth: u8,
    /// What is captured beyond the usual.
    pub added: Kinds,
    /// Size of the ring between kernel and agent.
    pub ring_bytes: u32,
    /// What is shown at first.
    pub look: Look,
    /// Only waits whose reason contains this text.
    pub reason: Option<String>,
    /// Files to write.
    pub out: Vec<Out>,
}

/// How a table looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// What the sites are ranked by.
    pub order: Order,
    /// Sites shown at most.
    pub top: usize,
    /// Whether sites of Go's own goroutines are shown, too.
    pub runtime: bool,
    /// Whether a table in a pipe has the stacks of its sites below.
    pub stacks: bool,
}

/// Watches until the time is over, the processes have ended, or a person or a signal ends it; then the last table is written
/// to standard output, and the files.
///
/// # Errors
/// When there is nobody to watch, the kernel refuses, or a file or the terminal cannot be written.
pub async fn watch(config: WatchConfig) -> Result<(), WatchError> {
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let mut watching = tokio::task::spawn_blocking(move || watch_until(&config, &told));
    let listen = |kind| signal(kind).map_err(WatchError::System);
    let (mut interrupt, mut terminate, mut hangup) =
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?, listen(SignalKind::hangup())?);
    loop {
        tokio::select! {
            ended = &mut watching => return ended.map_err(|_| WatchError::Ended)?,
            _ = interrupt.recv() => stop.store(true, Ordering::Relaxed),
            _ = terminate.recv() => stop.store(true, Ordering::Relaxed),
            _ = hangup.recv() => stop.store(true, Ordering::Relaxed),
        }
    }
}

fn watch_until(config: &WatchConfig, stop: &AtomicBool) -> Result<(), WatchError> {
    let capture = Capture::start(CaptureConfig {
        threshold: config.threshold,
        max_stack_depth: config.max_stack_depth,
        ring_bytes: config.ring_bytes,
        open_after: OPEN_AFTER,
        kinds: Kinds::without(&[CaptureKind::OffCpu, CaptureKind::Tcp]).and(config.added),
        states_every: STATES_EVERY,
        ..CaptureConfig::new(config.who.target())
    })?;
    let mut gathering = Gathering::new(capture, config)?;
    if !config.wait {
        gathering.expect_somebody(&config.who)?;
    }
    gathering.write_to(config.out.iter().map(Out::open).collect::<Result<_, _>>()?);
    let mut front = Front::choose(config)?;
    let outcome = rounds(config, stop, &mut gathering, &mut front);
    // The terminal is put in order before anything else is told, also after an error.
    let closed = front.close();
    outcome?;
    closed?;
    for _ in 0..LAST_ROUNDS {
        if gathering.poll(Duration::ZERO)? == 0 {
            break;
        }
    }
    gathering.finish()?;
    front::tell_last(&gathering, config.look)
}

/// Gathers and shows until there is a reason to end.
fn rounds(
    config: &WatchConfig,
    stop: &AtomicBool,
    gathering: &mut Gathering,
    front: &mut Front,
) -> Result<(), WatchError> {
    while !stop.load(Ordering::Relaxed) {
        let left = gathering.left_of(config.length, Instant::now());
        if left.is_zero() || (gathering.is_over() && !config.wait) {
            return Ok(());
        }
        gathering.poll(POLL.min(left))?;
        match front.turn(gathering)? {
            Wish::GoOn => {}
            Wish::Reset => gathering.reset(),
            Wish::Quit => return Ok(()),
        }
    }
    Ok(())
}
