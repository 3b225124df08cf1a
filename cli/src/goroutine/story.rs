//! Waits and wakes of one goroutine in their order. All are of one node and boot, so its own monotonic clock orders them exactly.

use super::query::Event;

/// One part of the story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// It waited.
    Wait {
        event: Event,
        /// Since the end of the wait before: it ran, was ready, or waited too shortly to be recorded. None before the first.
        gap_ns: Option<u64>,
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
}

/// The parts in their order.
pub(super) fn story(events: Vec<Event>, goid: u64) -> Vec<Part> {
    let part = |event: Event| {
        if event.goid == goid {
            return Part::Wait { event, gap_ns: None };
        }
        let at_ns = event.end_ns.saturating_sub_unsigned(event.run_delay_ns.unwrap_or(0));
        Part::Wake { event, at_ns }
    };
    let mut story: Vec<Part> = events.into_iter().map(part).collect();
    story.sort_by_key(Part::mono_ns);
    let mut end_before = None;
    for part in &mut story {
        if let Part::Wait { event, gap_ns } = part {
            *gap_ns = end_before.map(|end| event.mono_ns.saturating_sub(end));
            end_before = Some(event.mono_ns.saturating_add(event.duration_ns));
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

    pub(crate) fn event(goid: u64, waker_goid: u64, mono_ns: u64, duration_ns: u64, run_delay_ns: u64) -> Event {
        Event {
            goid,
            waker_goid,
            by_netpoll: 0,
            reason: "chan receive".to_owned(),
            start_ns: 1_000_000 + mono_ns.cast_signed(),
            end_ns: 1_000_000 + (mono_ns + duration_ns).cast_signed(),
            bound_ns: Some(50),
            end_bound_ns: Some(60),
            mono_ns,
            duration_ns,
            run_delay_ns: Some(run_delay_ns),
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
                Part::Wait { event, gap_ns } => ("wait", event.mono_ns, gap_ns.map_or(-1, u64::cast_signed)),
                Part::Wake { event, at_ns } => ("wake", event.goid, *at_ns),
            })
            .collect();
        assert_eq!(told, [("wait", 100, -1), ("wake", 8, 1_000_300), ("wait", 500, 220)]);
    }
}
