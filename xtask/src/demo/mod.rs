//! `cargo xtask demo`: three regions on this machine with wrong clocks, real services between them, and the answer.
//!
//! Everything runs as in a fleet: each region has its aggregator, its node with an agent, and its Go service; the
//! regions' only common thing is the root's store. The agents' stamps are made wrong by parameters known here alone,
//! and the services keep a journal that only the check reads.

mod aggregators;
pub(crate) mod broker;
pub(crate) mod build;
mod check;
mod child;
mod diagnosis;
mod faults;
mod fleet;
mod http;
mod journal;
mod knots;
mod live;
mod plan;
mod questions;
mod recording;
mod relay;
mod replay;
mod report;
mod staging;
mod store;
mod truth;

use std::fmt::Display;
use std::fs::{File, TryLockError};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use self::build::Programs;
use self::check::Findings;
use self::diagnosis::Diagnosis;
use self::fleet::Directories;
use self::journal::{Entry, Message, Moment};
use self::plan::REGIONS;
use self::questions::Questions;
use self::recording::Recording;
use self::report::{Report, Window};
use self::store::Store;
use self::truth::Truth;
use crate::{fetch, place};

/// What `cargo xtask demo` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// Fail unless every promise of the demo holds
    #[arg(long)]
    pub(crate) check: bool,
    /// Fail where live capture is impossible, instead of replaying a recording
    #[arg(long, conflicts_with = "replay")]
    pub(crate) live: bool,
    /// Replay the recording that comes with the source, also where live capture is possible
    #[arg(long)]
    pub(crate) replay: bool,
    /// Record this run into a directory, in the form of demo/recordings
    #[arg(long, value_name = "DIR", conflicts_with = "replay")]
    pub(crate) record: Option<PathBuf>,
    /// How long the services run under observation
    #[arg(long, default_value_t = DEFAULT_SECONDS, value_parser = clap::value_parser!(u64).range(5..=3600))]
    pub(crate) seconds: u64,
    /// Send the aggregators' clock probes over the delayed links too, as when regions have no better path: bounds grow
    /// to half the round trip
    #[arg(long)]
    pub(crate) wan_probes: bool,
    /// Probe clocks over gRPC only, as where UDP does not get through: stamps are then taken in user space
    #[arg(long)]
    pub(crate) grpc_probes: bool,
    /// How batches travel
    #[arg(long, value_enum, default_value = "grpc", conflicts_with_all = ["replay", "record"])]
    pub(crate) uplink: Uplink,
    /// Let everything go wrong that may happen to clocks, for two and a half minutes: delay, jitter, loss and other routes
    /// between agents and aggregators, steps, drift, slews, a stopped agent, a restarted aggregator, a stepped reference, a
    /// node that lies
    #[arg(long, conflicts_with_all = ["replay", "record", "seconds", "wan_probes", "grpc_probes", "uplink"])]
    pub(crate) clock_faults: bool,
}

/// How batches travel.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Uplink {
    /// Each agent sends them to its region's aggregator
    Grpc,
    /// Through a Kafka broker, which is fetched and started for that; clock probes do not
    Kafka,
}

const DEFAULT_SECONDS: u64 = 25;

impl Options {
    /// As a test runs it.
    pub(crate) fn checked(live: bool) -> Self {
        let (seconds, record) = (DEFAULT_SECONDS, None);
        let (replay, wan_probes, grpc_probes, clock_faults) = (false, false, false, false);
        let uplink = Uplink::Grpc;
        Self { check: true, live, replay, record, seconds, wan_probes, grpc_probes, uplink, clock_faults }
    }
}

/// # Errors
/// When the demo cannot run, or with `--check` when it does not hold what it promises.
pub(crate) fn run(options: &Options) -> Result<()> {
    let demo = Demo::prepare()?;
    let source = Source::choose(options, &demo.programs.cli)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        tokio::select! {
            concluded = demo.show(options, source) => concluded,
            () = interrupted() => bail!("interrupted; everything that was started has been stopped"),
        }
    })
}

/// The last line says it all.
fn conclude(name: &str, check: bool, failures: &[String], findings: &impl Display) -> Result<()> {
    if failures.is_empty() {
        println!("{name}: OK {findings}");
        return Ok(());
    }
    for failure in failures {
        println!("{name}: {failure}");
    }
    println!("{name}: FAILED {findings}");
    if check {
        bail!("the demo does not hold what it promises: {}", failures.join("; "));
    }
    Ok(())
}

async fn interrupted() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        // Without handlers the signals end us at once, as they always did.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => (),
        _ = interrupt.recv() => (),
    }
}

/// Where the events come from.
#[derive(Clone, Copy)]
enum Source {
    Kernel,
    Recording,
}

impl Source {
    fn choose(options: &Options, cli: &Path) -> Result<Self> {
        if options.replay {
            return Ok(Self::Recording);
        }
        match Diagnosis::of_this_machine(cli)?.why_not_live() {
            None => Ok(Self::Kernel),
            Some(reason) if options.live || options.clock_faults || options.uplink == Uplink::Kafka => {
                bail!("live capture is impossible here: {reason}")
            }
            Some(reason) => {
                println!("live capture is impossible here: {reason}; a recording of the same services is replayed");
                Ok(Self::Recording)
            }
        }
    }
}

/// What is ready before the first process starts.
struct Demo {
    begun: Instant,
    programs: Programs,
    dirs: Directories,
    libchdb: PathBuf,
    /// Held as long as the directories are in use.
    _lock: File,
}

/// What a run leaves for the check.
struct Ran {
    truth: Truth,
    /// MONO of this machine between which every agent was capturing.
    observed: Range<i64>,
    /// What docs/schema.md asks, and the answers; none of a recording, of which not all is known.
    questions: Option<Questions>,
}

impl Ran {
    /// All that can be in the store, on the fleet's clock.
    fn window(&self) -> Result<Window> {
        let fleet = |mono_ns| self.truth.fleet_ns(mono_ns).context("the machine's clocks were not sampled");
        Ok(Window { from_ns: fleet(self.observed.start)? - MARGIN_NS, to_ns: fleet(self.observed.end)? + MARGIN_NS })
    }

    /// The messages between regions while every agent was capturing.
    fn messages(&self, journals: &[Vec<Entry>]) -> Result<Vec<Message>> {
        let mut messages = journal::messages(journals)?;
        let seen = |moment: &Moment| self.observed.contains(&moment.mono_ns);
        messages.retain(|message| seen(&message.sent) && seen(&message.received));
        Ok(messages)
    }
}

/// Two demos at once would take each other's store away.
fn lock_of(target: &Path) -> Result<File> {
    std::fs::create_dir_all(target)?;
    let path = target.join("demo.lock");
    let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another demo is running in {}: wait for it, or stop it", target.join("demo").display())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("cannot lock {}", path.display())),
    }
}

/// Waits that were seen while the agents started and stopped are in the store too.
const MARGIN_NS: i64 = 60_000_000_000;

impl Demo {
    fn prepare() -> Result<Self> {
        let begun = Instant::now();
        let lock = lock_of(&place::target())?;
        fetch::run(fetch::Part::All)?;
        let libchdb = fetch::libchdb::path()?;
        println!("building Syncline and the demo's services (the first time takes minutes)");
        let under = place::target().join("demo");
        let programs = build::build(&under.join("bin"))?;
        let demo = Self { begun, programs, dirs: Directories::create(&under)?, libchdb, _lock: lock };
        demo.say("built");
        Ok(demo)
    }

    fn say(&self, what: &str) {
        println!("[{:6.1} s] {what}", self.begun.elapsed().as_secs_f64());
    }

    fn store(&self) -> Store<'_> {
        Store { cli: &self.programs.cli, dir: &self.dirs.store, libchdb: &self.libchdb }
    }

    async fn show(&self, options: &Options, source: Source) -> Result<()> {
        if options.clock_faults {
            let verdict = self.find_clock_faults().await?;
            return conclude("clock-faults", options.check, &verdict.failures(), &verdict);
        }
        let findings = self.run(options, source).await?;
        conclude("demo", options.check, &findings.failures(), &findings)
    }

    async fn run(&self, options: &Options, source: Source) -> Result<Findings> {
        let ran = match source {
            Source::Kernel => self.run_live(options).await?,
            Source::Recording => self.replay(&Recording::of_the_tree()).await?,
        };
        self.say("reading the store");
        let report = Report { store: self.store(), truth: &ran.truth, window: ran.window()? };
        let rows = ran.truth.judge(report.rows().await?)?;
        let findings = Findings::of(&rows, report.stored().await?, &ran.messages(&self.journals()?)?);
        let fed = if matches!(source, Source::Kernel) { Some(report.messages().await?) } else { None };
        let findings = findings.with_messages(fed).with_questions(ran.questions.as_ref());
        report.show(&rows, &findings).await?;
        Ok(findings)
    }

    fn journals(&self) -> Result<Vec<Vec<Entry>>> {
        REGIONS.iter().map(|region| journal::read(&self.dirs.journal(region))).collect()
    }
}
