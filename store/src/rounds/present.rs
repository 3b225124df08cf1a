//! What of a round is of the present, and what waited somewhere before it was stored. Pure.
//!
//! What was measured has a time by REF, which nobody sets, and one by the database's clock, of its insertion. How far that clock is from a run of a reference is
//! the least that was seen between the two: what came at once shows it. What has more of it by [`OLD_MS`] waited, in a spool while something was
//! away: it tells what was, and not what is.
//!
//! Where all that comes of a run has more of it, round by round, and none of it is worked off, nothing waits: the two clocks have moved against one
//! another.

use std::collections::BTreeMap;

/// What waited for longer is not of the present, ms: as long as the usual limit of silence, so that a node of which all comes later is told of.
pub(super) const OLD_MS: i64 = 120_000;
/// The two clocks leave one another by no more in a round, ms: 500 ppm of a long one.
const LEAVE_MS: i64 = 10;
/// So many rounds on end in which nothing was worked off show that clocks have moved.
const MOVED_ROUNDS: u32 = 4;
/// What is worked off is so much less in the next round, ms.
const WORKED_OFF_MS: i64 = 5_000;

/// How far the database's clock is from each run of a reference, by region.
#[derive(Clone, Debug, Default)]
pub(super) struct Present(BTreeMap<(String, u64), Apart>);

/// Of one run.
#[derive(Clone, Copy, Debug)]
struct Apart {
    /// The database's clock less REF, of what came at once, ms.
    least_ms: i64,
    /// How long what came last had waited, where that was too long, and in how many rounds on end it was not worked off.
    waited_ms: i64,
    rounds: u32,
    /// When something last came of it, by the database's clock, ms.
    at_ms: i64,
}

impl Present {
    /// What was seen of a run before the first round; the least of it counts.
    pub(super) fn begin(&mut self, (region, run): (String, u64), apart_ms: i64, at_ms: i64) {
        let begun = Apart { least_ms: apart_ms, waited_ms: 0, rounds: 0, at_ms };
        let apart = self.0.entry((region, run)).or_insert(begun);
        apart.least_ms = apart.least_ms.min(apart_ms);
    }

    /// Notes the least that the two clocks were apart in something of this round.
    pub(super) fn take(&mut self, (region, run): (&str, u64), apart_ms: i64, at_ms: i64) {
        let Some(apart) = self.0.get_mut(&(region.to_owned(), run)) else {
            return self.begin((region.to_owned(), run), apart_ms, at_ms);
        };
        apart.at_ms = at_ms;
        let waited_ms = apart_ms - apart.least_ms;
        if waited_ms <= OLD_MS {
            apart.least_ms += waited_ms.min(LEAVE_MS);
            (apart.waited_ms, apart.rounds) = (0, 0);
            return;
        }
        let is_worked_off = apart.rounds > 0 && waited_ms < apart.waited_ms - WORKED_OFF_MS;
        (apart.waited_ms, apart.rounds) = (waited_ms, if is_worked_off { 1 } else { apart.rounds + 1 });
        if apart.rounds >= MOVED_ROUNDS {
            *apart = Apart { least_ms: apart_ms, waited_ms: 0, rounds: 0, at_ms };
        }
    }

    /// The database's clock was set back.
    pub(super) fn set_back(&mut self, by_ms: i64) {
        for apart in self.0.values_mut() {
            (apart.least_ms, apart.at_ms) = (apart.least_ms - by_ms, apart.at_ms - by_ms);
        }
    }

    /// How far the furthest reference is ahead of the database's clock, ms.
    pub(super) fn ahead_ms(&self) -> i64 {
        self.0.values().map(|apart| apart.least_ms.saturating_neg()).max().unwrap_or(0).max(0)
    }

    /// Forgets runs that nothing has come of since `since_ms`.
    pub(super) fn forget(&mut self, since_ms: i64) {
        self.0.retain(|_, apart| apart.at_ms >= since_ms);
    }

    /// When something was by the database's clock that was at `ref_ms` by this run of a reference; none of a run that is not known.
    pub(super) fn stored_ms(&self, (region, run): (&str, u64), ref_ms: i64) -> Option<i64> {
        let apart = self.0.get(&(region.to_owned(), run))?;
        Some(ref_ms.saturating_add(apart.least_ms))
    }

    /// How long something waited that was at `ref_ms` and was inserted at `created_ms`, if it is not of the present.
    pub(super) fn waited_ms(&self, run: (&str, u64), ref_ms: i64, created_ms: i64) -> Option<i64> {
        let waited_ms = created_ms.saturating_sub(self.stored_ms(run, ref_ms)?);
        (waited_ms > OLD_MS).then_some(waited_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: (&str, u64) = ("eu", 9);
    const EVERY_MS: i64 = 15_000;

    /// Rounds in which what came had waited so long, each: whether it was taken for old.
    fn rounds(present: &mut Present, waited_ms: impl IntoIterator<Item = i64>) -> Vec<bool> {
        let mut is_old = Vec::new();
        for (round, waited_ms) in waited_ms.into_iter().enumerate() {
            let at_ms = 1_000_000 + EVERY_MS * round as i64;
            // REF is a minute ahead of the database's clock.
            let ref_ms = at_ms - waited_ms + 60_000;
            present.take(RUN, at_ms - ref_ms, at_ms);
            is_old.push(present.waited_ms(RUN, ref_ms, at_ms).is_some());
        }
        is_old
    }

    #[test]
    fn what_waited_is_old_until_it_is_worked_off() {
        let mut present = Present::default();
        assert_eq!(rounds(&mut present, [500, 2_000, 700]), [false; 3]);
        let worked_off = (0..20).map(|round| 1_200_000 - 60_000 * round);
        let expected: Vec<bool> = (0..20).map(|round| 1_200_000 - 60_000 * round > OLD_MS + 600).collect();
        assert_eq!(rounds(&mut present, worked_off), expected);
        assert!(expected[17] && !expected[18]);
    }

    #[test]
    fn clocks_that_moved_against_one_another_are_believed_after_a_minute() {
        let mut present = Present::default();
        rounds(&mut present, [500; 10]);
        assert_eq!(rounds(&mut present, [300_000; 6]), [true, true, true, false, false, false]);
        assert_eq!(rounds(&mut present, [500, 500]), [false; 2], "and back");
        assert_eq!(rounds(&mut present, [300_000]), [true]);
    }

    #[test]
    fn clocks_that_leave_one_another_slowly_are_followed_and_runs_are_apart() {
        let mut present = Present::default();
        let days = (0..30 * 5_760).map(|round| round * 2);
        assert!(rounds(&mut present, days).into_iter().all(|is_old| !is_old));
        assert_eq!(present.waited_ms(("eu", 8), 0, i64::MAX), None, "nothing is known of another run");
        present.forget(i64::MAX);
        assert_eq!(present.stored_ms(RUN, 0), None);
    }
}
