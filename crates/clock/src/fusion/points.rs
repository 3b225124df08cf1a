//! The likeliest clocks: weighted least squares over all constraints, with the weights of Cauchy's distribution, so that
//! one that is far off says little (iteratively reweighted: Holland and Welsch, Communications in Statistics A6, 1977).

use syncline_timebase::Span;

use super::Constraint;

/// In standard deviations, squared: from about here on a constraint says less the further off it is.
const BEND: f64 = 4.0;
/// Rounds of reweighting; it settles within a few.
const ROUNDS: usize = 12;

/// Where each clock is, on scales of its own for each group of clocks that constraints join.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Points {
    /// About, ns: along a tree of constraints. Keeps the differences small that are solved for.
    base: Vec<i64>,
    /// From there, ns.
    off: Vec<f64>,
    cost: f64,
}

impl Points {
    pub(super) fn of(clocks: usize, constraints: &[Constraint]) -> Self {
        let base = along_a_tree(clocks, constraints);
        let left: Vec<f64> = constraints
            .iter()
            .map(|constraint| {
                let known = base[constraint.to].saturating_sub(base[constraint.from]);
                constraint.point.ns().saturating_sub(known) as f64
            })
            .collect();
        let mut points = Self { base, off: vec![0.0; clocks], cost: 0.0 };
        let mut weights: Vec<f64> = constraints.iter().map(|constraint| constraint.deviation_ns.powi(-2)).collect();
        for _ in 0..ROUNDS {
            points.off = solve(clocks, constraints, &left, &weights);
            for ((weight, constraint), left) in weights.iter_mut().zip(constraints).zip(&left) {
                *weight = constraint.deviation_ns.powi(-2) / (1.0 + points.strain(constraint, *left) / BEND);
            }
        }
        let strains = constraints.iter().zip(&left).map(|(constraint, left)| points.strain(constraint, *left));
        points.cost = strains.map(|strain| BEND * (strain / BEND).ln_1p()).sum();
        points
    }

    /// `to` - `from`.
    pub(super) fn apart(&self, from: usize, to: usize) -> Span {
        let off = (self.off[to] - self.off[from]).round() as i64;
        Span::from_ns(self.base[to].saturating_sub(self.base[from]).saturating_add(off))
    }

    /// How badly the constraints go together: minus twice the logarithm of their likelihood, but for a constant.
    pub(super) fn cost(&self) -> f64 {
        self.cost
    }

    /// How far a constraint is off, in its deviations, squared.
    fn strain(&self, constraint: &Constraint, left: f64) -> f64 {
        let off = left - (self.off[constraint.to] - self.off[constraint.from]);
        (off / constraint.deviation_ns).powi(2)
    }
}

/// Clocks along the first constraints that reach them.
fn along_a_tree(clocks: usize, constraints: &[Constraint]) -> Vec<i64> {
    let mut base = vec![None; clocks];
    while let Some(root) = base.iter().position(Option::is_none) {
        base[root] = Some(0_i64);
        while constraints.iter().any(|constraint| reach(&mut base, constraint)) {}
    }
    base.into_iter().map(Option::unwrap_or_default).collect()
}

/// Places the end of a constraint whose other end is placed; whether it did.
fn reach(base: &mut [Option<i64>], constraint: &Constraint) -> bool {
    let Constraint { from, to, point, .. } = *constraint;
    match (base[from], base[to]) {
        (Some(known), None) => base[to] = Some(known.saturating_add(point.ns())),
        (None, Some(known)) => base[from] = Some(known.saturating_sub(point.ns())),
        _ => return false,
    }
    true
}

/// The normal equations, by Cholesky's decomposition. A little weight on each clock itself holds each group in place.
fn solve(clocks: usize, constraints: &[Constraint], left: &[f64], weights: &[f64]) -> Vec<f64> {
    let largest = weights.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let at = |row: usize, column: usize| row * clocks + column;
    let (mut matrix, mut right) = (vec![0.0; clocks * clocks], vec![0.0; clocks]);
    (0..clocks).for_each(|clock| matrix[at(clock, clock)] = HELD);
    for ((constraint, left), weight) in constraints.iter().zip(left).zip(weights) {
        let (Constraint { from, to, .. }, weight) = (*constraint, weight / largest);
        matrix[at(from, from)] += weight;
        matrix[at(to, to)] += weight;
        matrix[at(from, to)] -= weight;
        matrix[at(to, from)] -= weight;
        right[to] += weight * left;
        right[from] -= weight * left;
    }
    cholesky(&mut matrix, &mut right);
    right
}

/// Against the weight of the surest constraint.
const HELD: f64 = 1e-12;

/// Solves in place: `matrix` is symmetric and positive definite, row by row.
fn cholesky(matrix: &mut [f64], right: &mut [f64]) {
    let size = right.len();
    for row in 0..size {
        for column in 0..=row {
            let known: f64 = (0..column).map(|k| matrix[row * size + k] * matrix[column * size + k]).sum();
            let value = matrix[row * size + column] - known;
            matrix[row * size + column] =
                if row == column { value.max(HELD * HELD).sqrt() } else { value / matrix[column * size + column] };
        }
    }
    for row in 0..size {
        let known: f64 = (0..row).map(|k| matrix[row * size + k] * right[k]).sum();
        right[row] = (right[row] - known) / matrix[row * size + row];
    }
    for row in (0..size).rev() {
        let known: f64 = (row + 1..size).map(|k| matrix[k * size + row] * right[k]).sum();
        right[row] = (right[row] - known) / matrix[row * size + row];
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{link, measured};
    use super::*;

    #[test]
    fn what_is_surer_weighs_more_and_one_that_is_far_off_next_to_nothing() {
        let points = Points::of(2, &[measured(0, 1, 1_000, 100.0), measured(0, 1, 1_100, 200.0)]);
        assert!((points.apart(0, 1).ns() - 1_020).abs() <= 2, "{points:?}");
        let with_one_off = [
            measured(0, 1, 100, 10.0),
            measured(0, 1, 104, 10.0),
            measured(0, 1, 96, 10.0),
            measured(1, 0, 9_000, 10.0),
        ];
        assert!((Points::of(2, &with_one_off).apart(0, 1).ns() - 100).abs() < 2);
    }

    #[test]
    fn clocks_that_are_far_apart_lose_no_digits() {
        let far = 1_700_000_000_000_000_123;
        let points = Points::of(4, &[measured(0, 1, far, 1e3), measured(1, 2, -far + 5, 1e3), measured(2, 0, 1, 1e3)]);
        assert_eq!(points.apart(0, 1).ns(), far - 2);
        assert_eq!(points.apart(0, 2).ns(), 1, "each of the three takes a third of what is left over");
    }

    #[test]
    fn groups_that_nothing_joins_are_solved_each_for_itself() {
        let points = Points::of(5, &[link(0, 1, 5, 7), link(3, 2, 10, 20)]);
        assert_eq!((points.apart(0, 1).ns(), points.apart(3, 2).ns()), (6, 15));
    }
}
