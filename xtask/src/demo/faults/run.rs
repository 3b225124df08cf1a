//! A live run in which things go wrong by plan.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use syncline_sim::InjectedClock;

use super::first_rows;
use super::path::Path;
use super::plan::{HONEST, LIAR, Node, OBSERVED, SCHEDULE, host_to_root, route_to_root};
use crate::demo::aggregators::Aggregators;
use crate::demo::fleet::{Agents, Post, Services};
use crate::demo::knots::{self, Sampler};
use crate::demo::live::nanos;
use crate::demo::plan::REGIONS;
use crate::demo::relay::Traffic;
use crate::demo::truth::Truth;
use crate::demo::{Demo, Ran};

/// Seconds are counted from so long after the agents begin to start: the clocks must know it before.
const START_UP: Duration = Duration::from_secs(5);
/// What starting may take longer than that: the first fault comes later still.
const LATE: Duration = Duration::from_secs(5);
const LOOK_UP: Duration = Duration::from_secs(1);

/// All that runs.
pub(super) struct Fleet {
    pub(super) aggregators: Aggregators,
    services: Services,
    pub(super) agents: Agents,
    /// Paths of the nodes to their aggregators: of the honest ones in their order, then of the liar.
    pub(super) to_aggregators: Vec<Path>,
    /// Paths of the regions to the root, in their order.
    pub(super) to_root: Vec<Path>,
}

/// What a run leaves for the check.
pub(super) struct Outcome {
    pub(super) ran: Ran,
    pub(super) liars_clock: InjectedClock,
    /// REF - RAW in each run of a reference.
    pub(super) anchors: HashMap<u64, i64>,
    pub(super) traffic: Traffic,
}

impl Demo {
    pub(super) async fn run_with_faults(&self) -> Result<Outcome> {
        let sampler = Sampler::start()?;
        let (aggregators, to_root) = self.start_aggregators().await?;
        first_rows::keep(aggregators.store()).await?;
        self.say("three aggregators are running, and measure each other over paths with delay, jitter and loss");
        let services = Services::start(&self.programs.wan, &self.programs.services, &self.dirs).await?;
        self.say("three services are running, each calling the next: us -> eu -> ap");

        let start = knots::now();
        let (begun, zero_ns) = (Instant::now(), start.mono + nanos(START_UP));
        let clocks: Vec<_> = HONEST.iter().map(|node| node.clock(start, zero_ns)).collect();
        let liars_clock = LIAR.clock(start, zero_ns);
        let (agents, to_aggregators) = self.start_agents(&aggregators, &services, &clocks, &liars_clock).await?;
        ensure!(begun.elapsed() < START_UP + LATE, "the agents took too long to start: is the machine very busy?");
        self.say("four agents are capturing over such paths, each with a wrong clock; one of them lies");

        let mut fleet = Fleet { aggregators, services, agents, to_aggregators, to_root };
        let from = knots::now().mono;
        self.let_things_go_wrong(&mut fleet, begun + START_UP).await?;
        let observed = from..knots::now().mono;
        let traffic = fleet.traffic();
        let (anchors, root_anchor_ns) = (fleet.aggregators.anchors().clone(), fleet.aggregators.root_anchor_ns()?);
        fleet.stop().await?;
        self.say("everything has stopped");
        let ran = Ran { truth: Truth { clocks, knots: sampler.finish()?, root_anchor_ns }, observed, questions: None };
        Ok(Outcome { ran, liars_clock, anchors, traffic })
    }

    async fn start_aggregators(&self) -> Result<(Aggregators, Vec<Path>)> {
        let mut aggregators = Aggregators::start_root(&self.programs, &self.dirs, &self.libchdb, None).await?;
        let (root, mut to_root) = (aggregators.address(&REGIONS[0])?.to_owned(), Vec::new());
        for (index, region) in REGIONS.iter().enumerate().skip(1) {
            let (name, host) = (format!("{}-root", region.name), [127, 0, 3, host_to_root(index)]);
            let path = Path::start(&self.programs.wan, &self.dirs, &name, host, route_to_root(region), &root).await?;
            aggregators.join(region, Some(path.address.to_string()), true).await?;
            to_root.push(path);
        }
        Ok((aggregators, to_root))
    }

    async fn start_agents(
        &self,
        aggregators: &Aggregators,
        services: &Services,
        clocks: &[InjectedClock],
        liars_clock: &InjectedClock,
    ) -> Result<(Agents, Vec<Path>)> {
        let mut paths = Vec::new();
        for node in HONEST.iter().chain([&LIAR]) {
            paths.push(self.start_path(aggregators, node).await?);
        }
        let pids = services.pids()?.into_iter().chain([paths[LIAR.region].pid()?]);
        let nodes = HONEST.iter().zip(clocks).chain([(&LIAR, liars_clock)]);
        let posts = nodes.zip(pids).zip(&paths).map(|(((node, clock), pid), path)| Post {
            node: node.name,
            region: &REGIONS[node.region],
            pid,
            clock,
            aggregator: path.address.to_string(),
            kafka: None,
        });
        let posts: Vec<_> = posts.collect();
        Ok((Agents::start(&self.programs, &self.dirs, &posts, true, None).await?, paths))
    }

    async fn start_path(&self, aggregators: &Aggregators, node: &Node) -> Result<Path> {
        let to = aggregators.address(&REGIONS[node.region])?;
        Path::start(&self.programs.wan, &self.dirs, node.name, node.address(), node.route, to).await
    }

    async fn let_things_go_wrong(&self, fleet: &mut Fleet, zero: Instant) -> Result<()> {
        for (second, fault) in SCHEDULE {
            fleet.live_until(zero + Duration::from_secs(second)).await?;
            self.say(&fault.name());
            fault.inflict(fleet).await?;
        }
        let left = (zero + OBSERVED).saturating_duration_since(Instant::now());
        self.say(&format!(
            "no more faults from outside; {} s to go, so that stored rows are placed again",
            left.as_secs()
        ));
        fleet.live_until(zero + OBSERVED).await
    }
}

impl Fleet {
    /// Sees that everything runs until then.
    async fn live_until(&mut self, then: Instant) -> Result<()> {
        while let Some(left) = then.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            tokio::time::sleep(left.min(LOOK_UP)).await;
            self.aggregators.check_alive()?;
            self.services.check_alive()?;
            self.agents.check_alive()?;
            self.to_aggregators.iter_mut().chain(&mut self.to_root).try_for_each(Path::check_alive)?;
        }
        Ok(())
    }

    fn traffic(&self) -> Traffic {
        let all = self.to_aggregators.iter().chain(&self.to_root).map(|path| path.packets.traffic());
        all.fold(Traffic::default(), Traffic::plus)
    }

    /// In the order in which nothing is lost.
    async fn stop(self) -> Result<()> {
        self.agents.stop().await?;
        self.services.stop().await?;
        for path in self.to_aggregators {
            path.stop().await?;
        }
        self.aggregators.stop().await?;
        for path in self.to_root {
            path.stop().await?;
        }
        Ok(())
    }
}
