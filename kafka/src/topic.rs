//! Makes the topic, for who wants that done.

use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::error::RDKafkaErrorCode;

use crate::settings::RECORD_BYTES;
use crate::trouble::reason;
use crate::{Logged, Settings, Trouble, Wrong};

/// Brokers that take longer are as good as gone.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Makes the topic with so many partitions, as often replicated as is usual there, and with room for the largest batches. One that is there stays as
/// it is.
///
/// # Errors
/// The brokers do not answer, or do not make it.
pub async fn create_topic(settings: &Settings, partitions: u16) -> Result<(), Trouble> {
    let refused = |error: rdkafka::error::KafkaError| Trouble::Wrong(Wrong::Refused(error.to_string()));
    let client: AdminClient<Logged> = settings.producer()?.create_with_context(Logged).map_err(refused)?;
    let (topic, largest) = (settings.topic(), RECORD_BYTES.to_string());
    // -1: what the brokers have as their default.
    let new =
        NewTopic::new(topic, i32::from(partitions), TopicReplication::Fixed(-1)).set("max.message.bytes", &largest);
    let trouble = |why: String| {
        let (brokers, topic) = (settings.brokers().to_owned(), topic.to_owned());
        Trouble::Topic { brokers, topic, why: format!("it cannot be made ({why})") }
    };
    let options = AdminOptions::new().request_timeout(Some(ANSWER_WITHIN));
    let results = client
        .create_topics(&[new], &options)
        .await
        .map_err(|error| Trouble::Silent { brokers: settings.brokers().to_owned(), why: reason(&error) })?;
    match results.into_iter().find_map(Result::err) {
        None | Some((_, RDKafkaErrorCode::TopicAlreadyExists)) => Ok(()),
        Some((_, code)) => Err(trouble(code.to_string())),
    }
}
