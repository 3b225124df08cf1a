//! Delta columns.

/// Differences to the value before, the first to zero. Wrapping, so that every column survives the round trip.
pub(crate) fn deltas(values: impl IntoIterator<Item = i64>) -> Vec<i64> {
    let mut before = 0i64;
    values.into_iter().map(|value| value.wrapping_sub(std::mem::replace(&mut before, value))).collect()
}

/// The inverse of [`deltas`].
pub(crate) fn running_sums(deltas: &[i64]) -> impl Iterator<Item = i64> + '_ {
    deltas.iter().scan(0i64, |sum, delta| {
        *sum = sum.wrapping_add(*delta);
        Some(*sum)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_column_survives(values: Vec<i64>) {
            prop_assert_eq!(running_sums(&deltas(values.iter().copied())).collect::<Vec<_>>(), values);
        }
    }
}
