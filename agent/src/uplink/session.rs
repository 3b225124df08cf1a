//! The connection to an aggregator where batches go another way.

use std::time::Duration;

use tonic::transport::Channel;

use super::inquiry::serves;
use super::stream::{Ending, connect};
use crate::endpoint::Aggregator;

/// How often it is asked whether it is still there: no batch would tell.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// A connection to `aggregator`, if it answers, and serves `region` (or that does not matter).
pub(super) async fn open(aggregator: &Aggregator, region: Option<&str>) -> Result<Channel, Ending> {
    let channel = connect(aggregator).await?;
    if let Some(region) = region {
        serves(channel.clone(), region).await?;
    }
    Ok(channel)
}

/// Returns when the aggregator does not answer any more, or not for `region`.
pub(super) async fn until_gone(channel: Channel, region: Option<&str>) -> Ending {
    let Some(region) = region else { return std::future::pending().await };
    loop {
        tokio::time::sleep(ASK_EVERY).await;
        if let Err(ending) = serves(channel.clone(), region).await {
            return ending;
        }
    }
}
