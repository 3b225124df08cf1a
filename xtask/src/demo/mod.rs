//! `cargo xtask demo`: three regions on this machine with wrong clocks, real services between them, and the answer.
//!
//! Everything runs as in a fleet: each region has its aggregator, its node with an agent, and its Go service; the
//! regions' only common thing is the root's store. The agents' stamps are made wrong by parameters known here alone,
//! and the services keep a journal that only the check reads.

mod build;
mod check;
mod child;
mod fleet;
mod journal;
mod knots;
mod plan;
mod report;
mod store;
mod truth;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use self::build::Programs;
use self::check::Findings;
use self::fleet::{Agents, Aggregators, Directories, Services, injected};
use self::knots::Sampler;
use self::plan::REGIONS;
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
    #[arg(long)]
    pub(crate) live: bool,
    /// How long the services run under observation
    #[arg(long, default_value_t = DEFAULT_SECONDS, value_parser = clap::value_parser!(u64).range(5..=3600))]
    pub(crate) seconds: u64,
    /// Send the aggregators' clock probes over the delayed links too, as when regions have no better path: bounds grow
    /// to half the round trip
    #[arg(long)]
    pub(crate) wan_probes: bool,
}

const DEFAULT_SECONDS: u64 = 25;

impl Options {
    /// As a test runs it.
    pub(crate) fn checked(live: bool) -> Self {
        Self { check: true, live, seconds: DEFAULT_SECONDS, wan_probes: false }
    }
}

/// # Errors
/// When the demo cannot run, or with `--check` when it does not hold what it promises.
pub(crate) fn run(options: &Options) -> Result<()> {
    let live = why_not_live();
    if let (true, Some(reason)) = (options.live, live) {
        bail!("live capture is impossible here: {reason}");
    }
    let begun = Instant::now();
    let demo = Demo::prepare(begun)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let findings = runtime.block_on(async {
        tokio::select! {
            findings = demo.run(options, live) => findings,
            () = interrupted() => bail!("interrupted; everything that was started has been stopped"),
        }
    })?;
    conclude(options, &findings)
}

/// The last line says it all.
fn conclude(options: &Options, findings: &Findings) -> Result<()> {
    let failures = findings.failures();
    if failures.is_empty() {
        println!("demo: OK {findings}");
        return Ok(());
    }
    for failure in &failures {
        println!("demo: {failure}");
    }
    println!("demo: FAILED {findings}");
    if options.check {
        bail!("the demo does not hold what it promises: {}", failures.join("; "));
    }
    Ok(())
}

/// Why the kernel cannot be asked here, if so.
fn why_not_live() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        Some("loading eBPF programs needs root")
    } else if !Path::new("/sys/kernel/btf/vmlinux").is_file() {
        Some("this kernel has no BTF (CONFIG_DEBUG_INFO_BTF)")
    } else {
        None
    }
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

/// What is ready before the first process starts.
struct Demo {
    begun: Instant,
    programs: Programs,
    dirs: Directories,
    libchdb: std::path::PathBuf,
}

/// What a run leaves for the check.
struct Ran {
    truth: Truth,
    /// MONO of this machine between which every agent was capturing.
    observed: std::ops::Range<i64>,
}

impl Ran {
    /// All that can be in the store, on the fleet's clock.
    fn window(&self) -> Result<Window> {
        let fleet = |mono_ns| self.truth.fleet_ns(mono_ns).context("the machine's clocks were not sampled");
        Ok(Window { from_ns: fleet(self.observed.start)? - MARGIN_NS, to_ns: fleet(self.observed.end)? + MARGIN_NS })
    }
}

impl Demo {
    fn prepare(begun: Instant) -> Result<Self> {
        fetch::run(fetch::Part::Clang)?;
        fetch::run(fetch::Part::Go)?;
        let libchdb = fetch::libchdb::ensure()?;
        println!("building Syncline and the demo's services (the first time takes minutes)");
        let under = place::target().join("demo");
        let programs = build::build(&under.join("bin"))?;
        let dirs = Directories::create(&under)?;
        let demo = Self { begun, programs, dirs, libchdb };
        demo.say("built");
        Ok(demo)
    }

    fn say(&self, what: &str) {
        println!("[{:6.1} s] {what}", self.begun.elapsed().as_secs_f64());
    }

    async fn run(&self, options: &Options, not_live: Option<&str>) -> Result<Findings> {
        let ran = match not_live {
            None => self.run_live(options).await?,
            Some(reason) => return replay(reason),
        };
        self.say("reading the store");
        let store = Store { cli: &self.programs.cli, dir: &self.dirs.store, libchdb: &self.libchdb };
        let report = Report { store, truth: &ran.truth, window: ran.window()? };
        let rows = ran.truth.judge(report.rows().await?)?;
        let findings = Findings::of(&rows, &self.messages(&ran)?);
        report.show(&rows, &findings).await?;
        Ok(findings)
    }

    async fn run_live(&self, options: &Options) -> Result<Ran> {
        let sampler = Sampler::start()?;
        let probe_link = options.wan_probes.then_some(REGIONS[0].link).flatten();
        let mut aggregators = Aggregators::start(&self.programs, &self.dirs, &self.libchdb, probe_link).await?;
        self.say("three aggregators are running, the root's with the embedded ClickHouse store");
        let mut services = Services::start(&self.programs, &self.dirs).await?;
        self.say("three services are running, each calling the next: us -> eu -> ap");

        let seconds = Duration::from_secs(options.seconds);
        let start = knots::now();
        let step_at_ns = start.mono + nanos(START_UP + seconds / 2);
        let clocks: Vec<_> = REGIONS.iter().map(|region| injected(region.clock, start, step_at_ns)).collect();
        let pids = services.pids()?;
        let mut agents = Agents::start(&self.programs, &self.dirs, &aggregators, &pids, &clocks).await?;
        self.say("three agents are capturing, each with a wrong clock");

        let from = knots::now().mono;
        let deadline = Instant::now() + seconds;
        while let Some(left) = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            self.say(&format!("observing, {} s to go", left.as_secs_f64().round()));
            tokio::time::sleep(left.min(PROGRESS)).await;
            aggregators.check_alive()?;
            services.check_alive()?;
            agents.check_alive()?;
        }
        let until = knots::now().mono;
        agents.stop().await?;
        services.stop().await?;
        self.say("agents and services have stopped");
        let root_anchor_ns = aggregators.root_anchor_ns()?;
        aggregators.stop().await?;
        Ok(Ran { truth: Truth { clocks, knots: sampler.finish()?, root_anchor_ns }, observed: from..until })
    }

    /// The messages between regions while every agent was capturing.
    fn messages(&self, ran: &Ran) -> Result<Vec<journal::Message>> {
        let read = |region| journal::read(&self.dirs.journal(region));
        let journals = REGIONS.iter().map(read).collect::<Result<Vec<_>>>()?;
        let mut messages = journal::messages(&journals)?;
        messages.retain(|message| {
            ran.observed.contains(&message.sent.mono_ns) && ran.observed.contains(&message.received.mono_ns)
        });
        Ok(messages)
    }
}

/// What the agents take to start, about: the step shall come in the middle of what they see.
const START_UP: Duration = Duration::from_secs(2);
/// Waits that were seen while the agents started and stopped are in the store too.
const MARGIN_NS: i64 = 60_000_000_000;
const PROGRESS: Duration = Duration::from_secs(5);

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// Plays recordings to the aggregators where the kernel cannot be asked.
fn replay(reason: &str) -> Result<Findings> {
    let dir = place::workspace().join("demo/recordings");
    if !dir.is_dir() {
        bail!("live capture is impossible here ({reason}), and there is no recording in {}", dir.display());
    }
    bail!("live capture is impossible here ({reason})")
}
