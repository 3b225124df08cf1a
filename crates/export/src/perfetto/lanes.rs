//! Which track a wait is drawn on: slices of one track must lie inside of one another or apart.
//!
//! Waits of a goroutine do so by their nature, but for what clocks do to their ends: two ends may be placed by different pieces of a clock's
//! model. What lies across another one goes to a further track of the same goroutine, and is told as it is.

use std::collections::HashMap;

/// The waits that are being drawn, by goroutine.
#[derive(Debug, Default)]
pub(super) struct Lanes(HashMap<u64, Vec<Vec<Open>>>);

#[derive(Clone, Copy, Debug)]
struct Open {
    end_ns: i64,
    /// From then on it is drawn as ready, which is a slice in it.
    ready_ns: i64,
}

impl Lanes {
    /// The lane for a wait of this goroutine; those of one goroutine come in the order of their begins. One that goes on ends at
    /// `i64::MAX`; one that is not drawn as ready is ready at its end.
    pub(super) fn place(&mut self, goroutine: u64, start_ns: i64, ready_ns: i64, end_ns: i64) -> usize {
        let lanes = self.0.entry(goroutine).or_default();
        for lane in lanes.iter_mut() {
            // What ended at that very moment has been closed before.
            while lane.last().is_some_and(|open| open.end_ns <= start_ns) {
                lane.pop();
            }
        }
        let fits = |lane: &Vec<Open>| lane.last().is_none_or(|around| end_ns <= around.room_at(start_ns));
        let found = lanes.iter().position(fits).unwrap_or_else(|| {
            lanes.push(Vec::new());
            lanes.len() - 1
        });
        lanes[found].push(Open { end_ns, ready_ns });
        found
    }

    /// Forgets goroutines of which nothing is drawn any more at this time.
    pub(super) fn forget_ended(&mut self, now_ns: i64) {
        self.0.retain(|_, lanes| lanes.iter().flatten().any(|open| open.end_ns > now_ns));
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Open {
    /// Until when what begins inside of it at this time must end.
    fn room_at(&self, start_ns: i64) -> i64 {
        // At the very moment at which this one becomes ready the other's end would come too late.
        if start_ns < self.ready_ns && self.ready_ns < self.end_ns { self.ready_ns - 1 } else { self.end_ns }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_inside_of_one_another_share_a_lane_and_those_across_do_not() {
        let mut lanes = Lanes::default();
        let mut place = |start, ready, end| lanes.place(1, start, ready, end);
        assert_eq!(place(0, 100, 100), 0);
        assert_eq!(place(10, 50, 50), 0, "inside");
        assert_eq!(place(50, 100, 100), 0, "after that, inside of the first to its end");
        assert_eq!(place(90, 110, 110), 1, "across");
        assert_eq!(place(110, 130, 140), 0, "after all");
        assert_eq!(place(120, 135, 135), 1, "across where the other becomes ready");
        assert_eq!(place(131, 139, 139), 0, "inside of its being ready");
        assert_eq!(lanes.place(2, 120, 135, 135), 0, "another goroutine");
    }

    #[test]
    fn only_what_is_drawn_is_remembered() {
        let mut lanes = Lanes::default();
        lanes.place(1, 0, 10, 10);
        lanes.place(2, 0, 20, 20);
        lanes.forget_ended(10);
        assert_eq!(lanes.len(), 1);
    }
}
