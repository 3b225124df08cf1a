//! Clock probes: four-stamp exchanges with the region's aggregator.
//!
//! They have a thread and a runtime of their own, with nothing else to do: what delays T4 here would look like a longer way
//! back, and widen every bound that rests on the probe.

mod schedule;
mod session;

use std::io;
use std::thread;
use std::time::Duration;

use syncline_timebase::{Knot, Probe};
use tokio::sync::watch;

use crate::backoff::Backoff;
use crate::clock::Clocks;
use crate::endpoint::Aggregator;

pub use schedule::Schedule;
use session::{Session, SessionError};

/// Whose clock the aggregator answers with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The region.
    pub region: String,
    /// Which continuous run of its reference time.
    pub run: u64,
}

/// What probing brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeEvent {
    /// A probe has finished; the knot was read right after it.
    Finished {
        /// The four stamps.
        probe: Probe,
        /// The run of the reference that answered.
        run: u64,
        /// The node's clocks right before it was sent and right after its return: the map from MONO to RAW is tight at both.
        knots: [Knot; 2],
    },
    /// The aggregator answers with another reference than before; the next probe is the first against it.
    ReferenceChanged {
        /// The new one.
        now: Reference,
    },
    /// The aggregator serves another region than this node belongs to; its answers are not used.
    WrongRegion {
        /// The region it serves.
        theirs: String,
    },
}

/// How to probe.
#[derive(Clone, Debug)]
pub struct ProberConfig {
    /// Whom.
    pub aggregator: Aggregator,
    /// The region that this node belongs to.
    pub region: String,
    /// When.
    pub schedule: Schedule,
}

/// Starts the thread that probes until `stop` says so. `sink` must not block.
///
/// # Errors
/// If the system gives no thread.
pub fn spawn(
    config: ProberConfig,
    clocks: Clocks,
    stop: watch::Receiver<bool>,
    sink: impl FnMut(ProbeEvent) + Send + 'static,
) -> io::Result<thread::JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let prober = Prober { config, clocks, sink, reference: None, log: FailureLog::default() };
    thread::Builder::new().name("clock-probes".into()).spawn(move || runtime.block_on(until_stopped(prober, stop)))
}

async fn until_stopped<S: FnMut(ProbeEvent)>(prober: Prober<S>, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        () = prober.run() => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

struct Prober<S> {
    config: ProberConfig,
    clocks: Clocks,
    sink: S,
    reference: Option<Reference>,
    log: FailureLog,
}

impl<S: FnMut(ProbeEvent)> Prober<S> {
    async fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let error = self.one_session(&mut backoff).await;
            self.log.failed(&self.config.aggregator, &error);
            tokio::time::sleep(backoff.after_failure()).await;
        }
    }

    /// Probes over one connection until it fails.
    async fn one_session(&mut self, backoff: &mut Backoff) -> SessionError {
        let mut session = match Session::connect(&self.config.aggregator, self.clocks).await {
            Ok(session) => session,
            Err(error) => return error,
        };
        for probes in 0.. {
            match session.exchange().await {
                Ok(exchange) => {
                    backoff.reset();
                    self.log.works();
                    self.answered(exchange);
                }
                Err(error) => return error,
            }
            tokio::time::sleep(self.config.schedule.pause_after(probes)).await;
        }
        SessionError::Ended
    }

    fn answered(&mut self, exchange: session::Exchange) {
        let session::Exchange { probe, knots, reference } = exchange;
        if reference.region != self.config.region {
            return (self.sink)(ProbeEvent::WrongRegion { theirs: reference.region });
        }
        let run = reference.run;
        if self.reference.as_ref() != Some(&reference) && self.reference.replace(reference.clone()).is_some() {
            (self.sink)(ProbeEvent::ReferenceChanged { now: reference });
        }
        (self.sink)(ProbeEvent::Finished { probe, run, knots });
    }
}

/// Says once that probing fails, and once that it works again. An aggregator that cannot be reached at all is the uplink's
/// to tell.
#[derive(Debug, Default)]
struct FailureLog {
    told: bool,
}

impl FailureLog {
    fn failed(&mut self, aggregator: &Aggregator, error: &SessionError) {
        if matches!(error, SessionError::Unreachable(_)) || self.told {
            tracing::debug!(%aggregator, %error, "clock probes fail");
        } else {
            self.told = true;
            tracing::warn!(%aggregator, %error, "clock probes fail; events keep flowing, with widening error bounds; trying again");
        }
    }

    fn works(&mut self) {
        if std::mem::take(&mut self.told) {
            tracing::info!("clock probes are answered again");
        }
    }
}

/// How long a probe may take: longer, and it is given up, since a bound so wide is of no use.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
