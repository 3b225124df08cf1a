//! The way to the region's aggregators: one of them at a time takes batches, and answers clock probes.
//!
//! ```text
//! ranking   in which order a node prefers them                          pure
//! standing  which one is in use, after what failed and what worked      pure
//! stream    batches to one of them, until the stream ends
//! session   a connection to one of them where batches go another way
//! kafka     that other way
//! inquiry   whether one answers, and for which region
//! answers   what it says to questions of the batcher, beside the batches
//! ```
//!
//! A batch is kept until it is acknowledged, and goes again, the same bytes, on the next stream, be it to another aggregator:
//! those of one region share a store, which takes each batch once. Probes follow the batches, since a node's clock is
//! measured against the reference of the aggregator that aligns its waits.

mod answers;
mod inquiry;
mod kafka;
mod ranking;
mod session;
mod standing;
mod stream;

use std::sync::Arc;
use std::time::Instant;

use syncline_probe::Backoff;
use tokio::sync::watch;
use tonic::transport::Endpoint;

use crate::asking::Asking;
use crate::endpoint::Aggregator;
use crate::queue::{Queue, SharedQueue};

use inquiry::preferred_answers;
pub use kafka::KafkaUplink;
pub use ranking::Ranking;
use standing::Standing;
pub use standing::Switching;
use stream::Ending;
pub use stream::WINDOW;

/// Keeps a connection to the aggregators of a region, and sends them a queue's batches, for ever.
#[derive(Debug)]
pub struct Uplink {
    ranking: Ranking,
    region: Option<String>,
    switching: Switching,
    standing: Standing,
    queue: Arc<SharedQueue>,
    asking: Arc<Asking>,
    /// Whether batches go over the connection.
    carries: bool,
    in_use: watch::Sender<Endpoint>,
    connected: watch::Sender<bool>,
    told: bool,
}

impl Uplink {
    /// An uplink that is not yet connected, to the first of `ranking` that answers.
    pub fn new(ranking: Ranking, queue: Arc<SharedQueue>) -> Self {
        let switching = Switching::default();
        Self {
            region: None,
            switching,
            standing: Standing::new(ranking.len(), switching),
            queue,
            asking: Arc::default(),
            carries: true,
            in_use: watch::channel(ranking.at(0).endpoint().clone()).0,
            connected: watch::channel(false).0,
            told: false,
            ranking,
        }
    }

    /// Aggregators of other regions get no batches: they would refuse them for good.
    #[must_use]
    pub fn of_region(self, region: String) -> Self {
        Self { region: Some(region), ..self }
    }

    /// Batches go another way: the connection is for questions, and tells whom to probe.
    #[must_use]
    pub fn without_batches(self) -> Self {
        Self { carries: false, ..self }
    }

    /// Takes questions there to the aggregator.
    #[must_use]
    pub fn asking(self, asking: Arc<Asking>) -> Self {
        Self { asking, ..self }
    }

    /// Changes to other aggregators as `switching` says.
    #[must_use]
    pub fn switching(self, switching: Switching) -> Self {
        Self { switching, standing: Standing::new(self.ranking.len(), switching), ..self }
    }

    /// Whether there is a connection now.
    pub fn connected(&self) -> watch::Receiver<bool> {
        self.connected.subscribe()
    }

    /// The aggregator in use, connected or to be connected.
    pub fn in_use(&self) -> watch::Receiver<Endpoint> {
        self.in_use.subscribe()
    }

    /// Connects, sends, and starts again when the connection ends. Returns only when the queue is finished.
    pub async fn run(mut self) {
        let mut backoff = Backoff::default();
        while !self.queue.look(Queue::is_finished) {
            let ending = if self.carries {
                let ending = self.one_connection(&mut backoff).await;
                self.queue.change_quietly(Queue::disconnected);
                ending
            } else {
                self.one_session(&mut backoff).await
            };
            self.connected.send_replace(false);
            match ending {
                Ok(Left::Finished) => return,
                Ok(Left::ForPreferred(rank)) => self.go_back(rank),
                Err(ending) => {
                    self.tell_failure(&ending);
                    if self.standing.failed(Instant::now()) {
                        self.publish();
                    } else {
                        tokio::time::sleep(backoff.after_failure()).await;
                    }
                }
            }
        }
    }

    async fn one_connection(&mut self, backoff: &mut Backoff) -> Result<Left, Ending> {
        let mut stream = stream::open(self.aggregator(), self.region.as_deref()).await?;
        self.queue.change(Queue::reconnected);
        self.connected.send_replace(true);
        self.tell_success();
        let mut changes = self.queue.changes();
        let preferred = preferred_answers(self.preferred(), self.region.clone(), self.switching);
        let asking = Arc::clone(&self.asking);
        let connection = self.queue.look(Queue::connections);
        let answers = answers::answer(&asking, stream.channel(), || connection);
        tokio::pin!(preferred, answers);
        while !self.queue.look(Queue::is_finished) {
            stream.fill(&self.queue).await?;
            tokio::select! {
                reply = stream.reply() => {
                    if stream::settle(&self.queue, reply?) {
                        backoff.reset();
                        self.standing.worked();
                    }
                }
                _ = changes.changed() => {}
                never = &mut answers => match never {},
                rank = &mut preferred => return Ok(Left::ForPreferred(rank)),
            }
        }
        Ok(Left::Finished)
    }

    async fn one_session(&mut self, backoff: &mut Backoff) -> Result<Left, Ending> {
        let channel = session::open(self.aggregator(), self.region.as_deref()).await?;
        self.connected.send_replace(true);
        self.tell_success();
        self.standing.worked();
        backoff.reset();
        let (asking, queue) = (Arc::clone(&self.asking), Arc::clone(&self.queue));
        // The batcher asks again at each new connection of its batches, which are not this one.
        let answers = answers::answer(&asking, channel.clone(), || queue.look(Queue::connections));
        tokio::select! {
            never = answers => match never {},
            rank = preferred_answers(self.preferred(), self.region.clone(), self.switching) => Ok(Left::ForPreferred(rank)),
            ending = session::until_gone(channel, self.region.as_deref()) => Err(ending),
            () = queue.until(Queue::is_finished) => Ok(Left::Finished),
        }
    }

    fn aggregator(&self) -> &Aggregator {
        self.ranking.at(self.standing.rank())
    }

    /// Those that it would rather use, best first.
    fn preferred(&self) -> Vec<Aggregator> {
        (0..self.standing.rank()).map(|rank| self.ranking.at(rank).clone()).collect()
    }

    fn go_back(&mut self, rank: usize) {
        self.standing.go_back(rank);
        tracing::info!(aggregator = %self.aggregator(), "it answers again: going back to it");
        self.publish();
    }

    fn publish(&self) {
        self.in_use.send_replace(self.aggregator().endpoint().clone());
    }

    /// Told once until something works again.
    fn tell_failure(&mut self, ending: &Ending) {
        let aggregator = self.aggregator();
        let then = match self.ranking.len() {
            1 => String::new(),
            many => format!(" for {} s, then the next of {many}", self.switching.after_failing.as_secs_f64()),
        };
        if self.told {
            tracing::debug!(%aggregator, "{ending}");
        } else {
            tracing::warn!(
                "the aggregator {aggregator} {ending}: {}; trying again{then}, and keeping events meanwhile",
                ending.advice()
            );
        }
        self.told = true;
    }

    fn tell_success(&mut self) {
        self.told = false;
        let aggregator = self.aggregator();
        match self.standing.rank() {
            0 => tracing::info!(%aggregator, "connected"),
            _ => tracing::info!(%aggregator, in_place_of = %self.ranking.at(0), "connected"),
        }
    }
}

/// Why a connection was left.
enum Left {
    Finished,
    /// The aggregator of this rank, which is preferred, answers again.
    ForPreferred(usize),
}
