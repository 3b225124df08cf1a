//! One run of the program, in one of the ways.

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::time::{ClockId, clock_gettime};
use syncline_insight::BlockProfile;
use syncline_insight::bias::{Bands, Comparison, Truth, compare, is_of_another_rate};
use tempfile::TempDir;

use super::args::BiasArgs;
use super::events::{self, Window};
use super::launch::{Ended, Running, wait_for_any, words_after};
use super::program::Program;
use super::telling::{Telling, profile_path};
use super::watching::{Limits, Watching};
use crate::units::span;

/// Between what the kernel tells of an end first and what it tells last.
const MOMENT: Duration = Duration::from_secs(1);

/// How a run is observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    /// Of Go's block profile, ns; none without one.
    pub(super) rate_ns: Option<u64>,
    /// Whether everything is captured.
    pub(super) is_captured: bool,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) way: Way,
    pub(super) wall_ns: u64,
    pub(super) cpu_ns: u64,
    /// Blocks and their time, ns, as the profile reports them.
    pub(super) reported: Option<(u64, u64)>,
    pub(super) captured: Option<Captured>,
}

/// What was captured in a run.
#[derive(Clone, Debug)]
pub(super) struct Captured {
    /// Against the profile, where there is one, otherwise against nothing.
    pub(super) comparison: Comparison,
    pub(super) lost: u64,
    pub(super) parked: u64,
    /// What its events took on disk.
    pub(super) events_bytes: u64,
}

/// All that runs have in common.
pub(super) struct Bench<'a> {
    pub(super) args: &'a BiasArgs,
    pub(super) program: &'a Program,
    pub(super) agent: &'a Path,
    pub(super) telling: Telling<'a>,
    pub(super) bands: Bands,
}

impl Way {
    /// `rate 10.0 µs, captured`.
    pub(super) fn name(self) -> String {
        match (self.rate_ns, self.is_captured) {
            (None, false) => "neither".to_owned(),
            (None, true) => "captured".to_owned(),
            (Some(rate), false) => rate_name(rate),
            (Some(rate), true) => format!("{}, captured", rate_name(rate)),
        }
    }
}

/// `rate 1`, which is the one that is special, or `rate 10.0 µs`.
pub(super) fn rate_name(rate_ns: u64) -> String {
    if rate_ns == 1 { "rate 1".to_owned() } else { format!("rate {}", span(rate_ns)) }
}

impl Bench<'_> {
    /// Runs it once.
    ///
    /// # Errors
    /// If the program or the agent fails, or the profile is not what was asked for.
    pub(super) fn run(&self, way: Way) -> Result<Run> {
        self.measured(way).with_context(|| format!("{} ({})", self.program.name(), way.name()))
    }

    fn measured(&self, way: Way) -> Result<Run> {
        let directory =
            tempfile::Builder::new().prefix("syncline-bias-").tempdir().context("no temporary directory")?;
        let profile = profile_path(directory.path());
        let command = self.telling.command(self.program, way.rate_ns.unwrap_or(0), &profile);
        let mut program = Running::start_stopped(&self.program.name(), command, directory.path())?;
        let mut watching = way.is_captured.then(|| self.watch(&program, &directory)).transpose()?;
        let began = Instant::now();
        program.go_on()?;
        let life = self.live(way, &mut program, &mut watching, &directory)?;
        let wall_ns = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let words = program.last_words();
        drop(program);
        let read = || self.telling.read(&profile, &words);
        let profile = match (way.rate_ns, life.fetched) {
            (None, _) => None,
            (Some(_), Some(fetched)) => Some(fetched),
            (Some(_), None) => Some(read()?),
        };
        let captured =
            watching.map(|watching| self.captured(watching, way, life.window, profile.as_ref())).transpose()?;
        if let (Some(profile), Some(rate_ns)) = (&profile, way.rate_ns) {
            self.check(profile, rate_ns, captured.as_ref())?;
        }
        Ok(Run { way, wall_ns, cpu_ns: life.ended.cpu_ns, reported: profile.as_ref().map(sums), captured })
    }

    fn watch(&self, program: &Running, directory: &TempDir) -> Result<Watching> {
        let limits = Limits { ring_bytes: &self.args.ring_bytes, events_bytes: self.args.events_bytes };
        Watching::start(self.agent, program.id(), limits, directory.path())
    }

    /// Sees the program through to its end.
    fn live(
        &self,
        way: Way,
        program: &mut Running,
        watching: &mut Option<Watching>,
        directory: &TempDir,
    ) -> Result<Life> {
        let mut window = Window::ALWAYS;
        if self.telling.tell(way.rate_ns.unwrap_or(0), program)? {
            window.from_ns = mono_ns();
        }
        let load = self.args.load.as_deref().map(|load| start_load(load, directory)).transpose()?;
        let is_over = self.wait_for_the_end(program, watching, load)?;
        if self.telling.is_fetched() && is_over {
            bail!("the program ended by itself before its profile was fetched{}", words_after(&program.last_words()));
        }
        let mut fetched = None;
        if self.telling.is_fetched() && way.rate_ns.is_some() {
            window.to_ns = mono_ns();
            fetched = Some(self.telling.fetch()?);
        }
        let ended = if is_over { program.end()? } else { program.ask_to_end()? };
        if is_over {
            program.expect_success(ended)?;
        }
        Ok(Life { window, fetched, ended })
    }

    /// Whether the program has ended by itself; otherwise its time or its load is over.
    fn wait_for_the_end(
        &self,
        program: &Running,
        watching: &mut Option<Watching>,
        load: Option<Running>,
    ) -> Result<bool> {
        let began = Instant::now();
        let limit = self.args.duration.unwrap_or(self.args.timeout);
        match first(program, watching, load.as_ref(), limit)? {
            First::Program => return Ok(true),
            First::Load => {}
            First::Nobody if self.args.duration.is_some() => return Ok(false),
            First::Nobody => {
                let told = span(u64::try_from(self.args.timeout.as_nanos()).unwrap_or(u64::MAX));
                bail!("still running after {told}: give --duration, --load, or a longer --timeout");
            }
        }
        if let Some(mut load) = load {
            let ended = load.end()?;
            load.expect_success(ended)?;
        }
        // Where it is to go on without work, it does.
        let Some(duration) = self.args.duration else { return Ok(false) };
        Ok(first(program, watching, None, duration.saturating_sub(began.elapsed()))? == First::Program)
    }

    fn captured(
        &self,
        watching: Watching,
        way: Way,
        window: Window,
        profile: Option<&BlockProfile>,
    ) -> Result<Captured> {
        let watched = watching.end()?;
        let mut truth = Truth::new(self.bands.clone(), way.rate_ns.unwrap_or(1));
        events::read(watched.events, window, &mut truth)?;
        let comparison = compare(&truth, profile.unwrap_or(&BlockProfile::default()));
        Ok(Captured { comparison, lost: watched.lost, parked: watched.parked, events_bytes: watched.bytes })
    }

    /// A profile that was not made as the program was told gives figures without a meaning.
    fn check(&self, profile: &BlockProfile, rate_ns: u64, captured: Option<&Captured>) -> Result<()> {
        if is_of_another_rate(profile, rate_ns) {
            bail!(
                "the profile has stacks with less time than one sample of {}: the program set another rate than it was told; {}",
                span(rate_ns),
                self.telling.hint_to_set_the_rate()
            );
        }
        let seeable = captured.map_or(0.0, |captured| captured.comparison.seeable.blocks);
        if rate_ns == 1 && profile.stacks.is_empty() && seeable > 0.0 {
            bail!(
                "the profile is empty, and {seeable} blocks that it could see were captured: the program sets no rate; {}",
                self.telling.hint_to_set_the_rate()
            );
        }
        Ok(())
    }
}

/// Who has ended first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Program,
    Load,
    Nobody,
}

/// Waits for the first of them to end, or for this time.
///
/// # Errors
/// If it is the agent that has ended, without which the run is worth nothing.
fn first(program: &Running, watching: &mut Option<Watching>, load: Option<&Running>, time: Duration) -> Result<First> {
    let mut all: Vec<&dyn AsFd> = vec![program];
    all.extend(watching.as_ref().map(|watching| watching as &dyn AsFd));
    all.extend(load.map(|load| load as &dyn AsFd));
    if !wait_for_any(&all, time)? {
        return Ok(First::Nobody);
    }
    if program.is_over()? {
        return Ok(First::Program);
    }
    match watching.take_if(|watching| wait_for_any(&[watching], Duration::ZERO).unwrap_or(true)) {
        None => Ok(First::Load),
        // It ends by itself with the program, of whose end it may know before we do.
        Some(known) if wait_for_any(&[program], MOMENT)? => {
            *watching = Some(known);
            Ok(First::Program)
        }
        Some(failed) => Err(failed.failure()),
    }
}

/// How a program lived.
struct Life {
    window: Window,
    fetched: Option<BlockProfile>,
    ended: Ended,
}

fn start_load(load: &str, directory: &TempDir) -> Result<Running> {
    let mut command = std::process::Command::new("sh");
    command.args(["-c", load]);
    Running::start("load", command, directory.path())
}

fn sums(profile: &BlockProfile) -> (u64, u64) {
    let add = |(blocks, ns): (u64, u64), stack: &syncline_insight::ProfiledStack| {
        (blocks.saturating_add(stack.count), ns.saturating_add(stack.delay_ns))
    };
    profile.stacks.iter().fold((0, 0), add)
}

fn mono_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32).as_nanos()).unwrap_or(0)
}
