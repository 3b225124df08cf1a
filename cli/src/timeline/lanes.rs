//! Events sorted into lanes: one lane per goroutine, the lanes of a region together.

use std::collections::BTreeMap;

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
}

impl<'a> Goroutine<'a> {
    fn of(event: &'a Event) -> Self {
        Self { region: &event.region, node: &event.node, service: &event.service, pid: event.pid, goid: event.goid }
    }

    /// What stands before the lane: `node-1 shop/4711 g18`.
    pub(crate) fn label(&self) -> String {
        printable(&format!("{} {}/{} g{}", self.node, self.service, self.pid, self.goid))
    }
}

/// A lane: one goroutine's waits by their start.
pub(crate) struct Lane<'a> {
    pub(crate) goroutine: Goroutine<'a>,
    pub(crate) events: Vec<&'a Event>,
}

impl Lane<'_> {
    fn waited_ns(&self) -> u128 {
        self.events.iter().map(|event| u128::from(event.duration_ns)).sum()
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
    all.sort_by_key(|lane| std::cmp::Reverse(lane.waited_ns()));
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
        events.sort_by_key(|event| event.start_ns);
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
        let labels: Vec<String> = lanes.drawn.iter().map(|lane| lane.goroutine.label()).collect();
        assert_eq!(labels, ["eu-1 shop/4711 g2", "us-1 shop/4711 g7"]);
        assert_eq!(lanes.drawn[0].events[0].start_ns, 20);
        assert_eq!((lanes.left_out_lanes, lanes.left_out_events), (1, 2));
    }
}
