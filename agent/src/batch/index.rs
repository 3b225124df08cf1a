//! Dictionaries of one batch: distinct values and their indices.

use std::collections::HashMap;
use std::hash::Hash;

/// Distinct values in the order they were first seen, found again by a key.
#[derive(Debug)]
pub(super) struct Indices<K, V> {
    index_of: HashMap<K, u32>,
    values: Vec<V>,
}

impl<K, V> Default for Indices<K, V> {
    fn default() -> Self {
        Self { index_of: HashMap::new(), values: Vec::new() }
    }
}

impl<K: Hash + Eq, V> Indices<K, V> {
    pub(super) fn index(&mut self, key: K, value: impl FnOnce() -> V) -> u32 {
        let values = &mut self.values;
        *self.index_of.entry(key).or_insert_with(|| {
            values.push(value());
            // Bounded far below by the batch's limits.
            u32::try_from(values.len() - 1).unwrap_or(u32::MAX)
        })
    }

    pub(super) fn into_values(self) -> Vec<V> {
        self.values
    }
}
