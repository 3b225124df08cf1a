//! Batches from Kafka, as a member of a consumer group.
//!
//! ```text
//! thread `kafka`                                               async tasks
//! poll -> partition (buffer) -> chunk -> intent committed  ->  chunk: decode, align, insert, a chunk of each partition at once
//!   ▲ rebalances                            ▲                     │
//!   '---------------------------------------'------ ended --------'
//! ```
//!
//! ```text
//! intent     what a commit says: everything before an offset is in the store, and up to which offset a chunk was begun     pure
//! partition  what was fetched of a partition, which chunk of it is under way, and what is to be committed                   pure
//! order      which batches may have come before                                                                            pure
//! member     the thread: polls, commits, and begins chunks
//! context    what librdkafka tells from within a poll: rebalances, statistics
//! chunk      stores a chunk
//! lease      whether this process may still write for its partitions
//! status     what people are shown
//! ```
//!
//! # Exactly once
//!
//! 1. A partition is taken over at the offset that its group has committed, and with what that commit says of a chunk that was begun.
//! 2. Before anything of a chunk `[o, T]` is written, `(o, to=T)` is committed. The broker refuses that from a member of an earlier generation:
//!    so whoever was stopped through a rebalance begins nothing any more; and one that wakes in the middle of a chunk finds its [`lease`] lost.
//! 3. The rows of each batch carry its identity as their token, whoever writes them and however often.
//! 4. A batch that may have come before (the first one of a node in a partition that was taken over, and each that does not follow on the one
//!    before) is looked for in the ledger, whose row comes last: tokens are remembered for a while only, the ledger for as long as its events.
//! 5. When all of a chunk is in the store, `T + 1` is committed, together with the intent of the next chunk.
//!
//! A record that is no batch, or that the store will never take, is written to a file, counted, and passed over.

mod chunk;
mod context;
mod intent;
mod lease;
mod member;
mod order;
mod partition;
mod status;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use syncline_kafka::{Logged, Settings, Trouble, create_topic, partitions_of};

use super::aside::Aside;
use crate::budget::Budget;
use crate::pipeline::Pipeline;
use crate::stopping::Stopping;
use chunk::Storing;
use member::Member;

pub use member::Membership;
pub use status::Status;

/// Most bytes of records that are set aside.
const MOST_ASIDE_BYTES: u64 = 256 << 20;
/// Brokers that take longer to answer at the start are as good as gone.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

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
}

impl Config {
    /// The directory for records that will never be stored, or not by this version.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub(crate) fn open_aside(&self) -> std::io::Result<Aside> {
        Aside::open(self.aside.clone(), MOST_ASIDE_BYTES)
    }

    /// Whether the topic is there, or could be made, so that a mistake is told at the start; outages after it are ridden out.
    ///
    /// # Errors
    /// Brokers or topic are not there, or the settings make no consumer.
    pub async fn check(&self) -> Result<(), Trouble> {
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
    budget: Budget,
    aside: Arc<Aside>,
    stopping: Stopping,
) -> anyhow::Result<Membership> {
    let Config { settings, group, .. } = config;
    let storing = Storing { pipeline, budget, aside, topic: settings.topic().into() };
    Member::join(&settings, &group, Arc::new(storing), stopping)
}
