//! Where Kafka is, and how it is spoken to.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use syncline_event::limits;
use thiserror::Error;

/// Where batches go unless another topic is named.
pub const DEFAULT_TOPIC: &str = "syncline.batches";
/// A consumer that is silent for so long is out of its group, unless a person sets that.
const SESSION: Duration = Duration::from_secs(10);

/// The largest record: a batch, and room for what is beside it.
pub(crate) const RECORD_BYTES: usize = limits::WIRE_BYTES + (64 << 10);
/// Fetched ahead of what is taken, KiB: a consumer's, all partitions together.
const FETCHED_KIB: usize = 32 << 10;
/// Records that the producer holds, KiB: two of the largest.
const PRODUCED_KIB: usize = (2 * RECORD_BYTES) >> 10;

/// What the promises rest on is not for a person to change, by none of its names.
const OURS: [&str; 18] = [
    "acks",
    "batch.num.messages",
    "bootstrap.servers",
    "delivery.report.only.error",
    "delivery.timeout.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.protocol",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "message.timeout.ms",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "request.required.acks",
    "transactional.id",
];

/// Something that was given cannot be.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Wrong {
    /// An address of a broker.
    #[error("{0:?} is no address of a broker: give HOST:PORT, as in kafka-1:9092")]
    Broker(String),
    /// A topic's name.
    #[error("{0:?} is no name of a topic: use 1 to 249 letters, digits, '.', '_' or '-'")]
    Topic(String),
    /// A setting without a key or a value.
    #[error(
        "this is no setting (it is not shown: it may be a password): give KEY=VALUE, as in socket.timeout.ms=10000"
    )]
    Setting,
    /// A setting that is ours to make.
    #[error("{0} is not to be set: that nothing is lost and nothing stored twice rests on it")]
    Ours(String),
    /// librdkafka does not take the settings.
    #[error("librdkafka does not take these settings: {0}")]
    Refused(String),
}

/// An address of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broker(String);

impl FromStr for Broker {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
        let host = |host: &str| !host.is_empty() && !host.contains(['/', ',', ' ', '@']);
        match text.rsplit_once(':') {
            Some((name, number)) if host(name) && port(number) => Ok(Self(text.to_owned())),
            _ => Err(Wrong::Broker(text.to_owned())),
        }
    }
}

/// The name of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic(String);

impl FromStr for Topic {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let sane = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let is_name = (1..=249).contains(&text.len()) && text.chars().all(sane) && text != "." && text != "..";
        if is_name { Ok(Self(text.to_owned())) } else { Err(Wrong::Topic(text.to_owned())) }
    }
}

/// A setting of librdkafka's.
#[derive(Clone, PartialEq, Eq)]
pub struct Setting {
    key: String,
    value: String,
}

impl FromStr for Setting {
    type Err = Wrong;

    fn from_str(text: &str) -> Result<Self, Wrong> {
        let (key, value) = text.split_once('=').ok_or(Wrong::Setting)?;
        let (key, value) = (key.trim().to_owned(), value.to_owned());
        if key.is_empty() {
            return Err(Wrong::Setting);
        }
        // librdkafka takes settings of a topic with this before them, too.
        if OURS.contains(&key.strip_prefix("topic.").unwrap_or(&key)) {
            return Err(Wrong::Ours(key));
        }
        Ok(Self { key, value })
    }
}

impl fmt::Debug for Setting {
    /// Values may be passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=..", self.key)
    }
}

/// Where Kafka is, and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    brokers: String,
    topic: String,
    more: Vec<Setting>,
}

impl Settings {
    /// The topic at some of the brokers, which name the others; `more` goes before what we would set.
    pub fn new(brokers: &[Broker], topic: Topic, more: Vec<Setting>) -> Self {
        let brokers: Vec<_> = brokers.iter().map(|broker| broker.0.as_str()).collect();
        Self { brokers: brokers.join(","), topic: topic.0, more }
    }

    /// The brokers, separated by commas.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Of a producer that loses nothing and keeps the order: idempotent, acknowledged by all replicas in sync, and trying for ever.
    ///
    /// # Errors
    /// librdkafka does not take a setting.
    pub fn producer(&self) -> Result<ClientConfig, Wrong> {
        let mut config = self.common();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("max.in.flight.requests.per.connection", "5")
            // The batch is given up by who has it, or never.
            .set("message.timeout.ms", "0")
            // So that the broker's limit is one of a batch, and a large one takes no others along.
            .set("batch.num.messages", "1")
            .set("linger.ms", "0")
            .set("queue.buffering.max.kbytes", PRODUCED_KIB.to_string())
            // As every other client of Kafka's.
            .set("partitioner", "murmur2_random")
            // A topic that is misspelt is told, not made.
            .set("allow.auto.create.topics", "false");
        self.with_more(config)
    }

    /// Of a consumer of `group` that commits by itself what it has done.
    ///
    /// # Errors
    /// librdkafka does not take a setting.
    pub fn consumer(&self, group: &str) -> Result<ClientConfig, Wrong> {
        let mut config = self.common();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "earliest")
            // Not cooperative-sticky, which has left partitions to nobody.
            .set("partition.assignment.strategy", "range")
            .set("session.timeout.ms", SESSION.as_millis().to_string())
            .set("heartbeat.interval.ms", "1000")
            .set("queued.max.messages.kbytes", FETCHED_KIB.to_string())
            .set("fetch.wait.max.ms", "100")
            .set("statistics.interval.ms", "2000")
            // Nobody writes batches in transactions, so nothing waits for the end of one.
            .set("isolation.level", "read_uncommitted");
        self.with_more(config)
    }

    fn common(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "syncline")
            .set("socket.keepalive.enable", "true")
            .set("reconnect.backoff.max.ms", "2000")
            .set("message.max.bytes", RECORD_BYTES.to_string());
        config
    }

    fn with_more(&self, mut config: ClientConfig) -> Result<ClientConfig, Wrong> {
        for setting in &self.more {
            config.set(&setting.key, &setting.value);
        }
        config.create_native_config().map_err(|error| Wrong::Refused(without_value(&error)))?;
        Ok(config)
    }
}

/// What librdkafka says of a setting, without the value: it may be a password.
fn without_value(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, why, key, value) if value.is_empty() => format!("{why} ({key})"),
        KafkaError::ClientConfig(_, why, key, value) => format!("{} ({key})", why.replace(value.as_str(), "...")),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(more: &[&str]) -> Settings {
        let more = more.iter().map(|setting| setting.parse().unwrap()).collect();
        Settings::new(&["a:1".parse().unwrap(), "[::1]:2".parse().unwrap()], DEFAULT_TOPIC.parse().unwrap(), more)
    }

    #[test]
    fn what_is_set_goes_before_what_we_would_set() {
        let shorter = settings(&["session.timeout.ms=6000"]).consumer("g").unwrap();
        assert_eq!(shorter.get("session.timeout.ms"), Some("6000"));
        let settings = settings(&["linger.ms=7", "client.rack=a=b"]);
        let config = settings.producer().unwrap();
        assert_eq!((config.get("linger.ms"), config.get("client.rack")), (Some("7"), Some("a=b")));
        assert_eq!(config.get("bootstrap.servers"), Some("a:1,[::1]:2"));
        assert!(settings.consumer("g").is_ok());
        assert!(!format!("{settings:?}").contains("a=b"), "it may be a password");
    }

    #[test]
    fn what_the_promises_rest_on_and_what_makes_no_sense_is_refused() {
        for ours in ["acks=1", "topic.acks=1", "request.required.acks=1", "enable.idempotence=false", "group.id=g"] {
            assert!(matches!(ours.parse::<Setting>(), Err(Wrong::Ours(_))), "{ours}");
        }
        for bad in ["acks", "=1", ""] {
            assert!(bad.parse::<Setting>().is_err(), "{bad}");
        }
        for bad in ["", "a", "a:", ":1", "a:0", "a:70000", "http://a:1", "a:1,b:2"] {
            assert!(bad.parse::<Broker>().is_err(), "{bad}");
        }
        for bad in ["", "..", "a b", "a/b", &"a".repeat(250)] {
            assert!(bad.parse::<Topic>().is_err(), "{bad}");
        }
        for secret in ["no.such.setting=hunter2", "linger.ms=hunter2"] {
            let error = settings(&[secret]).producer().unwrap_err().to_string();
            assert!(!error.contains("hunter2") && error.contains(secret.split('=').next().unwrap()), "{error}");
        }
        let error = settings(&["no.such.setting=1"]).producer().unwrap_err().to_string();
        assert!(error.contains("no.such.setting"), "{error}");
    }
}
