//! Options of the uplink.

use clap::{Args, ValueEnum};
use syncline_kafka::{Broker, DEFAULT_TOPIC, Setting, Settings, Topic};

use super::ConfigError;

/// How batches travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Way {
    /// To the aggregator itself
    Grpc,
    /// Through Kafka; clock probes and questions go to the aggregator all the same
    Kafka,
}

/// Options of the uplink.
#[derive(Args, Debug)]
pub(super) struct UplinkArgs {
    /// How batches travel
    #[arg(long, value_name = "grpc|kafka", value_enum, default_value = "grpc")]
    uplink: Way,
    /// Some of the Kafka brokers, separated by commas: they name the others
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    kafka_brokers: Vec<Broker>,
    /// The Kafka topic, which has to be there
    #[arg(long, value_name = "NAME", default_value = DEFAULT_TOPIC)]
    kafka_topic: Topic,
    /// A setting of librdkafka's, which does the talking; may be given several times, or separated by semicolons. Passwords are better in the
    /// environment or the file: command lines are public on a machine
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ';')]
    kafka_config: Vec<Setting>,
}

impl UplinkArgs {
    /// Where Kafka is, if batches are to go there.
    pub(super) fn kafka(self) -> Result<Option<Settings>, ConfigError> {
        match self.uplink {
            Way::Grpc if self.kafka_brokers.is_empty() && self.kafka_config.is_empty() => Ok(None),
            Way::Grpc => Err(ConfigError::KafkaUnused),
            Way::Kafka if self.kafka_brokers.is_empty() => Err(ConfigError::NoBrokers),
            Way::Kafka => {
                let settings = Settings::new(&self.kafka_brokers, self.kafka_topic, self.kafka_config);
                // What librdkafka does not take is better told now.
                settings.producer()?;
                Ok(Some(settings))
            }
        }
    }
}
