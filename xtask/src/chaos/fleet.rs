//! What runs, and what is done to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::Options;
use super::plan::{Deed, Target};
use super::programs::{Programs, broker_command};
use super::relay::{Mode, Relay};
use super::service::Service;
use crate::bench::{build, usage};
use crate::demo::broker;
use crate::spooled::is_stored;
use crate::{fetch, place};

/// Node of the agent that observes a program.
pub(crate) const OBSERVER: &str = "observer";
const START_WITHIN: Duration = Duration::from_secs(120);

/// Those that run, and what stands still.
pub(crate) struct Fleet {
    seed: u64,
    services: Vec<(Target, Service)>,
    /// What is observed; it is left alone.
    observed: Option<Service>,
    relays: Vec<Relay>,
    due: Vec<Deed>,
    stopped: Vec<(u32, Instant)>,
    engine_kills: u32,
    engine_peak_bytes: u64,
    stops: Vec<(Target, Duration)>,
    /// Of the aggregators.
    spools: [PathBuf; 2],
}

/// What was done, and what it took.
pub(crate) struct Counts {
    pub(crate) seed: u64,
    pub(crate) kills: u32,
    pub(crate) agent_peak_bytes: u64,
    pub(crate) aggregator_peak_bytes: u64,
    /// For people.
    pub(crate) lines: Vec<String>,
}

impl Fleet {
    /// Starts all of it, and waits until it serves. In the context of a runtime.
    ///
    /// # Errors
    /// When something does not.
    pub(crate) fn start(options: &Options, seed: u64, programs: &Programs, dir: &Path) -> Result<Self> {
        for part in ["nodes", "store", "state", "broker", "agent"] {
            fs::create_dir_all(dir.join(part))?;
        }
        let (root, other) = (place::free_address()?, place::free_address()?);
        let mut relays = vec![Relay::start(root, seed)?, Relay::start(other, !seed)?];
        let urls = format!("http://{},http://{}", relays[0].address(), relays[1].address());
        let mut services = Vec::new();
        let mut broker = None;
        if let Some(jars) = programs.jars.clone() {
            let listens = place::free_address()?;
            let relay = Relay::start(listens, seed.rotate_left(7))?;
            // All clients go the way that it tells them.
            let command = broker_command(jars, &dir.join("broker"), listens, relay.address())?;
            services.push((Target::Broker, Service::new("broker", broker::READY, dir, command)));
            broker = Some(relay.address().to_string());
            relays.push(relay);
        }
        let aggregator = |listen, name, is_root| programs.aggregator(listen, dir, name, is_root, broker.as_deref());
        let store = Service::new("aggregator-store", "ready", dir, aggregator(root, "store", true));
        services.push((Target::StoreAggregator, store));
        services
            .push((Target::Aggregator, Service::new("aggregator", "ready", dir, aggregator(other, "other", false))));
        let nodes = programs.nodes(options, dir, &urls, broker.as_deref());
        services.push((Target::Nodes, Service::new("nodes", "ready", dir, nodes)));

        let mut fleet = Self {
            seed,
            services,
            observed: None,
            relays,
            due: Vec::new(),
            stopped: Vec::new(),
            engine_kills: 0,
            engine_peak_bytes: 0,
            stops: Vec::new(),
            spools: ["store", "other"].map(|name| dir.join("state").join(name).join("spool")),
        };
        fleet.services.iter_mut().try_for_each(|(_, service)| service.wait_until_ready(START_WITHIN))?;
        fleet.observe(programs, dir, &urls, broker.as_deref())?;
        Ok(fleet)
    }

    /// A real agent at a real program, where that is allowed.
    fn observe(&mut self, programs: &Programs, dir: &Path, urls: &str, broker: Option<&str>) -> Result<()> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("chaos: not root, so no agent observes a program");
            return Ok(());
        }
        let program = build::go_program("xtask/chaos/observed", fetch::NEWEST_GO, dir)?;
        let mut observed = Service::new("observed-program", "waiting", dir, move || Command::new(&program));
        observed.wait_until_ready(START_WITHIN)?;
        let pid = observed.pid().context("the observed program has ended")?.to_string();
        let mut agent = Service::new("agent", "ready", dir, programs.agent(dir, pid, urls, broker));
        agent.wait_until_ready(START_WITHIN)?;
        self.observed = Some(observed);
        self.services.push((Target::Agent, agent));
        Ok(())
    }

    /// What can be killed.
    pub(crate) fn targets(&self) -> Vec<Target> {
        self.services.iter().map(|(target, _)| *target).chain([Target::ClickHouse]).collect()
    }

    pub(crate) fn has(&self, target: Target) -> bool {
        self.services.iter().any(|(one, _)| *one == target)
    }

    pub(crate) fn kills_of(&self, target: Target) -> u32 {
        self.services.iter().filter(|(one, _)| *one == target).map(|(_, service)| service.kills).sum()
    }

    pub(crate) fn kills(&self) -> u32 {
        self.engine_kills + self.services.iter().map(|(_, service)| service.kills).sum::<u32>()
    }

    /// Starts what has ended, wakes what has slept for long enough, and does what can be done of what is due.
    ///
    /// # Errors
    /// When something does not start any more, or the observed program has ended.
    pub(crate) fn tick(&mut self) -> Result<()> {
        for (_, service) in &mut self.services {
            service.tick()?;
        }
        // It ends within seconds in any case; a later one sends what it has left.
        if let Some(agent) = self.service(Target::Agent)
            && agent.ended_well()
            && !has_delivered(&agent.log())
        {
            agent.once_more();
        }
        if let Some(observed) = &mut self.observed {
            observed.tick()?;
            ensure!(observed.starts == 1, "the observed program ended: {}", observed.log());
        }
        if let Some(engine) = self.engine() {
            self.engine_peak_bytes = self.engine_peak_bytes.max(usage::peak_memory(engine).unwrap_or(0));
        }
        let now = Instant::now();
        for (pid, _) in self.stopped.extract_if(.., |(_, until)| *until <= now) {
            signal(pid, Signal::CONT);
        }
        let due = std::mem::take(&mut self.due);
        self.due = due.into_iter().filter(|deed| !self.can(*deed)).collect();
        Ok(())
    }

    /// It happens as soon as it can. Who is not there is not killed as soon as it is: who starts slowly would never serve. Instead of it that one is
    /// which has served for longest.
    pub(crate) fn inflict(&mut self, deed: Deed) {
        if self.can(deed) {
            return;
        }
        let instead = match deed {
            Deed::Kill { .. } => self.longest_serving().map(|target| Deed::Kill { target, early: false }),
            deed => Some(deed),
        };
        if let Some(deed) = instead
            && !self.can(deed)
        {
            self.due.push(deed);
        }
    }

    fn longest_serving(&self) -> Option<Target> {
        let serving = self.services.iter().filter_map(|(target, service)| Some((service.serves_since()?, *target)));
        serving.min_by_key(|(since, _)| *since).map(|(_, target)| target)
    }

    /// Does it, if whom it is meant for is there.
    fn can(&mut self, deed: Deed) -> bool {
        match deed {
            Deed::Network(mode) => {
                self.relays.iter().for_each(|relay| relay.set(mode));
                true
            }
            Deed::Kill { target: Target::ClickHouse, .. } => {
                let Some(engine) = self.engine() else { return false };
                signal(engine, Signal::KILL);
                self.engine_kills += 1;
                true
            }
            Deed::Kill { target, early } => {
                let Some(service) = self.service(target).filter(|service| early || service.is_ready()) else {
                    return false;
                };
                service.kill()
            }
            Deed::Stop { target, lasts } => {
                let pid = match target {
                    Target::ClickHouse => self.engine(),
                    target => {
                        self.service(target).filter(|service| service.is_ready()).and_then(|service| service.pid())
                    }
                };
                let Some(pid) = pid else { return false };
                signal(pid, Signal::STOP);
                self.stopped.push((pid, Instant::now() + lasts));
                self.stops.push((target, lasts));
                true
            }
        }
    }

    /// No more faults, and those that go on end.
    pub(crate) fn calm(&mut self) {
        self.due.clear();
        self.relays.iter().for_each(|relay| relay.set(Mode::Pass));
        self.wake();
    }

    /// Whether something stands still.
    pub(crate) fn is_stopped(&self) -> bool {
        !self.stopped.is_empty()
    }

    /// The most that one of the aggregators had resident so far.
    pub(crate) fn aggregator_peak_bytes(&self) -> u64 {
        self.peak(&[Target::StoreAggregator, Target::Aggregator])
    }

    /// Agents make no more, and end once they have delivered all.
    pub(crate) fn end_load(&mut self) {
        for (target, service) in &mut self.services {
            if matches!(target, Target::Nodes | Target::Agent) {
                service.end();
            }
        }
    }

    /// Whether the modelled nodes have delivered all, and the agent that observes a program, too.
    pub(crate) fn load_has_ended(&mut self) -> bool {
        self.services.iter_mut().all(|(target, service)| match target {
            Target::Nodes => service.ended_well(),
            Target::Agent => service.ended_well() && has_delivered(&service.log()),
            _ => true,
        })
    }

    /// Whether no aggregator has had anything to store since then.
    pub(crate) fn spools_are_empty(&self, since: SystemTime) -> bool {
        // What cannot be read, as it is just being begun, is none.
        self.spools.iter().all(|spool| is_stored(spool, since).unwrap_or(false))
    }

    /// What has panicked, or died of a signal that was not ours.
    pub(crate) fn crashes(&self) -> Vec<String> {
        let died = self.services.iter().flat_map(|(_, service)| {
            service.died_of.iter().map(|signal| format!("{} died of signal {signal}", service.name()))
        });
        self.panics().into_iter().chain(died).collect()
    }

    fn panics(&self) -> Vec<String> {
        let told = |(_, service): &(Target, Service)| {
            let log = service.log();
            let line = log.lines().find(|line| line.contains("panicked at"))?;
            Some(format!("{}: {line}", service.name()))
        };
        self.services.iter().filter_map(told).collect()
    }

    /// Ends all of it; what was done.
    pub(crate) fn stop(mut self) -> Counts {
        let mut counts = Counts {
            seed: self.seed,
            kills: self.kills(),
            agent_peak_bytes: self.peak(&[Target::Nodes, Target::Agent]),
            aggregator_peak_bytes: self.aggregator_peak_bytes(),
            lines: Vec::new(),
        };
        let mib = |bytes: u64| bytes >> 20;
        for (target, service) in &mut self.services {
            let stops: Vec<_> = self.stops.iter().filter(|(one, _)| one == target).collect();
            let stood: Duration = stops.iter().map(|(_, lasts)| *lasts).sum();
            counts.lines.push(format!(
                "{}: killed {} times, started {} times, stopped {} times for {:.0} s as planned, {} MiB at most",
                service.name(),
                service.kills,
                service.starts,
                stops.len(),
                stood.as_secs_f64(),
                mib(service.peak_bytes)
            ));
        }
        let stalls: Vec<_> = self.stops.iter().filter(|(target, _)| *target == Target::ClickHouse).collect();
        let stalled: Duration = stalls.iter().map(|(_, lasts)| *lasts).sum();
        counts.lines.push(format!(
            "ClickHouse: killed {} times, and with its aggregator; stopped {} times for {:.0} s as planned, {} MiB at most",
            self.engine_kills,
            stalls.len(),
            stalled.as_secs_f64(),
            mib(self.engine_peak_bytes)
        ));
        counts
    }

    fn peak(&self, targets: &[Target]) -> u64 {
        let of = self.services.iter().filter(|(target, _)| targets.contains(target));
        of.map(|(_, service)| service.peak_bytes).max().unwrap_or(0)
    }

    fn service(&mut self, target: Target) -> Option<&mut Service> {
        self.services.iter_mut().find(|(one, _)| *one == target).map(|(_, service)| service)
    }

    /// The process of ClickHouse: the only child of its aggregator.
    fn engine(&mut self) -> Option<u32> {
        let aggregator = self.service(Target::StoreAggregator)?.pid()?;
        // One that was killed while its aggregator stands still is there until that has seen it.
        usage::children(aggregator).ok()?.into_iter().find(|pid| !is_dead(*pid))
    }

    fn wake(&mut self) {
        self.stopped.drain(..).for_each(|(pid, _)| signal(pid, Signal::CONT));
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.wake();
        // Before its aggregator, whose end it would see only after a while, with files in a directory that is removed.
        if let Some(engine) = self.engine() {
            signal(engine, Signal::KILL);
        }
    }
}

/// Whether the last agent that told what became of its waits had some, and delivered them: what was left by earlier ones went before.
fn has_delivered(log: &str) -> bool {
    let told = log.lines().rev().find(|line| line.contains("undelivered=")).unwrap_or_default();
    let number = |name: &str| told.split_whitespace().find_map(|word| word.strip_prefix(name)?.parse::<u64>().ok());
    number("undelivered=") == Some(0) && number("stored=") > Some(0)
}

/// Whether only its parent has not seen its end yet (proc(5), `/proc/PID/stat`).
fn is_dead(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with('Z'))
}

/// It fails only if the process has ended: pids are those of children, or of a child's child that was there just now.
fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_agent_tells_whether_all_is_delivered() {
        let (left, none) = ("INFO captured=9 stored=2 undelivered=7 x\n", "INFO captured=9 stored=9 undelivered=0 x\n");
        assert!(has_delivered(&format!("{left}{none}")) && !has_delivered(&format!("{none}{left}")));
        assert!(!has_delivered("") && !has_delivered("stored=0 undelivered=0"));
    }
}
