//! A Perfetto trace (perfetto.dev, `TrackEvent`): a track per region, node, process and goroutine; a slice per wait, and in it one for the
//! time in which the goroutine was ready and did not run; a flow from who woke to who was woken.
//!
//! All times are of one clock, the fleet's, which stands as the trace's own; nothing is left to convert. How well it is known stands beside each
//! wait, and as a counter beside each node.
//!
//! Packets are told in the order of time. What is held: what is going on at a time, and what was told once to be named by number, up to
//! limits beyond which it is told again.

mod agenda;
mod interned;
mod lanes;
mod message;
mod tracks;

use std::sync::Arc;

use prost::Message as _;
use syncline_insight::CallStack;

use crate::wait::{Note, Wait, Wake};
use agenda::{Agenda, Due, Waking, What};
use interned::Interned;
use lanes::Lanes;
use message::{
    Annotation, Clock, ClockSnapshot, NEEDS_STATE, OfTrace, Packet, PacketDefaults, REALTIME, STATE_CLEARED,
    TrackDescriptor, TrackEvent, Type, Value,
};
use tracks::{Ancestry, Tracks};

/// All packets are of one sequence.
const SEQUENCE: u32 = 1;
/// The track of what is said of the whole: any number that no hash of a track's is likely to be.
const ABOUT: u64 = 1;
/// What stands for a bound that there is none of.
const UNKNOWN: &str = "unknown: nothing is proved of when it was";

/// Encodes a trace.
#[derive(Debug, Default)]
pub struct Trace {
    interned: Interned,
    tracks: Tracks,
    lanes: Lanes,
    /// Goroutines of which something was drawn when the lanes were last looked through.
    drawn: usize,
    agenda: Agenda,
    flows: u64,
}

impl Trace {
    /// Begins the trace of what is from `from_ns` on.
    #[must_use]
    pub fn begin(from_ns: i64, out: &mut Vec<u8>) -> Self {
        let timestamp = stamp(from_ns);
        let clock = Clock { clock_id: REALTIME, timestamp };
        let clock_snapshot = Some(ClockSnapshot { clocks: vec![clock], primary_trace_clock: REALTIME.cast_signed() });
        put(out, Packet { clock_snapshot, ..packet() });
        put(out, state_cleared());
        Self::default()
    }

    /// Says something of the whole, as an event at a time on a track of its own.
    pub fn say(&mut self, at_ns: i64, title: &'static str, notes: Vec<(&'static str, String)>, out: &mut Vec<u8>) {
        describe(out, TrackDescriptor { uuid: ABOUT, name: "about this export".to_owned(), ..Default::default() });
        self.agenda.add(at_ns, What::Say { title, notes });
    }

    /// Tells a wait. They come in the order of their begins, of equals the longest first.
    pub fn add(&mut self, wait: &Wait<'_>, out: &mut Vec<u8>) {
        let start_ns = wait.start.ns;
        self.tell_due(start_ns, out);
        let ancestry = Ancestry::of(&wait.who);
        let end_ns = wait.end.map_or(i64::MAX, |end| end.ns.max(start_ns));
        let ready_ns = wait.ready_ns().unwrap_or(end_ns);
        let lane = self.lanes.place(ancestry.own, start_ns, ready_ns, end_ns);
        let track = ancestry.lane(lane);
        self.tracks.describe(&wait.who, ancestry, lane).into_iter().for_each(|told| describe(out, told));
        self.tell_bound(wait, ancestry, out);

        let mut event = self.slice(wait, track);
        event.callstack_iid = wait.stack.as_ref().map_or(0, |stack| self.interned.callstack(stack));
        self.tell(start_ns, event, out);
        if wait.end.is_some() {
            self.plan(wait, track, ready_ns, end_ns, out);
        }
    }

    /// Ends the trace. Waits that go on stay open, which readers show until the end of all.
    pub fn finish(mut self, out: &mut Vec<u8>) {
        self.tell_due(i64::MAX, out);
    }

    fn slice(&mut self, wait: &Wait<'_>, track: u64) -> TrackEvent {
        let mut event = if wait.is_unbounded() {
            let mut event = self.event(Type::Begin, track, &format!("{} (time unbounded)", wait.reason));
            event.category_iids.push(self.interned.category("unbounded"));
            event
        } else {
            self.event(Type::Begin, track, wait.reason)
        };
        event.category_iids.push(self.interned.category(wait.kind));
        let bound = |bound_ns: Option<u64>| bound_ns.map_or(Note::Name(UNKNOWN), Note::Count);
        event.annotations.push(self.annotation("begin_bound_ns", &bound(wait.start.bound_ns)));
        match wait.end {
            Some(end) => event.annotations.push(self.annotation("end_bound_ns", &bound(end.bound_ns))),
            None => event.annotations.push(self.annotation("end", &Note::Name("it goes on"))),
        }
        event.annotations.extend(wait.notes.iter().map(|(name, note)| self.annotation(name, note)));
        event
    }

    /// What is told of the wait later.
    fn plan(&mut self, wait: &Wait<'_>, track: u64, ready_ns: i64, end_ns: i64, out: &mut Vec<u8>) {
        let flow = wait.wake.as_ref().map(|wake| self.plan_wake(wait, wake, ready_ns, out));
        let was_seen_ready = wait.ready_ns().is_some();
        let is_slice = ready_ns < end_ns;
        if was_seen_ready || flow.is_some() {
            self.agenda.add(ready_ns, What::Ready { track, flow, is_slice });
        }
        if is_slice {
            self.agenda.add(end_ns, What::End { track });
            self.agenda.add(end_ns, What::End { track });
        } else {
            let at_once = was_seen_ready || flow.is_some();
            self.agenda.add(end_ns, if at_once { What::EndAtOnce { track } } else { What::End { track } });
        }
    }

    fn plan_wake(&mut self, wait: &Wait<'_>, wake: &Wake<'_>, ready_ns: i64, out: &mut Vec<u8>) -> u64 {
        self.flows += 1;
        let flow = self.flows;
        let waker = Ancestry::of(&wake.waker);
        self.tracks.describe(&wake.waker, waker, 0).into_iter().for_each(|told| describe(out, told));
        let who = &wait.who;
        let far = (wake.sent.is_some()).then(|| [who.region, who.node, who.service].map(str::to_owned));
        let waking = Waking {
            track: waker.own,
            flow,
            far,
            pid: who.pid,
            goid: who.goid,
            sent_bound_ns: wake.sent.map(|sent| sent.bound_ns),
            stack: wake.stack.clone(),
        };
        // The reader knows a flow by its first event.
        let at_ns = wake.sent.map_or(ready_ns, |sent| sent.ns.min(ready_ns));
        self.agenda.add(at_ns, What::Wake(Box::new(waking)));
        flow
    }

    fn tell_due(&mut self, now_ns: i64, out: &mut Vec<u8>) {
        while let Some(due) = self.agenda.next_by(now_ns) {
            self.tell_one(due, out);
        }
        if self.lanes.len() > 2 * self.drawn + 1_024 {
            self.lanes.forget_ended(now_ns);
            self.drawn = self.lanes.len();
        }
    }

    fn tell_one(&mut self, due: Due, out: &mut Vec<u8>) {
        let event = match due.what {
            What::End { track } | What::EndAtOnce { track } => {
                TrackEvent { kind: Type::End as i32, track_uuid: track, ..TrackEvent::default() }
            }
            What::Ready { track, flow, is_slice } => {
                let (kind, name) =
                    if is_slice { (Type::Begin, "ready, not running") } else { (Type::Instant, "ready") };
                TrackEvent { terminating_flow_ids: flow.into_iter().collect(), ..self.event(kind, track, name) }
            }
            What::Wake(waking) => self.wake(&waking),
            What::Say { title, notes } => {
                let annotations = notes.iter().map(|(name, text)| self.annotation(name, &Note::Text(text))).collect();
                TrackEvent { annotations, ..self.event(Type::Instant, ABOUT, title) }
            }
        };
        self.tell(due.at_ns, event, out);
    }

    fn wake(&mut self, waking: &Waking) -> TrackEvent {
        let name = if waking.far.is_some() { "sends what ends a wait" } else { "wakes" };
        let mut event = self.event(Type::Instant, waking.track, name);
        event.flow_ids.push(waking.flow);
        let mut notes = vec![("goid", Note::Count(waking.goid))];
        if let Some([region, node, service]) = &waking.far {
            let names = [("region", region), ("node", node), ("service", service)];
            notes.extend(names.map(|(name, value)| (name, Note::Name(value))));
            notes.push(("pid", Note::Count(waking.pid.into())));
        }
        if let Some(bound_ns) = waking.sent_bound_ns {
            notes.push(("bound_ns", bound_ns.map_or(Note::Name(UNKNOWN), Note::Count)));
        }
        event.annotations = notes.iter().map(|(name, note)| self.annotation(name, note)).collect();
        event.callstack_iid = self.callstack(waking.stack.as_ref());
        event
    }

    fn callstack(&mut self, stack: Option<&Arc<CallStack>>) -> u64 {
        stack.map_or(0, |stack| self.interned.callstack(stack))
    }

    fn tell_bound(&mut self, wait: &Wait<'_>, ancestry: Ancestry, out: &mut Vec<u8>) {
        let Some((track, description, value)) = self.tracks.bound(ancestry, wait.start.ns, wait.start.bound_ns) else {
            return;
        };
        if let Some(description) = description {
            describe(out, description);
        }
        let kind = Type::Counter as i32;
        let event = TrackEvent { kind, track_uuid: track, counter_value: Some(value), ..TrackEvent::default() };
        self.tell(wait.start.ns, event, out);
    }

    fn event(&mut self, kind: Type, track_uuid: u64, name: &str) -> TrackEvent {
        let name_iid = self.interned.event_name(name);
        TrackEvent { kind: kind as i32, track_uuid, name_iid, ..TrackEvent::default() }
    }

    fn annotation(&mut self, name: &'static str, note: &Note<'_>) -> Annotation {
        let value = match *note {
            Note::Name(text) => Value::TextIid(self.interned.annotation_text(text)),
            Note::Text(text) => Value::Text(text.to_owned()),
            Note::Count(count) => Value::Count(count),
            Note::Number(number) => Value::Number(number),
        };
        Annotation { name_iid: self.interned.annotation_name(name), value: Some(value) }
    }

    /// Tells an event with what its numbers stand for. Afterwards, so that no event is made of numbers that are forgotten, may be forgotten what
    /// they are.
    fn tell(&mut self, at_ns: i64, event: TrackEvent, out: &mut Vec<u8>) {
        let told = Packet {
            timestamp: Some(stamp(at_ns)),
            sequence_flags: NEEDS_STATE,
            interned_data: self.interned.take_fresh(),
            track_event: Some(event),
            ..packet()
        };
        put(out, told);
        if self.interned.is_full() {
            self.interned.forget();
            put(out, state_cleared());
        }
    }
}

fn describe(out: &mut Vec<u8>, track: TrackDescriptor) {
    put(out, Packet { track_descriptor: Some(track), ..packet() });
}

fn packet() -> Packet {
    Packet { trusted_packet_sequence_id: SEQUENCE, ..Packet::default() }
}

fn state_cleared() -> Packet {
    let defaults = Some(PacketDefaults { timestamp_clock_id: REALTIME });
    Packet { sequence_flags: STATE_CLEARED, defaults, ..packet() }
}

/// Perfetto's times are not negative: there was nobody to wait before 1970.
fn stamp(ns: i64) -> u64 {
    u64::try_from(ns).unwrap_or(0)
}

/// A trace is nothing but its packets one after the other.
fn put(out: &mut Vec<u8>, packet: Packet) {
    // Only a buffer without room fails, and a vector has it.
    let _ = OfTrace { packet: Some(packet) }.encode(out);
}
