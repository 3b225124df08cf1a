//! Carries the batcher's questions to the aggregator of a connection, and its answers back.

use std::convert::Infallible;
use std::time::Duration;

use syncline_proto::v1::KnownRequest;
use syncline_proto::v1::collector_client::CollectorClient;
use tokio::time::{sleep, timeout};
use tonic::Code;
use tonic::transport::Channel;

use crate::asking::{Answer, Asking};

/// An answer that takes longer is asked for again. After a start the aggregator may have to look into the store for many.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Pause after a question that failed. Nobody is kept by it: what is new is told meanwhile.
const PAUSE: Duration = Duration::from_secs(1);
/// An aggregator that has failed so many times in a row cannot tell: something between may let batches through and no questions.
const MOST_FAILURES: u32 = 3;

/// Answers questions as long as a connection lasts; `connection` is the number of that on which the batches go.
pub(super) async fn answer(asking: &Asking, channel: Channel, connection: impl Fn() -> u64) -> Infallible {
    let mut client = CollectorClient::new(channel);
    let mut failures = 0;
    loop {
        let stack_ids = asking.question().await.into_iter().map(|id| id.0).collect();
        let connection = connection();
        let reply = timeout(ANSWER_WITHIN, client.known(KnownRequest { stack_ids })).await;
        failures = if matches!(reply, Ok(Ok(_))) { 0 } else { failures + 1 };
        match reply {
            Ok(Ok(reply)) => asking.answer(Answer::Known(reply.into_inner()), connection),
            Ok(Err(status)) if status.code() == Code::Unimplemented => asking.answer(Answer::CannotTell, connection),
            _ if failures >= MOST_FAILURES => asking.answer(Answer::CannotTell, connection),
            _ => sleep(PAUSE).await,
        }
    }
}
