//! Batches from Kafka, as a member of a consumer group.
//!
//! ```text
//! thread `kafka`                      async, of each partition one              ../writer
//! poll ──► partition ──────────────► intake: decode, check ──► spool ──► groups ──► store
//!   ▲          ▲                         '── durable as number N ─┐                  │
//!   │          '──────────────────────────────────────────────────┘                  │
//!   '── commit what is stored ◄──────────────── everything before N is stored ◄──────'
//! ```
//!
//! ```text
//! partition  what is on its way of a partition, and how far all of it has come   pure
//! intake     takes the records of a partition into the spool
//! member     the thread: polls, hands on, commits
//! context    what librdkafka tells from within a poll: rebalances, statistics
//! status     what people are shown
//! ```
//!
//! # Exactly once
//!
//! 1. A partition is taken over at the offset that its group has committed; everything before it is in the store, set aside, or of another region.
//! 2. A record becomes one of the spool, and goes into the store as what came over gRPC does: in groups, which are claimed, so that of several
//!    aggregators that hold the same batch one stores it; what is there already the ledger tells.
//! 3. What is committed is in the store, and not in a spool alone: an aggregator whose disk is gone has lost nothing that Kafka does not give again.
//!
//! Who was stopped through a rebalance goes on with what its spool has, and whoever took its partitions over reads the same from Kafka: the claims
//! tell them apart, and not the group.
//!
//! A record that is no batch is written to a file, counted, and passed over.

mod context;
mod intake;
mod member;
mod partition;
mod status;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use syncline_kafka::{Logged, Settings, Trouble, create_topic, partitions_of};

use super::aside::Aside;
use super::spooled::Spooled;
use crate::budget::Budget;
use crate::pipeline::Pipeline;
use crate::stopping::Stopping;
use intake::Intake;
use member::Member;

pub use member::Membership;
pub use status::Status;

/// Most bytes of records that are set aside.
const MOST_ASIDE_BYTES: u64 = 256 << 20;
/// Brokers that take longer to answer at the start are not waited for.
const FIRST_ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Brokers that take longer to answer are as good as gone.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Those that did not answer at the start are asked again so often.
const ASK_AGAIN_EVERY: Duration = Duration::from_secs(5);

/// What a member of the group is made of.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where Kafka is, and the topic.
    pub settings: Settings,
    /// The group, which the aggregators of a region share.
    pub group: String,
    /// Make the topic with so many partitions if it is not there.
    pub create: Option<u16>,
    /// Where records go that will never be stored.
    pub aside: PathBuf,
    /// The brokers did not answer at the start.
    pub is_silent: bool,
}

impl Config {
    /// The directory for records that will never be stored, or not by this version.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub(crate) fn open_aside(&self) -> std::io::Result<Aside> {
        Aside::open(self.aside.clone(), MOST_ASIDE_BYTES)
    }

    /// Whether the topic is there, or could be made, so that a mistake is told at the start. Brokers that do not answer may be away: what comes by gRPC
    /// is taken meanwhile, and they are asked again.
    ///
    /// # Errors
    /// The topic is not there, or the settings make no consumer.
    pub async fn check(&mut self) -> Result<(), Trouble> {
        let asked = tokio::time::timeout(FIRST_ANSWER_WITHIN, self.ask()).await;
        let why = match asked {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(Trouble::Silent { why, .. })) => why,
            Ok(Err(trouble)) => return Err(trouble),
            Err(_) => format!("not within {} s", FIRST_ANSWER_WITHIN.as_secs()),
        };
        tracing::warn!(
            brokers = self.settings.brokers(),
            why,
            "no Kafka broker answers: start one, or name others with --kafka-brokers; batches are taken over gRPC meanwhile, and it is asked again"
        );
        self.is_silent = true;
        Ok(())
    }

    /// Asks brokers that did not answer until they do.
    async fn ask_until_answered(self) {
        let mut is_told = false;
        loop {
            tokio::time::sleep(ASK_AGAIN_EVERY).await;
            match self.ask().await {
                Ok(()) => return tracing::info!(brokers = self.settings.brokers(), "Kafka answers"),
                Err(Trouble::Silent { .. }) => {}
                Err(trouble) if !std::mem::replace(&mut is_told, true) => tracing::error!("{trouble}"),
                Err(_) => {}
            }
        }
    }

    async fn ask(&self) -> Result<(), Trouble> {
        if let Some(partitions) = self.create {
            create_topic(&self.settings, partitions).await?;
        }
        let (settings, config) = (self.settings.clone(), self.settings.consumer(&self.group)?);
        let ask = move || {
            let client: BaseConsumer<Logged> =
                config.create_with_context(Logged).map_err(|error| refused(&error.to_string()))?;
            partitions_of(client.client(), &settings, ANSWER_WITHIN).map(drop)
        };
        tokio::task::spawn_blocking(ask).await.unwrap_or_else(|error| Err(refused(&error.to_string())))
    }
}

fn refused(why: &str) -> Trouble {
    Trouble::Wrong(syncline_kafka::Wrong::Refused(why.to_owned()))
}

/// Joins the group, on a thread of its own, until `stopping`.
///
/// # Errors
/// librdkafka makes no consumer of the settings, or the system gives no thread.
pub(crate) fn join(
    config: Config,
    pipeline: Arc<Pipeline>,
    spooled: Arc<Spooled>,
    (budget, aside): (Budget, Arc<Aside>),
    stopping: Stopping,
) -> anyhow::Result<Membership> {
    if config.is_silent {
        let (config, stopping) = (config.clone(), stopping.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = config.ask_until_answered() => (),
                () = stopping.wanted() => (),
            }
        });
    }
    let Config { settings, group, .. } = config;
    let intake = Intake { pipeline, spooled, budget, aside, topic: settings.topic().into() };
    Member::join(&settings, &group, Arc::new(intake), stopping)
}
