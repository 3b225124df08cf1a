//! Whether the topic is there, and what a person can do if it is not.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::client::Client;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use thiserror::Error;

use crate::{Settings, Wrong};

/// A topic that was just made is not known everywhere at once.
const KNOWN_WITHIN: Duration = Duration::from_secs(2);
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Kafka cannot be used as it is.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Trouble {
    /// The settings make no client.
    #[error("--kafka-config: {0}")]
    Wrong(Wrong),
    /// Nobody answers.
    #[error("no Kafka broker answers at {brokers} ({why}): start one, or name others with --kafka-brokers")]
    Silent {
        /// The addresses.
        brokers: String,
        /// What librdkafka says.
        why: String,
    },
    /// The brokers do not have the topic.
    #[error(
        "the Kafka brokers at {brokers} have no topic {topic}: create it \
         (kafka-topics.sh --bootstrap-server {brokers} --create --topic {topic} --partitions 12, or an aggregator with \
         --kafka-create-topic 12), or name another with --kafka-topic"
    )]
    NoTopic {
        /// The addresses.
        brokers: String,
        /// The topic.
        topic: String,
    },
    /// The topic cannot be used.
    #[error("the topic {topic} at {brokers} cannot be used: {why}")]
    Topic {
        /// The addresses.
        brokers: String,
        /// The topic.
        topic: String,
        /// What the broker says.
        why: String,
    },
}

impl From<Wrong> for Trouble {
    // By hand: as a source it would be told twice.
    fn from(wrong: Wrong) -> Self {
        Self::Wrong(wrong)
    }
}

/// How many partitions the topic has. Waits for an answer for at most so long, and keeps its thread meanwhile.
///
/// # Errors
/// Nobody answers in time, or the topic is not there or not usable.
pub fn partitions_of<C: ClientContext>(
    client: &Client<C>,
    settings: &Settings,
    within: Duration,
) -> Result<usize, Trouble> {
    let begun = Instant::now();
    loop {
        match ask(client, settings, within) {
            Err(Trouble::NoTopic { .. }) if begun.elapsed() < KNOWN_WITHIN => thread::sleep(ASK_AGAIN),
            answer => return answer,
        }
    }
}

fn ask<C: ClientContext>(client: &Client<C>, settings: &Settings, within: Duration) -> Result<usize, Trouble> {
    let (brokers, topic) = (settings.brokers().to_owned(), settings.topic().to_owned());
    let metadata = match client.fetch_metadata(Some(&topic), within) {
        Ok(metadata) => metadata,
        Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition)) => {
            return Err(Trouble::NoTopic { brokers, topic });
        }
        Err(error) => return Err(Trouble::Silent { brokers, why: reason(&error) }),
    };
    let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
        return Err(Trouble::NoTopic { brokers, topic });
    };
    match found.error().map(RDKafkaErrorCode::from) {
        Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
            Err(Trouble::NoTopic { brokers, topic })
        }
        Some(code) => Err(Trouble::Topic { brokers, topic, why: code.to_string() }),
        None => Ok(found.partitions().len()),
    }
}

pub(crate) fn reason(error: &KafkaError) -> String {
    error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string())
}
