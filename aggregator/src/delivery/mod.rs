//! Telling people of incidents: Alertmanager and webhooks.
//!
//! ```text
//! skew_incidents ──► alertmanager   all that lasts, each minute, until a little later; what is over, for a while
//!                └─► webhook        each word once, in order; what was told is in alert_deliveries
//! ```
//!
//! What is told is what is stored: a restart, or another aggregator, goes on from there. Of several aggregators one at a time tells a webhook
//! (`lease`). Each target has a task of its own, so that one that is
//! away holds up no other; it is tried again after a second, then ever less often, up to every minute.

mod address;
mod alertmanager;
mod backoff;
mod counts;
mod message;
mod telling;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use syncline_store::Store;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::stopping::Stopping;
pub use address::Address;
pub use counts::{Deliveries, TargetCounts};
use message::Sender;
use telling::Telling;
pub use webhook::Webhook;

/// Incidents are looked for so often, and as soon as this aggregator has stored one.
const LOOK_EVERY: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Somebody who is told.
#[derive(Clone, Debug)]
pub struct Target {
    /// Unique.
    pub name: String,
    /// Where.
    pub address: Address,
    /// How.
    pub way: Way,
}

/// How a target is told.
#[derive(Clone, Debug)]
pub enum Way {
    /// By Alertmanager's API, version 2.
    Alertmanager,
    /// By a body of its own for each word.
    Webhook(Box<Webhook>),
}

/// Tells all of them until `stopping`. `root` is the region under whose name that is where nobody has evaluated yet, `told` changes when there is
/// something new, `holder` is this process. The tasks end after it.
pub(crate) fn spawn(
    (targets, root, runbook): (Vec<Target>, &str, &str),
    store: &Store,
    told: &watch::Receiver<u64>,
    holder: &Arc<str>,
    stopping: &Stopping,
) -> (Deliveries, Vec<JoinHandle<()>>) {
    let sender = Sender { root: root.to_owned(), runbook: runbook.to_owned() };
    let (mut deliveries, mut tasks) = (Deliveries::default(), Vec::new());
    for target in targets {
        let counts = deliveries.of(&target.name);
        let telling = Telling::new(target, sender.clone(), store.clone(), counts, holder);
        tasks.push(tokio::spawn(tell(telling, told.clone(), stopping.clone())));
    }
    (deliveries, tasks)
}

async fn tell(mut telling: Telling, mut told: watch::Receiver<u64>, stopping: Stopping) {
    let mut failures = 0;
    // A post that has begun is waited for: whether it was taken has to be remembered.
    while !stopping.is_wanted() {
        told.mark_unchanged();
        let wait = match telling.round(&stopping).await {
            Ok(again) => {
                if failures > 0 {
                    tracing::info!(target = telling.name(), "it is told again");
                }
                failures = 0;
                again.unwrap_or(LOOK_EVERY).min(LOOK_EVERY)
            }
            Err(failed) => {
                if failures == 0 {
                    tracing::warn!(
                        target = telling.name(),
                        why = failed.why,
                        "it cannot be told of alerts; it is tried again"
                    );
                }
                failures += 1;
                failed.after.unwrap_or_else(|| pause(failures)).min(LONGEST_PAUSE)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => (),
            // Its sender is gone as the aggregator ends.
            changed = told.changed(), if failures == 0 => if changed.is_err() { break },
            () = telling.turn() => (),
            () = stopping.clone().wanted() => (),
        }
    }
    telling.end().await;
}

/// A second, then twice as long each time.
fn pause(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.saturating_sub(1).min(6)).min(LONGEST_PAUSE)
}

/// Posts on a thread that may wait.
async fn post(target: &Arc<Target>, content_type: &str, key: Option<&str>, body: String) -> address::Answer {
    let (target, content_type, key) = (Arc::clone(target), content_type.to_owned(), key.map(str::to_owned));
    let posting = tokio::task::spawn_blocking(move || target.address.post((&content_type, key.as_deref()), &body));
    posting.await.unwrap_or_else(|error| address::Answer::Failed { why: error.to_string(), after: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_become_rarer_up_to_a_minute() {
        let pauses: Vec<u64> = (1..=8).map(|failures| pause(failures).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
