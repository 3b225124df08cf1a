//! What happened to clocks in the last rounds.

use serde::{Deserialize, Serialize};

/// Something that happened to a clock.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Event<T> {
    /// The rounds that are left to it.
    pub(crate) left: u32,
    pub(crate) size: T,
    /// It was after the one time and until the other.
    pub(crate) happened_ns: (i64, i64),
}

/// The furthest that moves, one after the other, lead from where it was at any time between them; of two as far the first.
pub(crate) fn furthest(moves: impl Iterator<Item = i64>) -> i64 {
    let (mut at, mut lowest, mut highest, mut furthest) = (0i64, 0i64, 0i64, 0i64);
    for by in moves {
        at = at.saturating_add(by);
        for from in [lowest, highest] {
            let moved = at.saturating_sub(from);
            if moved.unsigned_abs() > furthest.unsigned_abs() {
                furthest = moved;
            }
        }
        (lowest, highest) = (lowest.min(at), highest.max(at));
    }
    furthest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moves_that_undo_one_another_count_as_far_as_they_led() {
        let furthest = |moves: &[i64]| furthest(moves.iter().copied());
        assert_eq!([furthest(&[]), furthest(&[5]), furthest(&[-5])], [0, 5, -5]);
        assert_eq!([furthest(&[5, -5]), furthest(&[-5, 5]), furthest(&[6, 6, 6])], [5, -5, 18]);
        assert_eq!([furthest(&[3, -8, 2]), furthest(&[1, -2, 9, -1])], [-8, 9]);
        assert_eq!(furthest(&[i64::MAX, i64::MAX]), i64::MAX);
    }
}
