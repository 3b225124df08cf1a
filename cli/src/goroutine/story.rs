//! Waits and wakes of one goroutine in their order. All are of one node and boot, so its own monotonic clock orders them exactly.

use std::cmp::Reverse;

use syncline_insight::inside;

use super::query::Event;

/// One part of the story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// It waited.
    Wait {
        event: Event,
        /// Since the end of the wait before: it ran, was ready, or waited too shortly to be recorded. None before the first, and
        /// inside of another.
        gap_ns: Option<u64>,
        /// It lies inside of a wait before it, which is counted.
        is_inside: bool,
    },
    /// It made another goroutine ready.
    Wake {
        /// The wait that it ended.
        event: Event,
        /// When; the fleet's clock, ns since 1970.
        at_ns: i64,
    },
}

impl Part {
    /// When, on the node's monotonic clock.
    fn mono_ns(&self) -> u64 {
        match self {
            Self::Wait { event, .. } => event.mono_ns,
            Self::Wake { event, .. } => ready_ns(event),
        }
    }

    fn end_mono_ns(&self) -> u64 {
        match self {
            Self::Wait { event, .. } => event.mono_ns.saturating_add(event.duration_ns),
            Self::Wake { event, .. } => ready_ns(event),
        }
    }
}

/// The parts in their order.
pub(super) fn story(events: Vec<Event>, goid: u64) -> Vec<Part> {
    let part = |event: Event| {
        if event.goid == goid {
            return Part::Wait { event, gap_ns: None, is_inside: false };
        }
        let at_ns = event.end_ns.saturating_sub_unsigned(event.run_delay_ns.unwrap_or(0));
        Part::Wake { event, at_ns }
    };
    let mut story: Vec<Part> = events.into_iter().map(part).collect();
    story.sort_by_key(|part| (part.mono_ns(), Reverse(part.end_mono_ns())));
    let waits = story.iter().filter(|part| matches!(part, Part::Wait { .. }));
    let mut inside = inside(waits.map(|part| (part.mono_ns(), part.end_mono_ns()))).into_iter();
    let mut end_before: Option<u64> = None;
    for part in &mut story {
        let end = part.end_mono_ns();
        if let Part::Wait { event, gap_ns, is_inside } = part {
            *is_inside = inside.next().unwrap_or(false);
            *gap_ns = end_before.filter(|_| !*is_inside).map(|end| event.mono_ns.saturating_sub(end));
            end_before = end_before.max(Some(end));
        }
    }
    story
}

/// When the goroutine was made ready, on the node's monotonic clock.
fn ready_ns(event: &Event) -> u64 {
    event.mono_ns.saturating_add(event.duration_ns).saturating_sub(event.run_delay_ns.unwrap_or(0))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::ending::Ending;
    use crate::target::Target;

    pub(crate) fn event(goid: u64, waker_goid: u64, mono_ns: u64, duration_ns: u64, run_delay_ns: u64) -> Event {
        Event {
            goid,
            kind: "goroutine".to_owned(),
            blocks: 1,
            by_netpoll: 0,
            reason: "chan receive".to_owned(),
            start_ns: 1_000_000 + mono_ns.cast_signed(),
            end_ns: 1_000_000 + (mono_ns + duration_ns).cast_signed(),
            bound_ns: Some(50),
            end_bound_ns: Some(60),
            mono_ns,
            duration_ns,
            run_delay_ns: Some(run_delay_ns),
            target: Target::default(),
            ending: Ending { waker_goid: (waker_goid != 0).then_some(waker_goid), ..Ending::default() },
            stack_id: 0,
            stack: Vec::new(),
        }
    }

    #[test]
    fn waits_and_wakes_come_in_the_order_of_the_nodes_clock_with_gaps_between_waits() {
        let story = story(vec![event(7, 1, 500, 100, 10), event(8, 7, 200, 150, 50), event(7, 9, 100, 180, 0)], 7);
        let told: Vec<_> = story
            .iter()
            .map(|part| match part {
                Part::Wait { event, gap_ns, .. } => ("wait", event.mono_ns, gap_ns.map_or(-1, u64::cast_signed)),
                Part::Wake { event, at_ns } => ("wake", event.goid, *at_ns),
            })
            .collect();
        assert_eq!(told, [("wait", 100, -1), ("wake", 8, 1_000_300), ("wait", 500, 220)]);
    }

    #[test]
    fn a_wait_inside_of_another_has_no_gap_and_does_not_move_the_end_of_the_outer_one() {
        let waits = [(100, 500), (100, 80), (150, 200), (610, 5)];
        let story = story(waits.map(|(at, length)| event(7, 0, at, length, 0)).to_vec(), 7);
        let told: Vec<_> = story
            .iter()
            .map(|part| match part {
                Part::Wait { event, gap_ns, is_inside } => (event.mono_ns, *is_inside, *gap_ns),
                Part::Wake { .. } => panic!("nobody was woken"),
            })
            .collect();
        assert_eq!(told, [(100, false, None), (100, true, None), (150, true, None), (610, false, Some(10))]);
    }
}
