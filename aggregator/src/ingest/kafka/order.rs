//! Which batches may be in the store already: all but those that follow on one of their node that was new.

use std::collections::HashMap;

use syncline_event::BatchId;
use syncline_timebase::{BootId, NodeName};

/// Boots of nodes remembered of a partition. Who is forgotten is looked for again.
const MOST: usize = 100_000;

/// The newest batch of each boot of a node that was new, since the partition was taken over.
///
/// An agent numbers one by one and sends in that order. So what follows on a batch that was new cannot have come before that.
#[derive(Debug, Default)]
pub(crate) struct Order {
    newest: HashMap<(NodeName, BootId), u64>,
}

impl Order {
    /// Whether this batch may have come before.
    pub(crate) fn may_be_known(&self, id: &BatchId) -> bool {
        let newest = self.newest.get(&(id.node.clone(), id.boot));
        newest.and_then(|newest| newest.checked_add(1)) != Some(id.number)
    }

    /// This batch came, and was not there before.
    pub(crate) fn is_new(&mut self, id: &BatchId) {
        if self.newest.len() >= MOST {
            self.newest.clear();
        }
        let newest = self.newest.entry((id.node.clone(), id.boot)).or_insert(id.number);
        *newest = id.number.max(*newest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(node: &str, boot: u64, number: u64) -> BatchId {
        BatchId { node: node.parse().unwrap(), boot: BootId(boot), number }
    }

    #[test]
    fn only_what_follows_on_a_new_one_is_new_for_sure() {
        let mut order = Order::default();
        assert!(order.may_be_known(&id("a", 1, 7)), "the first one here");
        // It was known; so may be what follows.
        assert!(order.may_be_known(&id("a", 1, 8)));
        order.is_new(&id("a", 1, 8));
        assert!(!order.may_be_known(&id("a", 1, 9)));
        order.is_new(&id("a", 1, 9));
        assert!(order.may_be_known(&id("a", 1, 8)) && order.may_be_known(&id("a", 1, 9)), "again");
        order.is_new(&id("a", 1, 5));
        assert!(!order.may_be_known(&id("a", 1, 10)), "one that came late changes nothing");
        assert!(order.may_be_known(&id("a", 1, 12)), "a gap");
        assert!(order.may_be_known(&id("a", 2, 10)) && order.may_be_known(&id("b", 1, 10)), "others");
    }
}
