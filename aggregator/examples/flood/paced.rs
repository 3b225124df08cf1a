//! A batch a second of each node, as agents send that are not behind: batches are made as they are due.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at};

use crate::send::{Sent, Stream};
use crate::traffic::Traffic;

const SECOND: Duration = Duration::from_secs(1);

/// Sends all of it, and waits until all is acknowledged; prints each second how many waits are.
pub(crate) async fn all(aggregator: SocketAddr, traffic: Vec<Traffic>) -> Result<Sent> {
    let (acknowledged, began) = (Arc::<AtomicU64>::default(), Instant::now());
    let nodes = u32::try_from(traffic.len()).context("too many nodes")?.max(1);
    let mut streams = JoinSet::new();
    for (place, node) in (0_u32..).zip(traffic) {
        let stream = Stream::open(aggregator).await?;
        streams.spawn(one(stream, node, SECOND * place / nodes, Arc::clone(&acknowledged)));
    }
    let telling = async {
        let mut ticks = tokio::time::interval(SECOND);
        for second in 0_u64.. {
            ticks.tick().await;
            println!("second {second} acknowledged={}", acknowledged.load(Ordering::Relaxed));
        }
    };
    let sending = async {
        let mut sent = Sent::nothing(began);
        while let Some(one) = streams.join_next().await {
            sent.add(one??);
        }
        Ok(sent)
    };
    tokio::select! {
        sent = sending => sent,
        () = telling => bail!("there are no more seconds"),
    }
}

async fn one(mut stream: Stream, mut traffic: Traffic, after: Duration, acknowledged: Arc<AtomicU64>) -> Result<Sent> {
    let mut ticks = interval_at(tokio::time::Instant::now() + after, SECOND);
    // An agent that was held up has the batches of that time, too.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    loop {
        tokio::select! {
            _ = ticks.tick(), if stream.has_room() => match traffic.next() {
                Some(batch) => stream.send(batch?).await?,
                None => return stream.finish().await,
            },
            waits = stream.wait_for_reply() => {
                acknowledged.fetch_add(waits?, Ordering::Relaxed);
            }
        }
    }
}
