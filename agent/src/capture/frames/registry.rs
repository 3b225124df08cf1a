//! What synthetic addresses stand for: remembered while they are met, since their names are asked for later, and again on every new
//! connection to an aggregator.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use syncline_gosym::Frame;

use super::module::Module;

/// What is remembered at least, of what was met last. At most it is twice that, some 200 bytes each.
const REMEMBERED: usize = 1 << 15;

/// What an address stands for.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// A link-time address in a file of code, not named yet, and not to be asked for before this time.
    Unnamed { module: Arc<Module>, vaddr: u64, not_before: Option<Instant> },
    /// The calls there, innermost first.
    Named(Arc<[Frame<'static>]>),
}

impl Origin {
    /// Whether its name may be asked for now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        matches!(self, Self::Unnamed { not_before, .. } if not_before.is_none_or(|time| time <= now))
    }
}

/// Bounded: of two halves, the older one is forgotten when the younger one is full; what is met goes to the younger one.
#[derive(Debug)]
pub(super) struct Registry {
    young: HashMap<u64, Origin>,
    old: HashMap<u64, Origin>,
    half: usize,
}

impl Default for Registry {
    fn default() -> Self {
        Self::of(REMEMBERED)
    }
}

impl Registry {
    fn of(half: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half }
    }

    /// What it stands for, if that is known; it counts as met now.
    pub(super) fn meet(&mut self, address: u64) -> Option<&Origin> {
        if !self.young.contains_key(&address) {
            let origin = self.old.remove(&address)?;
            self.put(address, origin);
        }
        self.young.get(&address)
    }

    /// From now on it stands for this.
    pub(super) fn put(&mut self, address: u64, origin: Origin) {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.old.remove(&address);
        self.young.insert(address, origin);
    }

    /// Addresses of a module that have no name yet and may be asked for now, with their link-time addresses.
    pub(super) fn unnamed_of(&self, module: &Arc<Module>, now: Instant) -> Vec<(u64, u64)> {
        let of_module = |(address, origin): (&u64, &Origin)| match origin {
            Origin::Unnamed { module: of, vaddr, .. } if Arc::ptr_eq(of, module) && origin.is_due(now) => {
                Some((*address, *vaddr))
            }
            _ => None,
        };
        self.young.iter().chain(&self.old).filter_map(of_module).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Origin {
        Origin::Named(
            [Frame { function: name.to_owned().into(), file: "".into(), line: 0, inlined: false, wrapper: false }]
                .into(),
        )
    }

    fn name_of(origin: Option<&Origin>) -> Option<String> {
        match origin? {
            Origin::Named(frames) => Some(frames[0].function.to_string()),
            Origin::Unnamed { .. } => None,
        }
    }

    #[test]
    fn what_is_met_stays_and_the_rest_goes() {
        let mut registry = Registry::of(10);
        for address in 0..1_000 {
            registry.put(address, named(&address.to_string()));
            assert_eq!(name_of(registry.meet(7)), (address >= 7).then(|| "7".to_owned()), "at {address}");
            assert!(registry.young.len() + registry.old.len() <= 20);
        }
        assert_eq!(name_of(registry.meet(999)).as_deref(), Some("999"));
        assert!(registry.meet(500).is_none());
    }
}
