//! One producer: librdkafka's, whose thread tells us of each batch what became of it.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::Statistics;
use rdkafka::config::{FromClientConfigAndContext as _, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message as _};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};
use syncline_kafka::{Settings, Trouble, partitions_of};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::ending::Ending;

/// Brokers that take longer to tell of the topic are as good as gone.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What became of a batch.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) number: u64,
    pub(super) result: Result<(), KafkaError>,
}

/// An open producer.
pub(super) struct Producer {
    inner: Arc<ThreadedProducer<Deliveries>>,
    topic: String,
    events: UnboundedReceiver<Event>,
}

/// As many as batches are in flight, and some errors: so they need no bound.
enum Event {
    Delivered(Delivery),
    Fatal(String),
}

impl Producer {
    /// A producer that has seen the topic.
    pub(super) async fn open(settings: &Settings) -> Result<Self, Ending> {
        let (told, events) = unbounded_channel();
        let context = Deliveries { told, brokers: settings.brokers().to_owned() };
        let config = settings.producer().map_err(Trouble::from)?;
        let inner = ThreadedProducer::from_config_and_context(&config, context);
        let inner = Arc::new(inner.map_err(|error| Ending::Failed(error.to_string()))?);
        let (asking, settings) = (Arc::clone(&inner), settings.clone());
        let asked =
            blocking(move || partitions_of(asking.client(), &settings, ANSWER_WITHIN).map(|_| settings)).await?;
        let topic = asked?.topic().to_owned();
        Ok(Self { inner, topic, events })
    }

    /// Hands a batch over; false if there is no room for it now.
    pub(super) fn send(&self, key: &str, number: u64, bytes: &[u8]) -> Result<bool, KafkaError> {
        let record = BaseRecord::with_opaque_to(&self.topic, Box::new(number)).key(key).payload(bytes);
        match self.inner.send(record) {
            Ok(()) => Ok(true),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Ok(false),
            Err((error, _)) => Err(error),
        }
    }

    /// What became of the next batch of which that is known.
    pub(super) async fn delivery(&mut self) -> Result<Delivery, Ending> {
        match self.events.recv().await {
            Some(Event::Delivered(delivery)) => Ok(delivery),
            Some(Event::Fatal(why)) => Err(Ending::Failed(why)),
            // The context lives as long as the producer.
            None => Err(Ending::Failed("its thread has ended".to_owned())),
        }
    }

    /// Ends it; what is not delivered is given up by it. librdkafka takes a while for that.
    pub(super) async fn close(self) {
        // Nobody waits for what it could say.
        let _ = blocking(move || drop(self)).await;
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Ending> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Ending::Failed(error.to_string()))
}

struct Deliveries {
    told: UnboundedSender<Event>,
    brokers: String,
}

impl Deliveries {
    fn tell(&self, event: Event) {
        // Who closes the producer does not listen any more.
        let _ = self.told.send(event);
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        syncline_kafka::log(level, facility, text);
    }

    fn stats(&self, _: Statistics) {}

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::Fatal) => self.tell(Event::Fatal(reason.to_owned())),
            Some(RDKafkaErrorCode::AllBrokersDown) => {
                tracing::warn!(brokers = self.brokers, "no Kafka broker answers: events are kept until one does");
            }
            _ => tracing::debug!(target: "librdkafka", %error, reason, "error"),
        }
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, delivered: &DeliveryResult<'_>, number: Box<u64>) {
        let result = match delivered {
            Ok(message) => {
                tracing::trace!(number, partition = message.partition(), offset = message.offset(), "produced");
                Ok(())
            }
            Err((error, _)) => Err(error.clone()),
        };
        self.tell(Event::Delivered(Delivery { number: *number, result }));
    }
}
