//! A run as peers get it: exchanges on one local scale, and the oracle that tells them of steps.

use syncline_peers::{Exchange, Peer};
use syncline_sim::profile::{Answer, Record, Trace};
use syncline_timebase::{Instant, Probe};

/// The node's clock that a peer works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// The bare oscillator. MONO is placed on it between the knots before and after: more than is known at once.
    Raw,
    /// The clock of the wall, which most originals work on.
    Wall,
}

/// What a peer gets and is asked, in the order of the run's records.
pub(super) struct Stream(Vec<Item>);

enum Item {
    Exchange(Exchange),
    Event {
        id: u32,
        local_ns: i64,
    },
    /// The oracle has seen a step of RAW.
    Reset,
}

impl Stream {
    pub(super) fn of(trace: &Trace, scale: Scale) -> Self {
        let (map, mut oracle) = (RawMap::of(trace), Oracle::of(trace));
        let mut items = Vec::with_capacity(trace.records.len());
        for record in &trace.records {
            match record {
                Record::Knot(_) => {}
                Record::Event { id, mono, wall } => {
                    let local_ns = if scale == Scale::Raw { map.raw_ns(mono.ns()) } else { wall.ns() };
                    items.push(Item::Event { id: *id, local_ns });
                }
                Record::Probe { probe, walls } => {
                    let [sent_ns, returned_ns] = match scale {
                        Scale::Raw => [probe.sent, probe.returned].map(|mono| map.raw_ns(mono.ns())),
                        Scale::Wall => walls.map(Instant::ns),
                    };
                    let (received_ns, replied_ns) = (probe.received.ns(), probe.replied.ns());
                    let exchange = Exchange { sent_ns, received_ns, replied_ns, returned_ns };
                    oracle.accompany(probe, exchange, &mut items);
                }
            }
        }
        Self(items)
    }

    /// What the peer says of each event.
    pub(super) fn replay(&self, peer: &mut dyn Peer) -> Vec<Answer> {
        let mut answers = Vec::new();
        for item in &self.0 {
            match item {
                Item::Exchange(exchange) => peer.observe(exchange),
                Item::Reset => peer.reset(),
                Item::Event { id, local_ns } => {
                    answers.extend(peer.answer(*local_ns).map(|said| {
                        let estimate_ns = said.reference_ns;
                        let earliest_ns = said.earliest_ns.unwrap_or(estimate_ns);
                        let latest_ns = said.latest_ns.unwrap_or(estimate_ns);
                        Answer { id: *id, estimate_ns, earliest_ns, latest_ns }
                    }));
                }
            }
        }
        answers
    }
}

/// MONO onto RAW, along the chord between the knots before and after.
pub(super) struct RawMap(Vec<(i64, i64)>);

impl RawMap {
    pub(super) fn of(trace: &Trace) -> Self {
        let knots = trace.records.iter().filter_map(|record| match record {
            Record::Knot(knot) => Some((knot.mono.ns(), knot.raw.ns())),
            Record::Probe { .. } | Record::Event { .. } => None,
        });
        Self(knots.collect())
    }

    pub(super) fn raw_ns(&self, mono_ns: i64) -> i64 {
        let after = self.0.partition_point(|(mono, _)| *mono <= mono_ns);
        let from = after.saturating_sub(1).min(self.0.len().saturating_sub(2));
        let [(mono, raw), (later_mono, later_raw)] = self.0.get(from..from + 2).unwrap_or_default() else {
            return mono_ns;
        };
        let slope = (later_raw - raw) as f64 / (later_mono - mono) as f64;
        raw + ((mono_ns - mono) as f64 * slope).round() as i64
    }
}

/// Steps of RAW as places on MONO, which stands still while the guest is frozen.
struct Oracle {
    steps: std::iter::Peekable<std::vec::IntoIter<i64>>,
    last_ns: Option<i64>,
}

/// An event so soon after a step says where on MONO it was, ns.
const SOON_NS: i64 = 5_000_000_000;

impl Oracle {
    fn of(trace: &Trace) -> Self {
        let [events, probes] = places(trace);
        let place = |at_ns: i64| {
            let next = |places: &[(i64, i64)]| places.get(places.partition_point(|place| place.0 < at_ns)).copied();
            let event = next(&events).filter(|event| event.0 - at_ns < SOON_NS);
            event.or(next(&probes)).map(|(reference_ns, mono_ns)| mono_ns - (reference_ns - at_ns))
        };
        let raw = trace.steps.iter().filter(|step| step.raw);
        let steps: Vec<i64> = raw.filter_map(|step| place(step.at_ns)).collect();
        Self { steps: steps.into_iter().peekable(), last_ns: None }
    }

    /// Steps that lie before the exchange are told before it, those within it after it. One that overtook another and is of
    /// the clock before a step that has been told is left out.
    fn accompany(&mut self, probe: &Probe, exchange: Exchange, items: &mut Vec<Item>) {
        let (sent_ns, returned_ns) = (probe.sent.ns(), probe.returned.ns());
        self.tell_until(sent_ns, items);
        if self.last_ns.is_none_or(|last_ns| last_ns <= sent_ns) {
            items.push(Item::Exchange(exchange));
        }
        self.tell_until(returned_ns, items);
    }

    fn tell_until(&mut self, until_ns: i64, items: &mut Vec<Item>) {
        while let Some(step_ns) = self.steps.next_if(|step_ns| *step_ns <= until_ns) {
            self.last_ns = Some(step_ns);
            items.push(Item::Reset);
        }
    }
}

/// Reference time and MONO of each event and, to within its round trip, of each probe.
fn places(trace: &Trace) -> [Vec<(i64, i64)>; 2] {
    let (mut events, mut probes) = (Vec::new(), Vec::new());
    for record in &trace.records {
        match record {
            Record::Knot(_) => {}
            Record::Event { id, mono, .. } => {
                events.extend(trace.truth.get(*id as usize).map(|truth| (truth.true_ns, mono.ns())));
            }
            Record::Probe { probe, .. } => {
                probes.push((probe.received.ns(), probe.sent.ns().midpoint(probe.returned.ns())));
            }
        }
    }
    events.sort_unstable();
    probes.sort_unstable();
    [events, probes]
}

#[cfg(test)]
mod tests {
    use syncline_sim::profile::{Network, Profile, generate};

    use super::*;

    #[test]
    fn raw_lies_on_the_chord_between_two_knots() {
        let map = RawMap(vec![(0, 100), (10, 120), (20, 130)]);
        assert_eq!([-5, 0, 4, 10, 15, 30].map(|mono| map.raw_ns(mono)), [90, 100, 108, 120, 125, 140]);
        assert_eq!(RawMap(Vec::new()).raw_ns(7), 7);
    }

    #[test]
    fn the_oracle_tells_every_step_of_raw_once() {
        let profile = Profile { events: 5_000, ..Profile::new(Network::Lan, false, true) };
        let trace = (1..).map(|seed| generate(&profile, seed)).find(|trace| trace.steps.iter().any(|step| step.raw));
        let trace = trace.unwrap();
        let stream = Stream::of(&trace, Scale::Raw);
        let told = stream.0.iter().filter(|item| matches!(item, Item::Reset)).count();
        assert_eq!(told, trace.steps.iter().filter(|step| step.raw).count());
    }

    #[test]
    fn an_exchange_within_a_step_is_forgotten_with_it() {
        let probe = |sent, returned| Probe {
            sent: Instant::from_ns(sent),
            received: Instant::from_ns(0),
            replied: Instant::from_ns(0),
            returned: Instant::from_ns(returned),
        };
        let exchange = Exchange { sent_ns: 0, received_ns: 0, replied_ns: 0, returned_ns: 0 };
        let (mut oracle, mut items) = (Oracle { steps: vec![50].into_iter().peekable(), last_ns: None }, Vec::new());
        for (sent, returned) in [(10, 20), (40, 60), (45, 70), (80, 90)] {
            oracle.accompany(&probe(sent, returned), exchange, &mut items);
        }
        let order: String = items.iter().map(|item| if matches!(item, Item::Reset) { 'R' } else { 'x' }).collect();
        assert_eq!(order, "xxRx");
    }
}
