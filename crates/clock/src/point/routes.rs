//! What is remembered of the routes of a path.

use super::state::Way;
use serde::{Deserialize, Serialize};

/// A change of one way makes one of the other likely for so long, s.
const EXPECTED_S: f64 = 30.0;
/// Delays remembered of each way.
const REMEMBERED: usize = 4;
/// Routes of both ways remembered.
const PAIRS: usize = 3;
/// What a path usually does is known from so many changes.
const HABIT: f64 = 3.0;

/// A change of one way's delay.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Commit {
    pub(super) way: Way,
    /// When, s.
    pub(super) at: f64,
    /// By how much, ns.
    pub(super) by: f64,
    /// Df - Db before, and its variance.
    pub(super) asymmetry: f64,
    pub(super) variance: f64,
}

/// The delays at some time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Before {
    pub(super) at: f64,
    /// Df - Db, and its variance.
    pub(super) asymmetry: f64,
    pub(super) variance: f64,
    /// Df + Db.
    pub(super) sum: f64,
    /// [`Routes::habit`] at that time.
    pub(super) habit: f64,
    /// What they differ by now was taken to be this.
    pub(super) pinned: bool,
}

/// The delays of both ways while a route stood. Single precision keeps them to some ns, and the filter small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Pair {
    /// Df + Db.
    pub(super) sum: f32,
    /// Df - Db, and its variance.
    pub(super) asymmetry: f32,
    pub(super) variance: f32,
}

/// What is remembered of routes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Routes {
    /// The last change of one way.
    pub(super) last: Option<Commit>,
    /// What the delays were before the first of the changes that may not be what they seem.
    pub(super) before: Option<Before>,
    known: [[f32; REMEMBERED]; 2],
    count: [u32; 2],
    /// Routes of both ways that stood.
    pairs: [Pair; PAIRS],
    pair_count: u32,
    /// When the last change was taken, s.
    pub(super) changed: f64,
    /// How many more times both ways changed alike than one alone did, of late.
    pub(super) habit: f64,
}

impl Routes {
    /// By how much `way` may follow a change of the other, if it may.
    pub(super) fn expected(&self, way: Way, at: f64) -> Option<f64> {
        self.last.filter(|commit| commit.way != way && at - commit.at < EXPECTED_S).map(|commit| commit.by)
    }

    /// Whether `way` has just changed by itself, so that a further shift of it is a part of that.
    pub(super) fn is_unfinished(&self, way: Way, at: f64) -> bool {
        self.last.is_some_and(|commit| commit.way == way && at - commit.at < EXPECTED_S)
    }

    /// Both ways have changed alike, or one alone has.
    pub(super) fn learn(&mut self, by: f64) {
        self.habit = (self.habit + by).clamp(-HABIT, HABIT);
    }

    pub(super) fn remember(&mut self, way: Way, delay: f64, tolerance: f64) {
        let (known, count) = (&mut self.known[way as usize], &mut self.count[way as usize]);
        let full = (*count as usize).min(REMEMBERED);
        if !known[..full].iter().any(|known| (f64::from(*known) - delay).abs() < tolerance) {
            known[*count as usize % REMEMBERED] = delay as f32;
            *count += 1;
        }
    }

    /// A route is left that has stood.
    pub(super) fn remember_pair(&mut self, pair: Pair, tolerance: f64) {
        let full = (self.pair_count as usize).min(PAIRS);
        let same = self.pairs[..full].iter_mut().find(|known| f64::from(known.sum - pair.sum).abs() < tolerance);
        if let Some(known) = same {
            if pair.variance < known.variance {
                *known = pair;
            }
        } else {
            self.pairs[self.pair_count as usize % PAIRS] = pair;
            self.pair_count += 1;
        }
    }

    /// The remembered route whose delays are together `sum`, to within `tolerance`.
    pub(super) fn recall_pair(&self, sum: f64, tolerance: f64) -> Option<Pair> {
        let full = (self.pair_count as usize).min(PAIRS);
        self.pairs[..full].iter().copied().find(|known| (f64::from(known.sum) - sum).abs() < tolerance)
    }

    /// A remembered delay of `way` near `delay` and not near `before`; `doubt` is the variance of either.
    pub(super) fn recall(&self, way: Way, delay: f64, before: f64, doubt: f64) -> Option<f64> {
        let full = (self.count[way as usize] as usize).min(REMEMBERED);
        let fits = |known: &f64| (known - delay).powi(2) < 9.0 * doubt && (known - before).powi(2) > 4.0 * doubt;
        let mut fitting = self.known[way as usize][..full].iter().copied().map(f64::from).filter(fits);
        fitting.next().filter(|_| fitting.next().is_none())
    }
}
