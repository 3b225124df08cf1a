//! Why a producer ended.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use syncline_kafka::Trouble;
use thiserror::Error;

/// Why a producer ended.
#[derive(Debug, Error)]
pub(super) enum Ending {
    #[error(transparent)]
    Trouble(#[from] Trouble),
    #[error("the Kafka producer failed ({0}): a new one goes on with what is not acknowledged")]
    Failed(String),
}

/// Whether the broker, or the producer for it, will never take a batch because of its size.
pub(super) fn is_too_large(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_size_makes_a_batch_unfit() {
        assert!(is_too_large(&KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge)));
        for passing in
            [RDKafkaErrorCode::Fatal, RDKafkaErrorCode::TopicAuthorizationFailed, RDKafkaErrorCode::QueueFull]
        {
            assert!(!is_too_large(&KafkaError::MessageProduction(passing)), "{passing}");
        }
    }
}
