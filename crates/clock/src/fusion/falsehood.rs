//! Which of the constraints are false, where they cannot all be true.
//!
//! Whatever restores consistency lies on every negative cycle, so it is looked for on one. Where leaving out any of several
//! would do, the bounds alone do not tell which it is; then a claim is doubted before a measurement, and of those the one
//! without which the estimates go together best.
//!
//! A claim that no cycle contradicts may still be far from all that the estimates say. It is left out too, where without it
//! they go together far better, and far better than without any other: bounds become wider by that, and never wrong.

use super::closure::{Closure, negative_cycle};
use super::points::Points;
use super::{Constraint, Falsehood, Interval, Kind};
use syncline_timebase::Span;

/// Twice the logarithm of the likelihoods' ratio by which the estimates must go together better without a claim.
const DOUBTED: f64 = 20.0;

/// The constraints that can be true together, and those left out.
pub(super) fn sieve(clocks: usize, constraints: &[Constraint]) -> (Vec<Constraint>, Vec<Falsehood>) {
    let mut kept: Vec<usize> = (0..constraints.len()).collect();
    let mut falsehoods = Vec::new();
    loop {
        let now: Vec<Constraint> = kept.iter().map(|place| constraints[*place]).collect();
        let cycle = negative_cycle(clocks, &now);
        let suspect = if cycle.is_empty() { far_off(clocks, &now) } else { Some(on_cycle(clocks, &now, &cycle)) };
        let Some(Suspect { place, is_proved }) = suspect else {
            falsehoods.sort_unstable_by_key(|falsehood: &Falsehood| falsehood.place);
            return (now, falsehoods);
        };
        let false_one = kept.remove(place);
        let off_by = off_by(&Closure::of(clocks, &without(&now, place)), &constraints[false_one]);
        falsehoods.push(Falsehood { place: false_one, is_proved, off_by });
    }
}

struct Suspect {
    place: usize,
    is_proved: bool,
}

/// The one on `cycle` to leave out.
fn on_cycle(clocks: usize, constraints: &[Constraint], cycle: &[usize]) -> Suspect {
    let restores = |place: &usize| Closure::of(clocks, &without(constraints, *place)).is_consistent();
    let candidates: Vec<usize> = cycle.iter().copied().filter(restores).collect();
    if let [only] = candidates[..] {
        return Suspect { place: only, is_proved: true };
    }
    // With more than one false, no single one restores: then any on the cycle may be.
    let candidates = if candidates.is_empty() { cycle.to_vec() } else { candidates };
    let is_claim = |place: &usize| constraints[*place].kind == Kind::Claim;
    let claims: Vec<usize> = candidates.iter().copied().filter(is_claim).collect();
    let candidates = if claims.is_empty() { candidates } else { claims };
    let cost = |place: &usize| Points::of(clocks, &without(constraints, *place)).cost();
    let least = candidates.iter().map(|place| (cost(place), *place)).min_by(|a, b| a.0.total_cmp(&b.0));
    Suspect { place: least.map_or(0, |(_, place)| place), is_proved: false }
}

/// The claim that the estimates speak against, where they clearly do.
fn far_off(clocks: usize, constraints: &[Constraint]) -> Option<Suspect> {
    let claims = constraints.iter().enumerate().filter(|(_, constraint)| constraint.kind == Kind::Claim);
    let cost = |place: usize| Points::of(clocks, &without(constraints, place)).cost();
    let mut costs: Vec<(f64, usize)> = claims.map(|(place, _)| (cost(place), place)).collect();
    costs.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (least, place) = *costs.first()?;
    let second = costs.get(1).map_or(f64::INFINITY, |(cost, _)| *cost);
    let with_it = Points::of(clocks, constraints).cost();
    let clearly = with_it.min(second) - least > DOUBTED;
    clearly.then_some(Suspect { place, is_proved: false })
}

fn without(constraints: &[Constraint], place: usize) -> Vec<Constraint> {
    let others = constraints.iter().enumerate().filter(|(other, _)| *other != place);
    others.map(|(_, constraint)| *constraint).collect()
}

/// How far `constraint` is from what the others leave it.
fn off_by(others: &Closure, constraint: &Constraint) -> Span {
    let Some(Interval { low, high }) = others.interval(constraint.from, constraint.to) else { return Span::ZERO };
    (low - constraint.hard.high).max(constraint.hard.low - high).max(Span::ZERO)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{claim, link};
    use super::*;

    /// UTC is clock 4; all four regions are on it, and the second says that it is 500 ahead.
    fn with_a_liar() -> Vec<Constraint> {
        let mut all = vec![claim(4, 0, -10, 10), claim(4, 1, 490, 510), claim(4, 2, -10, 10), claim(4, 3, -10, 10)];
        for from in 0..4 {
            all.extend((from + 1..4).map(|to| link(from, to, -100, 100)));
        }
        all
    }

    #[test]
    fn a_false_claim_is_named_with_how_far_it_is_off() {
        let (kept, falsehoods) = sieve(5, &with_a_liar());
        assert_eq!(falsehoods, [Falsehood { place: 1, is_proved: true, off_by: Span::from_ns(380) }]);
        assert_eq!(kept.len(), 9);
    }

    #[test]
    fn two_false_claims_are_both_left_out() {
        let mut all = with_a_liar();
        all[3] = claim(4, 3, -910, -890);
        let (kept, falsehoods) = sieve(5, &all);
        assert_eq!(falsehoods.iter().map(|falsehood| falsehood.place).collect::<Vec<_>>(), [1, 3]);
        assert!(Closure::of(5, &kept).is_consistent());
    }

    #[test]
    fn where_bounds_alone_cannot_tell_the_estimates_do() {
        // Only the link between 0 and 1 is short enough to contradict; the points of all links lie with the others.
        let mut all = with_a_liar();
        for constraint in &mut all[4..] {
            if (constraint.from, constraint.to) != (0, 1) {
                constraint.hard = Interval { low: Span::from_ns(-5_000), high: Span::from_ns(5_000) };
            }
        }
        let (_, falsehoods) = sieve(5, &all);
        assert_eq!(falsehoods, [Falsehood { place: 1, is_proved: false, off_by: Span::from_ns(380) }]);
    }

    #[test]
    fn a_claim_far_from_all_estimates_is_left_out_though_no_bound_contradicts_it() {
        let mut all = with_a_liar();
        for constraint in &mut all[4..] {
            constraint.hard = Interval { low: Span::from_ns(-5_000), high: Span::from_ns(5_000) };
        }
        let (kept, falsehoods) = sieve(5, &all);
        assert_eq!(falsehoods, [Falsehood { place: 1, is_proved: false, off_by: Span::ZERO }]);
        assert_eq!(kept.len(), 9);
        // Of two that speak against each other alone nobody knows which.
        let two = [claim(2, 0, -10, 10), claim(2, 1, 490, 510), all[4]];
        assert_eq!(sieve(3, &two).1, []);
    }

    #[test]
    fn what_can_be_true_is_left_alone() {
        let all = [claim(2, 0, -10, 10), claim(2, 1, 95, 115), link(0, 1, -100, 100)];
        assert_eq!(sieve(3, &all), (all.to_vec(), vec![]));
    }
}
