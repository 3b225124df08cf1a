//! A live run: aggregators, services, agents; observe; stop everything in the order in which nothing is lost.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::aggregators::{Aggregators, Comparison};
use super::broker::Broker;
use super::fleet::{Agents, Post, Services, injected};
use super::knots::{self, Sampler};
use super::plan::REGIONS;
use super::questions::{Questions, When};
use super::recording::Recording;
use super::staging::Staged;
use super::truth::Truth;
use super::{Demo, Options, Ran, Uplink, http};

/// What the agents take to start, about: the step shall come in the middle of what they see.
const START_UP: Duration = Duration::from_secs(2);
/// How long the last batches may take through Kafka.
const STORED_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(200);
const PROGRESS: Duration = Duration::from_secs(5);

impl Demo {
    pub(super) async fn run_live(&self, options: &Options) -> Result<Ran> {
        let recording = options.record.as_deref().map(Recording::create).transpose()?;
        let staged = recording.as_ref().map(|_| Staged::create(&self.programs.services)).transpose()?;
        let programs = staged.as_ref().map_or(self.programs.services.as_slice(), Staged::services);
        let sampler = Sampler::start()?;
        let delayed = options.wan_probes.then_some(REGIONS[0].link).flatten();
        let comparison = delayed.map_or(Comparison::Direct { udp: !options.grpc_probes }, Comparison::Through);
        let broker = self.start_broker(options.uplink).await?;
        let kafka = broker.as_ref().map(Broker::address);
        let mut aggregators = Aggregators::start(&self.programs, &self.dirs, &self.libchdb, comparison, kafka).await?;
        self.say("three aggregators are running, the root's with the embedded ClickHouse store");
        let mut services = Services::start(&self.programs.wan, programs, &self.dirs).await?;
        self.say("three services are running, each calling the next: us -> eu -> ap");

        let seconds = Duration::from_secs(options.seconds);
        let start = knots::now();
        let step_at_ns = start.mono + nanos(START_UP + seconds / 2);
        let clocks: Vec<_> = REGIONS.iter().map(|region| injected(region.clock, start, step_at_ns)).collect();
        let pids = services.pids()?;
        let posts = REGIONS.iter().zip(&pids).zip(&clocks).map(|((region, pid), clock)| {
            let aggregator = aggregators.address(region)?.to_owned();
            Ok(Post { node: region.node, region, pid: *pid, clock, aggregator, kafka })
        });
        let (posts, udp) = (posts.collect::<Result<Vec<_>>>()?, !options.grpc_probes);
        let mut agents = Agents::start(&self.programs, &self.dirs, &posts, udp, recording.as_ref()).await?;
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
        let observed = from..knots::now().mono;
        let mut questions = Questions::read()?;
        questions.ask(&self.store(), When::Running).await?;
        agents.stop().await?;
        services.stop().await?;
        self.say("agents and services have stopped");
        if broker.is_some() {
            until_all_has_come(aggregators.store()).await?;
        }
        aggregators.until_all_is_stored().await?;
        questions.ask(&self.store(), When::Stored).await?;
        self.say("all is stored, and the questions of docs/schema.md are asked");
        let root_anchor_ns = aggregators.root_anchor_ns()?;
        aggregators.stop().await?;
        let ran = Ran {
            truth: Truth { clocks, knots: sampler.finish()?, root_anchor_ns },
            observed,
            questions: Some(questions),
        };
        if let Some(recording) = &recording {
            recording.keep(&ran, &self.dirs, &self.store()).await?;
            self.say(&format!("recorded into {}", recording.path().display()));
        }
        Ok(ran)
    }

    async fn start_broker(&self, uplink: Uplink) -> Result<Option<Broker>> {
        if matches!(uplink, Uplink::Grpc) {
            return Ok(None);
        }
        let broker = Broker::start(&self.dirs.kafka, &self.dirs.logs).await?;
        self.say("a Kafka broker is running");
        Ok(Some(broker))
    }
}

/// Batches that are in Kafka are not yet in the store. The last one of an agent says that it is that.
async fn until_all_has_come(store: &str) -> Result<()> {
    let fails_until = format!(
        "SELECT throwIf(uniqExactIf(node, open >= 0) < {}) FROM syncline.ingest_ledger FORMAT Null",
        REGIONS.len()
    );
    let deadline = Instant::now() + STORED_WITHIN;
    loop {
        match http::execute(store, &fails_until).await {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > deadline => {
                return Err(error.context("not all batches came out of Kafka; see the aggregators' logs"));
            }
            Err(_) => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}

pub(super) fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
