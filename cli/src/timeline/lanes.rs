//! Events sorted into lanes: one lane per goroutine, the lanes of a region together.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use syncline_insight::inside;

use super::event::Event;
use crate::table::printable;

/// Who waits in a lane. The order of the fields is the order of the lanes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Goroutine<'a> {
    pub(crate) region: &'a str,
    node: &'a str,
    service: &'a str,
    pid: u32,
    goid: u64,
    /// Of a thread that runs no goroutine; else 0.
    tid: u32,
}

impl<'a> Goroutine<'a> {
    fn of(event: &'a Event) -> Self {
        let tid = if event.goid == 0 { event.tid } else { 0 };
        let Event { region, node, service, pid, goid, .. } = event;
        Self { region, node, service, pid: *pid, goid: *goid, tid }
    }
}

/// A lane: the waits of one goroutine, or of one thread that runs none, by their start.
pub(crate) struct Lane<'a> {
    pub(crate) goroutine: Goroutine<'a>,
    pub(crate) events: Vec<&'a Event>,
}

impl Lane<'_> {
    /// What stands before the lane: `node-1 shop/4711 g18`.
    pub(crate) fn label(&self) -> String {
        let who = self.events.first().map_or_else(String::new, |event| event.who());
        printable(&format!("{} {}/{} {who}", self.goroutine.node, self.goroutine.service, self.goroutine.pid))
    }

    /// Each moment once: waits lie inside of one another.
    fn waited_ns(&self) -> u128 {
        let inside = inside(self.events.iter().map(|event| (event.start_ns, event.end_ns)));
        let outside = self.events.iter().zip(inside).filter(|(_, is_inside)| !is_inside);
        outside.map(|(event, _)| u128::from(event.duration_ns)).sum()
    }
}

/// The lanes that are drawn and how much is not.
pub(crate) struct Lanes<'a> {
    pub(crate) drawn: Vec<Lane<'a>>,
    pub(crate) left_out_lanes: usize,
    pub(crate) left_out_events: usize,
}

/// Sorts the events into lanes and keeps the `at_most` lanes that waited longest.
pub(crate) fn lanes(events: &[Event], at_most: usize) -> Lanes<'_> {
    let mut all = by_goroutine(events);
    all.sort_by_key(|lane| Reverse(lane.waited_ns()));
    let left_out = all.split_off(at_most.min(all.len()));
    all.sort_by(|a, b| a.goroutine.cmp(&b.goroutine));
    Lanes {
        drawn: all,
        left_out_lanes: left_out.len(),
        left_out_events: left_out.iter().map(|lane| lane.events.len()).sum(),
    }
}

fn by_goroutine(events: &[Event]) -> Vec<Lane<'_>> {
    let mut lanes: BTreeMap<Goroutine<'_>, Vec<&Event>> = BTreeMap::new();
    for event in events {
        lanes.entry(Goroutine::of(event)).or_default().push(event);
    }
    for events in lanes.values_mut() {
        events.sort_by_key(|event| (event.start_ns, Reverse(event.end_ns)));
    }
    lanes.into_iter().map(|(goroutine, events)| Lane { goroutine, events }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::event::sample;
    use super::*;

    #[test]
    fn the_longest_waiting_goroutines_keep_their_lanes_and_the_rest_is_counted() {
        let events = [
            sample("us", 7, 50, 500, "select"),
            sample("eu", 1, 10, 5, "select"),
            sample("eu", 2, 40, 100, "select"),
            sample("eu", 2, 20, 100, "select"),
            sample("eu", 1, 12, 5, "select"),
        ];
        let lanes = lanes(&events, 2);
        let labels: Vec<String> = lanes.drawn.iter().map(Lane::label).collect();
        assert_eq!(labels, ["eu-1 shop/4711 g2", "us-1 shop/4711 g7"]);
        assert_eq!(lanes.drawn[0].events[0].start_ns, 20);
        assert_eq!((lanes.left_out_lanes, lanes.left_out_events), (1, 2));
    }

    #[test]
    fn a_lane_waited_once_for_waits_inside_of_others_and_threads_without_goroutines_have_their_own() {
        let thread = |tid, start_ns, duration_ns| Event { tid, ..sample("eu", 0, start_ns, duration_ns, "futex") };
        let events = [
            sample("eu", 1, 0, 100, "cgo call"),
            sample("eu", 1, 5, 90, "syscall read"),
            sample("eu", 2, 0, 150, "select"),
            thread(71, 0, 5),
            thread(72, 0, 4),
        ];
        let lanes = lanes(&events, 4);
        let labels: Vec<String> = lanes.drawn.iter().map(Lane::label).collect();
        let [first, second, third, fourth] =
            ["thread 71", "thread 72", "g1", "g2"].map(|who| format!("eu-1 shop/4711 {who}"));
        assert_eq!(labels, [first, second, third, fourth.clone()]);
        assert_eq!(super::lanes(&events, 1).drawn[0].label(), fourth, "it waited longest");
    }
}
