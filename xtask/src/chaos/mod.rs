//! `cargo xtask chaos`: everything that may end or stand still does, under load, and in the end each event is stored once.
//!
//! Modelled nodes with the queues, spools and uplinks of real agents (`agent/examples/modelled_nodes`), a real agent that observes a program, two
//! aggregators of one region, one of them with the embedded ClickHouse, and for `--uplink kafka` a real broker. What happens to them is in `plan`; the
//! last fault is followed by the end of the load, and by the time that everything needs to arrive.
//!
//! ```text
//! plan     what happens when, by a seed        pure
//! service  a program that is started again whenever it ends
//! fleet    those that there are, and what is done to them
//! relay    the network between agents and what takes their batches
//! stored   what the store has, against what is known
//! ```

mod fleet;
mod plan;
mod programs;
mod relay;
mod service;
mod stored;

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};

use crate::bench::Built;
use crate::place;
use fleet::Fleet;
use plan::{Plan, Target};
use programs::Programs;
use stored::{Difference, Store};

/// What `cargo xtask chaos` can be told.
#[derive(Args)]
pub(crate) struct Options {
    /// How long faults go on; what is left then takes as long as it needs, within bounds
    #[arg(long, default_value_t = 2.0, value_parser = minutes)]
    pub(crate) minutes: f64,
    /// How batches travel
    #[arg(long, value_enum, default_value = "grpc")]
    pub(crate) uplink: Uplink,
    /// Events a second of all modelled nodes together
    #[arg(long, default_value_t = RATE, value_parser = clap::value_parser!(u32).range(100..=200_000))]
    pub(crate) rate: u32,
    /// Modelled nodes; each makes a batch a second
    #[arg(long, default_value_t = NODES, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) nodes: u32,
    /// Of what happens when; without it another one each time
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    #[command(flatten)]
    pub(crate) built: Built,
}

impl Options {
    /// In each batch of a modelled node.
    fn waits(&self) -> u32 {
        self.rate / self.nodes
    }

    /// With the build that the tests have.
    pub(crate) fn short(minutes: f64, uplink: Uplink) -> Self {
        Self { minutes, uplink, rate: RATE, nodes: NODES, seed: None, built: Built::dev() }
    }
}

/// How batches travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Uplink {
    Grpc,
    Kafka,
}

impl Uplink {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Kafka => "kafka",
        }
    }
}

/// Modelled nodes.
const NODES: u32 = 8;
/// Waits that a batch may have.
const MOST_WAITS: u32 = 65_536;
/// Events a second.
const RATE: u32 = 20_000;
pub(crate) const REGION: &str = "chaos";

/// Below that hardly anything happens.
const LEAST_MINUTES: f64 = 0.25;
const TICK: Duration = Duration::from_millis(50);
/// Nothing more arrives for so long: then nothing will.
const PATIENCE: Duration = Duration::from_secs(120);
/// However fast it arrives, this is what it may take, and five times as long as the faults went on.
const DRAINED_WITHIN: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_secs(5);
const TELL_EVERY: Duration = Duration::from_secs(10);
/// What an event takes of the disk at most: in a spool, in Kafka, in the store and while that is merged; and what the rest takes.
const DISK_BYTES_PER_EVENT: u64 = 400;
const DISK_BYTES_BESIDE: u64 = 3 << 30;

/// # Errors
/// When something cannot be built or started, or an event is missing or there twice.
pub(crate) fn run(options: &Options) -> Result<()> {
    let target = place::target();
    std::fs::create_dir_all(&target)?;
    check_disk(&target, options)?;
    ensure!(
        (1..=MOST_WAITS).contains(&options.waits()),
        "{} events a second of {} nodes are batches of {}: a batch may have 1 to {MOST_WAITS}, so choose another --rate or other --nodes",
        options.rate,
        options.nodes,
        options.waits()
    );
    let programs = Programs::build(options)?;
    let dir = tempfile::Builder::new().prefix("chaos-").tempdir_in(&target)?;
    let seed = options.seed.unwrap_or_else(|| now().subsec_nanos().into());
    eprintln!("chaos: seed {seed}, in {}", dir.path().display());
    let runtime = tokio::runtime::Runtime::new().context("no async runtime")?;
    let entered = runtime.enter();
    let outcome = Run::start(options, seed, &programs, dir.path()).and_then(Run::go);
    drop(entered);
    let failures = match outcome {
        Ok(outcome) => {
            outcome.print();
            if outcome.failures.is_empty() {
                println!("chaos: OK {}", outcome.figures());
                return Ok(());
            }
            println!("chaos: FAILED {}: {}", outcome.figures(), outcome.failures.join("; "));
            outcome.failures
        }
        Err(error) => {
            println!("chaos: FAILED uplink={} seed={seed}: {error:#}", options.uplink.name());
            vec![format!("{error:#}")]
        }
    };
    bail!("{} (seed {seed}); everything is kept in {}", failures.join("; "), dir.keep().display())
}

fn minutes(text: &str) -> Result<f64, String> {
    let parsed = text.parse::<f64>().ok().filter(|minutes| (LEAST_MINUTES..=240.0).contains(minutes));
    parsed.ok_or_else(|| format!("use {LEAST_MINUTES} to 240"))
}

/// Of both ways together.
pub(crate) fn short_minutes(text: &str) -> Result<f64, String> {
    let parsed = text.parse::<f64>().ok().filter(|minutes| (2.0 * LEAST_MINUTES..=60.0).contains(minutes));
    parsed.ok_or_else(|| format!("use {} to 60", 2.0 * LEAST_MINUTES))
}

fn check_disk(dir: &Path, options: &Options) -> Result<()> {
    let events = f64::from(options.rate) * options.minutes * 60.0;
    let (free, needed) = (place::free_bytes(dir)?, events as u64 * DISK_BYTES_PER_EVENT + DISK_BYTES_BESIDE);
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    ensure!(
        free >= needed,
        "{events:.0} events may take {:.1} GiB, and {} has {:.1} GiB: make room, or choose fewer --minutes or a lower --rate",
        gib(needed),
        dir.display(),
        gib(free)
    );
    Ok(())
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// One run.
struct Run<'a> {
    options: &'a Options,
    seed: u64,
    fleet: Fleet,
    store: Store,
    begun: Duration,
}

/// What came of it.
struct Outcome {
    uplink: Uplink,
    fleet: fleet::Counts,
    difference: Difference,
    /// Those of the agent that observes a program, as stored.
    observed: u64,
    /// Runs of that agent that were killed before they told what they captured.
    untold: usize,
    drained_s: f64,
    failures: Vec<String>,
}

impl<'a> Run<'a> {
    fn start(options: &'a Options, seed: u64, programs: &Programs, dir: &Path) -> Result<Self> {
        let store = Store {
            cli: programs.cli.clone(),
            dir: dir.join("store"),
            nodes_dir: dir.join("nodes"),
            nodes: options.nodes,
            waits: options.waits(),
        };
        let begun = now();
        Ok(Self { options, seed, fleet: Fleet::start(options, seed, programs, dir)?, store, begun })
    }

    fn go(mut self) -> Result<Outcome> {
        self.inflict()?;
        self.fleet.calm();
        eprintln!("chaos: the last fault is over; waiting for everything to arrive");
        let calm = Instant::now();
        let mut failures = Vec::new();
        let difference = self.drain(&mut failures)?;
        let drained_s = calm.elapsed().as_secs_f64();
        failures.extend(difference.failures());
        let untold = self.audit().unwrap_or_else(|failure| {
            failures.push(failure);
            0
        });
        // Who was killed before it had told what it captured has not told it; who ended by itself has.
        let kills = self.fleet.kills_of(Target::Agent) as usize;
        if untold > kills {
            failures
                .push(format!("{untold} runs of the agent do not tell what they captured, and {kills} were killed"));
        }
        failures.extend(self.fleet.crashes());
        let observed = self.store.observed()?;
        if self.fleet.has(Target::Agent) && observed == 0 {
            failures.push("nothing came from the agent that observes a program".to_owned());
        }
        let counts = self.fleet.stop();
        if counts.kills == 0 {
            failures.push("nothing was killed".to_owned());
        }
        Ok(Outcome { uplink: self.options.uplink, fleet: counts, difference, observed, untold, drained_s, failures })
    }

    /// The load, and the faults.
    fn inflict(&mut self) -> Result<()> {
        let lasts = Duration::from_secs_f64(self.options.minutes * 60.0);
        let mut plan = Plan::new(self.seed, lasts, &self.fleet.targets());
        let (start, mut told) = (Instant::now(), Instant::now());
        while start.elapsed() < lasts {
            self.fleet.tick()?;
            for deed in plan.due(start.elapsed()) {
                self.fleet.inflict(deed);
            }
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                let made = self.store.made();
                eprintln!(
                    "chaos: {:.0} s, {} kills, {made} events made",
                    start.elapsed().as_secs_f64(),
                    self.fleet.kills()
                );
            }
            std::thread::sleep(TICK);
        }
        Ok(())
    }

    /// Ends the load, and waits until all of it is in the store, or nothing comes any more.
    fn drain(&mut self, failures: &mut Vec<String>) -> Result<Difference> {
        self.fleet.end_load();
        let (mut newest, mut looked) = (Instant::now(), Instant::now());
        let deadline = Instant::now() + DRAINED_WITHIN + Duration::from_secs_f64(self.options.minutes * 300.0);
        let mut before = Difference::default();
        let mut is_over = false;
        let mut ended = None;
        loop {
            self.fleet.tick()?;
            if looked.elapsed() >= LOOK_EVERY {
                // It cannot be asked where it is not up yet.
                if let Ok(difference) = self.store.difference() {
                    let has_grown = difference.rows > before.rows;
                    if has_grown {
                        newest = Instant::now();
                        eprintln!("chaos: {} of {} events are stored", difference.rows, difference.events);
                    }
                    // One look more, and not before the aggregators have nothing left: what comes twice may come late.
                    let has_ended = difference.lost == 0 && self.fleet.load_has_ended();
                    let since = has_ended.then(|| *ended.get_or_insert_with(SystemTime::now));
                    let is_all = since.is_some_and(|since| self.fleet.spools_are_empty(since));
                    if is_all && is_over {
                        return Ok(difference);
                    }
                    (is_over, before) = (is_all && !has_grown, difference);
                }
                looked = Instant::now();
            }
            if newest.elapsed() > PATIENCE || Instant::now() > deadline {
                if !self.fleet.load_has_ended() {
                    failures.push("agents do not get rid of what they have".to_owned());
                } else if ended.is_none_or(|since| !self.fleet.spools_are_empty(since)) {
                    failures.push("aggregators do not get rid of what they have".to_owned());
                }
                return self.store.difference();
            }
            std::thread::sleep(TICK);
        }
    }

    /// The audit's own verdict of all nodes. The last batches of a node may still be on their way.
    fn audit(&mut self) -> Result<usize, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let verdict = self.store.audit(self.begun);
            match verdict {
                Ok(untold) => return Ok(untold),
                Err(error) if Instant::now() > deadline => return Err(format!("syncline audit: {error:#}")),
                Err(_) => {}
            }
            let next = Instant::now() + LOOK_EVERY;
            while Instant::now() < next {
                if let Err(error) = self.fleet.tick() {
                    return Err(format!("{error:#}"));
                }
                std::thread::sleep(TICK);
            }
        }
    }
}

impl Outcome {
    fn figures(&self) -> String {
        let Difference { events, lost, duplicate, .. } = self.difference;
        let mib = |bytes: u64| bytes >> 20;
        format!(
            "uplink={} kills={} events={events} lost={lost} duplicate={duplicate} peak_rss_mib={}/{}",
            self.uplink.name(),
            self.fleet.kills,
            mib(self.fleet.agent_peak_bytes),
            mib(self.fleet.aggregator_peak_bytes),
        )
    }

    fn print(&self) {
        let Self { drained_s, observed, untold, .. } = self;
        println!("seed {}; drained in {drained_s:.0} s", self.fleet.seed);
        println!(
            "{observed} events of the observed program; {untold} runs of its agent ended before they told what they captured"
        );
        for line in &self.fleet.lines {
            println!("{line}");
        }
    }
}
