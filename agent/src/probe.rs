//! What the agent makes of clock probes: whose answers it uses, and what it says of those that fail.

use syncline_event::ProbePath;
use syncline_exchange::Refused;
use syncline_probe::{Answer, LocalClock, Path, ProbeEvent, Refusals};
use syncline_stamping::Placed;
use syncline_timebase::{Instant, Knot, Mono, Probe, Span};
use tokio::sync::watch;
use tonic::transport::Endpoint;

use crate::clock::Clocks;

/// A finished probe that may be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsableProbe {
    /// The four stamps.
    pub probe: Probe,
    /// How it went.
    pub path: ProbePath,
    /// The run of the reference that answered.
    pub run: u64,
    /// The node's clocks around it.
    pub knots: Option<[Knot; 2]>,
}

/// What an event of the prober means to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A probe to be used.
    Usable(UsableProbe),
    /// The aggregator serves another region than this node belongs to; its answers are not used.
    WrongRegion {
        /// Its URL.
        aggregator: String,
        /// The region it serves.
        theirs: String,
    },
    /// Packets came that changed nothing.
    Refused(Refused),
    /// Nothing for others.
    Nothing,
}

/// Listens to the prober of a node.
#[derive(Debug)]
pub struct ProbeListener {
    region: String,
    aggregator: watch::Receiver<Endpoint>,
    /// Who answered last, with which run of its reference.
    answered_by: Option<(String, u64)>,
    told: bool,
    refusals: Refusals,
}

impl ProbeListener {
    /// For a node of `region` that asks `aggregator`.
    pub fn new(region: String, aggregator: watch::Receiver<Endpoint>) -> Self {
        Self { region, aggregator, answered_by: None, told: false, refusals: Refusals::default() }
    }

    /// Takes the next event.
    pub fn hear(&mut self, event: ProbeEvent) -> Heard {
        match event {
            ProbeEvent::Answered(answer) => self.answered(answer),
            ProbeEvent::Failed { unreachable, why } => {
                self.failed(unreachable, &why);
                Heard::Nothing
            }
            ProbeEvent::Refused(refused) => {
                if let Some(refused) = self.refusals.add(&refused) {
                    let aggregator = self.aggregator();
                    tracing::warn!(aggregator, ?refused, "packets that are no answers to our clock probes");
                }
                Heard::Refused(refused)
            }
        }
    }

    fn answered(&mut self, answer: Answer) -> Heard {
        if std::mem::take(&mut self.told) {
            tracing::info!("clock probes are answered again");
        }
        let Answer { probe, path, peer, knots } = answer;
        if peer.region != self.region {
            return Heard::WrongRegion { aggregator: self.aggregator(), theirs: peer.region };
        }
        let run = peer.run;
        let (aggregator, before) = (self.aggregator(), self.answered_by.take());
        // Another aggregator has another one, and the uplink tells of it.
        if before.is_some_and(|(who, known)| who == aggregator && known != run) {
            tracing::warn!(aggregator, run = %format_args!("{run:016x}"), "the reference clock is another one now");
        }
        self.answered_by = Some((aggregator, run));
        let path = match path {
            Path::Grpc => ProbePath::Grpc,
            Path::Udp(_) => ProbePath::Udp,
        };
        Heard::Usable(UsableProbe { probe, path, run, knots })
    }

    fn aggregator(&self) -> String {
        self.aggregator.borrow().uri().to_string().trim_end_matches('/').to_owned()
    }

    /// Says once that probing fails. An aggregator that cannot be reached at all is the uplink's to tell.
    fn failed(&mut self, unreachable: bool, why: &str) {
        let aggregator = self.aggregator();
        if unreachable || std::mem::replace(&mut self.told, true) {
            tracing::debug!(aggregator, why, "clock probes fail");
        } else {
            tracing::warn!(
                aggregator,
                why,
                "clock probes fail; events keep flowing, with widening error bounds; trying again"
            );
        }
    }
}

impl LocalClock for Clocks {
    fn now(&self) -> Instant<Mono> {
        self.probe_stamp(self.mono())
    }

    fn placed(&self, stamp: &Placed) -> (Instant<Mono>, Span) {
        (self.probe_stamp(self.true_mono(stamp.mono)), stamp.mono_slack)
    }

    fn knot(&self) -> Option<Knot> {
        Some(Self::knot(self))
    }
}

#[cfg(test)]
mod tests {
    use syncline_probe::Peer;

    use super::*;

    fn answer(region: &str, run: u64) -> ProbeEvent {
        let (mono, reference) = (Instant::from_ns(5), Instant::from_ns(9));
        let probe = Probe { sent: mono, received: reference, replied: reference, returned: mono };
        let peer = Peer { region: region.to_owned(), run, mapped: false };
        ProbeEvent::Answered(Answer { probe, path: Path::Grpc, peer, knots: None })
    }

    #[test]
    fn only_the_nodes_own_region_is_believed() {
        let mut listener = ProbeListener::new("eu".into(), syncline_probe::only(Endpoint::from_static("http://x:1")));
        let wrong = Heard::WrongRegion { aggregator: "http://x:1".into(), theirs: "us".into() };
        assert_eq!(listener.hear(answer("us", 1)), wrong);
        for run in [1, 2] {
            assert!(matches!(listener.hear(answer("eu", run)), Heard::Usable(probe) if probe.run == run));
        }
        let failed = ProbeEvent::Failed { unreachable: false, why: "x".into() };
        assert_eq!(listener.hear(failed), Heard::Nothing);
    }
}
