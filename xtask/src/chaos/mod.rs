//! `cargo xtask chaos`: everything that may end or stand still does, under load, and in the end each event is stored once.
//!
//! Modelled nodes with the queues, spools and uplinks of real agents (`agent/examples/modelled_nodes`), a real agent that observes a program, two
//! aggregators of one region, one of them with the embedded ClickHouse, and for `--uplink kafka` a real broker. What happens to them is in `plan`; the
//! last fault is followed by the end of the load, and by the time that everything needs to arrive.
//!
//! ```text
//! options  what can be asked for
//! plan     what happens when, by a seed        pure
//! service  a program that is started again whenever it ends
//! fleet    those that there are, and what is done to them
//! relay    the network between agents and what takes their batches
//! stall    what must be so where ClickHouse stands still for long     pure
//! stored   what the store has, against what is known
//! ```

mod fleet;
mod options;
mod plan;
mod programs;
mod relay;
mod service;
mod stall;
mod stored;

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

use crate::place;
use fleet::Fleet;
pub(crate) use options::{Options, Uplink, short_minutes};
use plan::{Plan, Scenario, Target};
use programs::Programs;
use stall::{Moment, Stall};
use stored::{Difference, Store};

pub(crate) const REGION: &str = "chaos";
const TICK: Duration = Duration::from_millis(50);
/// Nothing more arrives for so long: then nothing will.
const PATIENCE: Duration = Duration::from_secs(120);
/// However fast it arrives, this is what it may take, and five times as long as the faults went on.
const DRAINED_WITHIN: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_secs(5);
const TELL_EVERY: Duration = Duration::from_secs(10);

/// # Errors
/// When something cannot be built or started, or an event is missing or there twice.
pub(crate) fn run(options: &Options) -> Result<()> {
    let target = place::target();
    std::fs::create_dir_all(&target)?;
    options.check(&target)?;
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
    /// When something first stood still, and when it went on: ClickHouse, where the run is about that.
    stall: [Option<Moment>; 2],
    /// By which these are told.
    clock: Instant,
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
    stall: Option<Stall>,
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
        let fleet = Fleet::start(options, seed, programs, dir)?;
        Ok(Self { options, seed, fleet, store, begun, stall: [None; 2], clock: Instant::now() })
    }

    fn go(mut self) -> Result<Outcome> {
        self.inflict()?;
        self.fleet.calm();
        self.watch_stall();
        eprintln!("chaos: the last fault is over; waiting for everything to arrive");
        let calm = Instant::now();
        let mut failures = Vec::new();
        let (difference, stored_at) = self.drain(&mut failures)?;
        let drained_s = calm.elapsed().as_secs_f64();
        failures.extend(difference.failures());
        let stall = self.stall(stored_at, difference.rows, &mut failures);
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
        if counts.kills == 0 && self.options.scenario == Scenario::Everything {
            failures.push("nothing was killed".to_owned());
        }
        let uplink = self.options.uplink;
        Ok(Outcome { uplink, fleet: counts, difference, observed, untold, drained_s, stall, failures })
    }

    /// The load, and the faults.
    fn inflict(&mut self) -> Result<()> {
        let lasts = Duration::from_secs_f64(self.options.minutes * 60.0);
        let mut plan = Plan::new(self.options.scenario, self.seed, lasts, &self.fleet.targets());
        let (start, mut told) = (Instant::now(), Instant::now());
        while start.elapsed() < lasts {
            self.fleet.tick()?;
            for deed in plan.due(start.elapsed()) {
                self.fleet.inflict(deed);
            }
            self.watch_stall();
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

    /// Notes when ClickHouse begins to stand still, and when it goes on.
    fn watch_stall(&mut self) {
        let place = match self.stall {
            [None, _] if self.fleet.is_stopped() => 0,
            [Some(_), None] if !self.fleet.is_stopped() => 1,
            _ => return,
        };
        self.stall[place] = Some(Moment {
            at: self.clock.elapsed(),
            events: self.store.made(),
            aggregator_peak_bytes: self.fleet.aggregator_peak_bytes(),
        });
    }

    /// The stall, if the run is about one, and what was wrong with it.
    fn stall(&self, stored_at: Instant, rows: u64, failures: &mut Vec<String>) -> Option<Stall> {
        if self.options.scenario != Scenario::Stall {
            return None;
        }
        let [Some(begun), Some(ended)] = self.stall else {
            failures.push("ClickHouse never stood still".to_owned());
            return None;
        };
        let stored = (stored_at.saturating_duration_since(self.clock), rows);
        let stall = Stall { begun, ended, stored, rate: self.options.rate };
        failures.extend(stall.failures());
        Some(stall)
    }

    /// Ends the load, and waits until all of it is in the store, or nothing comes any more. With when the last of it was seen to be there.
    fn drain(&mut self, failures: &mut Vec<String>) -> Result<(Difference, Instant)> {
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
                        return Ok((difference, newest));
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
                return Ok((self.store.difference()?, newest));
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
        if let Some(stall) = &self.stall {
            println!("{}", stall.line());
        }
        println!(
            "{observed} events of the observed program; {untold} runs of its agent ended before they told what they captured"
        );
        for line in &self.fleet.lines {
            println!("{line}");
        }
    }
}
