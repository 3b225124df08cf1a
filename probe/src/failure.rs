//! What went wrong, in one line.

use std::error::Error;

use thiserror::Error as ThisError;

use crate::{ANSWER_WITHIN, MOST_UNANSWERED};

/// Why a session ended.
#[derive(Debug, ThisError)]
pub(crate) enum SessionError {
    #[error("cannot connect: {0}")]
    Unreachable(String),
    #[error("{0}")]
    Failed(String),
    #[error("the aggregator ended the stream")]
    Ended,
    #[error("{MOST_UNANSWERED} probes in a row got no answer within {} s", ANSWER_WITHIN.as_secs())]
    Silent,
    #[error("no UDP socket: {0}")]
    Socket(#[from] std::io::Error),
}

/// The cause at the bottom of an error, which for connections is the one that helps ("Connection refused").
pub fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// What a gRPC failure says, in one line.
pub fn explain(status: &tonic::Status) -> String {
    match (status.message(), status.source()) {
        (_, Some(source)) => root_cause(source),
        ("", None) => status.code().description().to_owned(),
        (message, None) => message.lines().next().unwrap_or_default().to_owned(),
    }
}
