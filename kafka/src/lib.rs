//! What agents and aggregators agree on about Kafka.
//!
//! ```text
//! settings  brokers, topic, and what else a person sets of librdkafka
//! key       which node's a record is: what decides its partition
//! topic     makes it
//! trouble   whether the topic is there, and what to do if it is not
//! log       what librdkafka says, into our own log
//! ```
//!
//! A record's value is a batch, the same bytes as over gRPC and in the spool: zstd already, so Kafka's own compression is left off.

mod key;
mod log;
mod settings;
mod topic;
mod trouble;

pub use key::{key_of, region_in};
pub use log::{Logged, log};
pub use settings::{Broker, DEFAULT_TOPIC, Setting, Settings, Topic, Wrong};
pub use topic::create_topic;
pub use trouble::{Trouble, partitions_of};
