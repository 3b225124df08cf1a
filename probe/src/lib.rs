//! The asking side of clock probes: four-stamp exchanges of a node with its aggregator, and of an aggregator with others.
//!
//! ```text
//! Prober ─┬─► udp    a session of crates/exchange over a socket of crates/stamping
//!         └─► grpc   a stream of Clock.Probe, while UDP does not get through
//! ```
//!
//! They have a thread and a runtime of their own, with nothing else to do: what delays a stamp in user space looks like a
//! longer way, and widens every bound that rests on the probe.

mod backoff;
mod descriptor;
mod failure;
mod grpc;
mod prober;
mod refusals;
mod udp;

use std::time::Duration;

use syncline_exchange::{Pacing, Refused, Stamped};
use syncline_stamping::Placed;
use syncline_timebase::{Instant, Knot, Mono, Probe, Span};
use tokio::sync::watch;
use tonic::transport::Endpoint;

pub use backoff::Backoff;
pub use failure::{explain, root_cause};
pub use prober::spawn;
pub use refusals::Refusals;

/// The clock that asks: a node's MONO, or what takes its place.
pub trait LocalClock: Copy + Send + 'static {
    /// Now.
    fn now(&self) -> Instant<Mono>;

    /// Where a stamp of the kernel's lies on it, and how far off that may be.
    fn placed(&self, stamp: &Placed) -> (Instant<Mono>, Span);

    /// A knot, for a clock that others are read beside.
    fn knot(&self) -> Option<Knot>;
}

/// How to probe.
#[derive(Clone, Debug)]
pub struct ProberConfig {
    /// Who asks, for the other side's log.
    pub name: String,
    /// Whom, by gRPC; UDP goes to the same host. Where that changes, probing begins anew there at once.
    pub endpoint: watch::Receiver<Endpoint>,
    /// When.
    pub pacing: Pacing,
    /// Over UDP where that gets through.
    pub udp: bool,
}

/// The one whom a prober asks, for good.
pub fn only(endpoint: Endpoint) -> watch::Receiver<Endpoint> {
    watch::channel(endpoint).1
}

/// What the prober cannot know by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// Something waits to be aligned.
    pub busy: bool,
    /// How often somebody noticed that the clocks were disrupted.
    pub disruptions: u64,
}

/// What is told to a prober while it runs.
pub type HintReceiver = watch::Receiver<Hints>;

/// Who answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its region.
    pub region: String,
    /// Which continuous run of its reference time.
    pub run: u64,
    /// Its region is itself measured against another one.
    pub mapped: bool,
}

/// How a probe went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Over gRPC, stamped in user space.
    Grpc,
    /// Over UDP, with these of the kernel's stamps.
    Udp(Stamped),
}

/// A finished probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The four stamps.
    pub probe: Probe,
    /// How it went.
    pub path: Path,
    /// Who answered.
    pub peer: Peer,
    /// The clocks right before it was sent and right after its return: the map from MONO to RAW is tight at both. None of a
    /// clock that has no knots.
    pub knots: Option<[Knot; 2]>,
}

/// What probing brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeEvent {
    /// A probe has finished.
    Answered(Answer),
    /// A session ended or could not be had; the next attempt is on its way.
    Failed {
        /// Nobody is there at all.
        unreachable: bool,
        /// Why, in a line.
        why: String,
    },
    /// Packets came that changed nothing; so many since the last such event.
    Refused(Refused),
}

/// How long a probe may take: longer, and it is given up, since a bound so wide is of no use.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Probes in a row without an answer after which a session is given up.
const MOST_UNANSWERED: u32 = 4;
