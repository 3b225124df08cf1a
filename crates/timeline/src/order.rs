//! The order of two events, as far as their bounds allow.

use syncline_timebase::{Bracket, Reference};

/// Whether one event was before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// Certainly before.
    Before,
    /// Certainly after.
    After,
    /// Their intervals meet.
    CannotTell,
}

impl Order {
    /// The order of `a` to `b`. Intervals that touch cannot be told apart: the truth may lie on both their ends.
    pub fn of(a: Bracket<Reference>, b: Bracket<Reference>) -> Self {
        if a.latest < b.earliest {
            Self::Before
        } else if b.latest < a.earliest {
            Self::After
        } else {
            Self::CannotTell
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use syncline_timebase::{ErrorBound, Instant};

    fn around(centre: i64, bound: u64) -> Bracket<Reference> {
        Bracket::around(Instant::from_ns(centre), ErrorBound::from_ns(bound))
    }

    #[test]
    fn touching_intervals_cannot_be_told_apart() {
        assert_eq!(Order::of(around(0, 5), around(10, 5)), Order::CannotTell);
        assert_eq!(Order::of(around(0, 5), around(11, 5)), Order::Before);
        assert_eq!(Order::of(around(11, 5), around(0, 5)), Order::After);
    }

    proptest! {
        /// Wherever the truth lies inside the two intervals, an order that is given is the true one.
        #[test]
        fn an_order_that_is_given_is_true(
            a in -1_000i64..1_000, b in -1_000i64..1_000, bound_a in 0u64..200, bound_b in 0u64..200,
            off_a in -1.0..=1.0f64, off_b in -1.0..=1.0f64,
        ) {
            let stored_a = around(a + (off_a * bound_a as f64) as i64, bound_a);
            let stored_b = around(b + (off_b * bound_b as f64) as i64, bound_b);
            match Order::of(stored_a, stored_b) {
                Order::Before => prop_assert!(a < b),
                Order::After => prop_assert!(a > b),
                Order::CannotTell => {}
            }
        }
    }
}
