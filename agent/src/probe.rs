//! What the agent makes of clock probes: whose answers it uses, and what it says of those that fail.

use syncline_event::ProbePath;
use syncline_probe::{Answer, LocalClock, Path, Peer, ProbeEvent};
use syncline_stamping::Placed;
use syncline_timebase::{Instant, Knot, Mono, Probe, Span};

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
    WrongRegion(String),
    /// Nothing for others.
    Nothing,
}

/// Listens to the prober of a node.
#[derive(Debug)]
pub struct ProbeListener {
    region: String,
    aggregator: String,
    peer: Option<Peer>,
    told: bool,
}

impl ProbeListener {
    /// For a node of `region`, whose aggregator is to be called `aggregator` in the log.
    pub fn new(region: String, aggregator: String) -> Self {
        Self { region, aggregator, peer: None, told: false }
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
                tracing::warn!(
                    aggregator = self.aggregator,
                    ?refused,
                    "packets that are no answers to our clock probes"
                );
                Heard::Nothing
            }
        }
    }

    fn answered(&mut self, answer: Answer) -> Heard {
        if std::mem::take(&mut self.told) {
            tracing::info!("clock probes are answered again");
        }
        let Answer { probe, path, peer, knots } = answer;
        if peer.region != self.region {
            return Heard::WrongRegion(peer.region);
        }
        let run = peer.run;
        if self.peer.as_ref().is_some_and(|known| known.run != run) {
            tracing::warn!(region = peer.region, run = %format_args!("{run:016x}"), "the reference clock is another one now");
        }
        self.peer = Some(peer);
        let path = match path {
            Path::Grpc => ProbePath::Grpc,
            Path::Udp(_) => ProbePath::Udp,
        };
        Heard::Usable(UsableProbe { probe, path, run, knots })
    }

    /// Says once that probing fails. An aggregator that cannot be reached at all is the uplink's to tell.
    fn failed(&mut self, unreachable: bool, why: &str) {
        let aggregator = &self.aggregator;
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
        self.mono()
    }

    fn placed(&self, stamp: &Placed) -> (Instant<Mono>, Span) {
        (self.true_mono(stamp.mono), stamp.mono_slack)
    }

    fn knot(&self) -> Option<Knot> {
        Some(Self::knot(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(region: &str, run: u64) -> ProbeEvent {
        let (mono, reference) = (Instant::from_ns(5), Instant::from_ns(9));
        let probe = Probe { sent: mono, received: reference, replied: reference, returned: mono };
        let peer = Peer { region: region.to_owned(), run, mapped: false };
        ProbeEvent::Answered(Answer { probe, path: Path::Grpc, peer, knots: None })
    }

    #[test]
    fn only_the_nodes_own_region_is_believed() {
        let mut listener = ProbeListener::new("eu".into(), "http://x:1".into());
        assert_eq!(listener.hear(answer("us", 1)), Heard::WrongRegion("us".into()));
        for run in [1, 2] {
            assert!(matches!(listener.hear(answer("eu", run)), Heard::Usable(probe) if probe.run == run));
        }
        let failed = ProbeEvent::Failed { unreachable: false, why: "x".into() };
        assert_eq!(listener.hear(failed), Heard::Nothing);
    }
}
