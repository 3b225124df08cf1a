//! Which steps were told of. Pure.
//!
//! A step is stored beside the segment that covers it, perhaps after it, and again by an aggregator that takes its node over: it is known by its node, boot
//! and time on the node, and each is told once.

use std::collections::{BTreeMap, BTreeSet};

use super::Name;

/// So many are known by themselves of a boot; those before them are taken for told.
const KEPT: usize = 256;
/// Boots of a node.
const MOST_BOOTS: usize = 16;

/// Those that were told, of each node.
#[derive(Clone, Debug, Default)]
pub(super) struct Told(BTreeMap<Name, BTreeMap<u64, OfBoot>>);

/// Times on the node: all until the one, and these after it.
#[derive(Clone, Debug, Default)]
struct OfBoot {
    until: u64,
    later: BTreeSet<u64>,
}

impl Told {
    /// Those of before the first round.
    pub(super) fn begin(&mut self, name: Name, boot: u64, until: u64) {
        self.of_boot(name, boot).until = until;
    }

    /// Whether a step was not told yet, which it is from now on.
    pub(super) fn is_new(&mut self, name: &Name, (boot, mono_ns): (u64, u64)) -> bool {
        let told = self.of_boot(name.clone(), boot);
        let is_new = mono_ns > told.until && told.later.insert(mono_ns);
        if told.later.len() > KEPT {
            told.until = told.later.pop_first().unwrap_or(told.until);
        }
        is_new
    }

    /// Forgets nodes that are gone.
    pub(super) fn retain(&mut self, is_there: impl Fn(&Name) -> bool) {
        self.0.retain(|name, _| is_there(name));
    }

    fn of_boot(&mut self, name: Name, boot: u64) -> &mut OfBoot {
        let boots = self.0.entry(name).or_default();
        // Boots have no order: of more than a node has in a day any may go.
        while boots.len() >= MOST_BOOTS && !boots.contains_key(&boot) {
            boots.pop_first();
        }
        boots.entry(boot).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_new_once_in_whichever_order_they_come() {
        let (mut told, node) = (Told::default(), ("eu".to_owned(), "a".to_owned()));
        told.begin(node.clone(), 7, 100);
        let mut is_new = |boot, mono_ns| told.is_new(&node, (boot, mono_ns));
        assert!(!is_new(7, 100) && is_new(7, 300) && is_new(7, 200) && !is_new(7, 300) && !is_new(7, 200));
        assert!(is_new(8, 50), "another boot has times of its own");
        assert!(
            (1_000..2_000).all(|mono_ns| is_new(7, mono_ns)) && !is_new(7, 201),
            "of many the old ones are known together"
        );
        told.retain(|_| false);
        assert!(told.is_new(&node, (7, 100)));
    }
}
