//! The tightest bounds that follow from all constraints together.

use syncline_timebase::Span;

use super::{Constraint, Interval};

/// No path leads there. Sums of bounds at the edges of i64 are kept whole, so that two ways of adding them up cannot disagree
/// about whether all can be true.
const UNREACHED: i128 = i128::MAX;

/// `to - from <= reach`, for all pairs: the shortest paths (Floyd, Algorithm 97, CACM 5, 1962).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Closure {
    clocks: usize,
    /// Row by row, ns.
    reach: Vec<i128>,
}

/// One half of a constraint: `to - from <= high`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Edge {
    from: usize,
    to: usize,
    high: i128,
    /// The constraint that it is of.
    place: usize,
}

impl Closure {
    pub(super) fn of(clocks: usize, constraints: &[Constraint]) -> Self {
        let mut closure = Self { clocks, reach: vec![UNREACHED; clocks * clocks] };
        (0..clocks).for_each(|clock| closure.lower(clock, clock, 0));
        for edge in edges(constraints) {
            closure.lower(edge.from, edge.to, edge.high);
        }
        for via in 0..clocks {
            for from in 0..clocks {
                let first = closure.at(from, via);
                if first == UNREACHED {
                    continue;
                }
                for to in 0..clocks {
                    let second = closure.at(via, to);
                    if second != UNREACHED {
                        closure.lower(from, to, sum(first, second));
                    }
                }
            }
        }
        closure
    }

    /// Whether all constraints can be true at once.
    pub(super) fn is_consistent(&self) -> bool {
        (0..self.clocks).all(|clock| self.at(clock, clock) >= 0)
    }

    /// What is known of `to` - `from`.
    pub(super) fn interval(&self, from: usize, to: usize) -> Option<Interval> {
        if from >= self.clocks || to >= self.clocks {
            return None;
        }
        let (high, low) = (self.at(from, to), self.at(to, from));
        (high != UNREACHED && low != UNREACHED).then(|| Interval { low: span(low.saturating_neg()), high: span(high) })
    }

    fn at(&self, from: usize, to: usize) -> i128 {
        self.reach[from * self.clocks + to]
    }

    fn lower(&mut self, from: usize, to: usize, reach: i128) {
        let known = &mut self.reach[from * self.clocks + to];
        *known = (*known).min(reach);
    }
}

/// Constraints of one negative cycle, by their places; none where all can be true (Bellman, Quarterly of Applied
/// Mathematics 16, 1958; Ford).
pub(super) fn negative_cycle(clocks: usize, constraints: &[Constraint]) -> Vec<usize> {
    let edges: Vec<Edge> = edges(constraints).collect();
    // All start at 0, as if one more clock led to each.
    let (mut reach, mut came) = (vec![0_i128; clocks], vec![None; clocks]);
    let mut lowered = None;
    for _ in 0..=clocks {
        lowered = None;
        for edge in &edges {
            let over = sum(reach[edge.from], edge.high);
            if over < reach[edge.to] {
                reach[edge.to] = over;
                came[edge.to] = Some(*edge);
                lowered = Some(edge.to);
            }
        }
        if lowered.is_none() {
            return Vec::new();
        }
    }
    // So many steps back one is on the cycle, whatever led to it.
    let back = |clock: usize, came: &[Option<Edge>]| came[clock].map_or(clock, |edge: Edge| edge.from);
    let start = (0..clocks).fold(lowered.unwrap_or_default(), |clock, _| back(clock, &came));
    let mut cycle = Vec::new();
    let mut clock = start;
    while let Some(edge) = came[clock] {
        cycle.push(edge.place);
        clock = edge.from;
        if clock == start || cycle.len() > clocks {
            break;
        }
    }
    cycle.sort_unstable();
    cycle.dedup();
    cycle
}

/// Both halves of each constraint, where it has them: the ends of i64 are no bounds.
fn edges(constraints: &[Constraint]) -> impl Iterator<Item = Edge> {
    constraints.iter().enumerate().flat_map(|(place, constraint)| {
        let Constraint { from, to, hard: Interval { low, high }, .. } = *constraint;
        let there = (high != Span::MAX).then(|| Edge { from, to, high: i128::from(high.ns()), place });
        let back = (low.ns() != i64::MIN).then(|| Edge { from: to, to: from, high: -i128::from(low.ns()), place });
        there.into_iter().chain(back)
    })
}

/// Never that of an unreached one.
fn sum(first: i128, second: i128) -> i128 {
    first.saturating_add(second).min(UNREACHED - 1)
}

fn span(ns: i128) -> Span {
    let nearest = if ns < 0 { i64::MIN } else { i64::MAX };
    Span::from_ns(i64::try_from(ns).unwrap_or(nearest))
}

#[cfg(test)]
mod tests {
    use super::super::tests::link;
    use super::*;

    fn interval(low: i64, high: i64) -> Option<Interval> {
        Some(Interval { low: Span::from_ns(low), high: Span::from_ns(high) })
    }

    #[test]
    fn a_way_around_may_be_tighter_than_the_link() {
        let closure = Closure::of(3, &[link(0, 1, 0, 100), link(0, 2, 10, 12), link(2, 1, 30, 35)]);
        assert!(closure.is_consistent());
        assert_eq!(closure.interval(0, 1), interval(40, 47));
        assert_eq!(closure.interval(1, 0), interval(-47, -40));
        assert_eq!(Closure::of(3, &[link(0, 1, 0, 100)]).interval(0, 2), None);
    }

    #[test]
    fn a_cycle_that_cannot_be_is_found_with_those_on_it() {
        let constraints =
            [link(0, 1, 0, 100), link(3, 0, -5, 5), link(0, 2, 10, 12), link(2, 1, 30, 35), link(3, 1, 60, 70)];
        assert!(!Closure::of(4, &constraints).is_consistent());
        assert_eq!(negative_cycle(4, &constraints), [1, 2, 3, 4]);
        assert!(negative_cycle(4, &constraints[..4]).is_empty());
    }

    #[test]
    fn bounds_at_the_edges_of_time_neither_overflow_nor_contradict() {
        let all = link(0, 1, i64::MIN, i64::MAX);
        let closure = Closure::of(3, &[all, link(1, 2, i64::MIN, i64::MAX)]);
        assert!(closure.is_consistent());
        assert!(negative_cycle(3, &[all, link(1, 2, i64::MIN, i64::MAX)]).is_empty());
    }
}
