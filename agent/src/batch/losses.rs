//! Losses by cause.

use std::collections::BTreeMap;
use std::fmt;

use syncline_event::{Loss, LossCause};

/// How many waits were lost to each cause. Saturates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses(BTreeMap<LossCause, u64>);

impl Losses {
    /// Counts `count` more.
    pub fn add(&mut self, cause: LossCause, count: u64) {
        if count > 0 {
            let total = self.0.entry(cause).or_default();
            *total = total.saturating_add(count);
        }
    }

    /// What was lost since `earlier`, a former state of the same counters.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut difference = Self::default();
        for (cause, count) in &self.0 {
            difference.add(*cause, count.saturating_sub(earlier.count(*cause)));
        }
        difference
    }

    /// Lost to `cause`.
    pub fn count(&self, cause: LossCause) -> u64 {
        self.0.get(&cause).copied().unwrap_or_default()
    }

    /// Lost to all causes together.
    pub fn total(&self) -> u64 {
        self.0.values().copied().fold(0, u64::saturating_add)
    }

    /// Nothing was lost.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each cause with its count.
    pub fn iter(&self) -> impl Iterator<Item = Loss> + '_ {
        self.0.iter().map(|(cause, count)| Loss { cause: *cause, count: *count })
    }

    pub(super) fn take(&mut self) -> Vec<Loss> {
        let losses = self.iter().collect();
        self.0.clear();
        losses
    }
}

impl fmt::Display for Losses {
    /// As `cause=count cause=count`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, loss) in self.iter().enumerate() {
            let space = if place == 0 { "" } else { " " };
            write!(f, "{space}{}={}", loss.cause.name(), loss.count)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_difference_of_two_states_is_what_came_between() {
        let mut earlier = Losses::default();
        earlier.add(LossCause::QueueFull, 3);
        let mut now = earlier.clone();
        now.add(LossCause::QueueFull, 4);
        now.add(LossCause::ParkMapFull, 1);
        assert_eq!(now.since(&earlier).to_string(), "park_map_full=1 queue_full=4");
        assert!(now.since(&now).is_empty());
    }
}
