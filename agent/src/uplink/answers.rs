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

/// Answers questions as long as the connection lasts.
pub(super) async fn answer(asking: &Asking, channel: Channel) -> Infallible {
    let mut client = CollectorClient::new(channel);
    loop {
        let stack_ids = asking.question().await.into_iter().map(|id| id.0).collect();
        match timeout(ANSWER_WITHIN, client.known(KnownRequest { stack_ids })).await {
            Ok(Ok(reply)) => asking.answer(Answer::Known(reply.into_inner())),
            Ok(Err(status)) if status.code() == Code::Unimplemented => asking.answer(Answer::CannotTell),
            Ok(Err(_)) | Err(_) => sleep(PAUSE).await,
        }
    }
}
