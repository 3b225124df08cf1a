//! Whether an aggregator answers, and for which region: by one clock probe, of which only that is used.

use std::time::{Duration, Instant};

use syncline_probe::explain;
use syncline_proto::v1::ProbeRequest;
use syncline_proto::v1::clock_client::ClockClient;
use tokio::time::timeout;
use tonic::Status;
use tonic::transport::Channel;

use super::standing::{Answering, Switching};
use super::stream::{Ending, connect};
use crate::endpoint::Aggregator;

/// An aggregator that takes longer is as good as gone.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Whether the aggregator behind `channel` answers, and serves `region`.
pub(super) async fn serves(channel: Channel, region: &str) -> Result<(), Ending> {
    let theirs = match timeout(ANSWER_WITHIN, region_of(channel)).await {
        Ok(Ok(Some(theirs))) => theirs,
        Ok(Ok(None)) => return Err(Ending::Broken("it ended the stream".into())),
        Ok(Err(status)) => return Err(Ending::Broken(explain(&status))),
        Err(_) => return Err(Ending::Broken(format!("no answer within {} s", ANSWER_WITHIN.as_secs()))),
    };
    if theirs == region { Ok(()) } else { Err(Ending::OtherRegion { theirs, ours: region.to_owned() }) }
}

async fn region_of(channel: Channel) -> Result<Option<String>, Status> {
    let asking = tokio_stream::iter([ProbeRequest { id: 0 }]);
    let mut replies = ClockClient::new(channel).probe(asking).await?.into_inner();
    Ok(replies.message().await?.map(|reply| reply.region))
}

/// Returns the rank of the first of `preferred` that has answered, for `region` if there is one, for long enough. Never where
/// none is preferred.
pub(super) async fn preferred_answers(
    preferred: Vec<Aggregator>,
    region: Option<String>,
    switching: Switching,
) -> usize {
    if preferred.is_empty() {
        return std::future::pending().await;
    }
    let mut answering = Answering::new(preferred.len(), switching);
    loop {
        tokio::time::sleep(switching.ask_every).await;
        for (rank, aggregator) in preferred.iter().enumerate() {
            let answers = answers(aggregator, region.as_deref()).await;
            if answering.asked(rank, answers, Instant::now()) {
                return rank;
            }
        }
    }
}

async fn answers(aggregator: &Aggregator, region: Option<&str>) -> bool {
    match (connect(aggregator).await, region) {
        (Ok(channel), Some(region)) => serves(channel, region).await.is_ok(),
        (connected, _) => connected.is_ok(),
    }
}
