//! What happened in a run, of the blocks that were captured.

use std::collections::{BTreeMap, HashMap};

use super::bands::Bands;
use super::rule::{can_be_seen, recorded_share};
use super::stack::StackKey;
use crate::call::Frame;

/// A number of blocks, and the time of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Amount {
    /// Blocks. A part of one where a profile scales or is estimated.
    pub blocks: f64,
    /// Time blocked, ns.
    pub ns: f64,
}

/// A block that ended.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    /// What for, as [`Wait`](crate::Wait) has it.
    pub reason: &'a str,
    /// From parking until it was made ready: what a profile measures. To running again where nobody saw it made ready.
    pub blocked_ns: u64,
    /// From then on until it ran, which no profile sees.
    pub runnable_ns: u64,
    /// The innermost first.
    pub frames: &'a [Frame],
}

/// The blocks of a run, by stack, reason and band.
#[derive(Clone, Debug)]
pub struct Truth {
    pub(super) bands: Bands,
    pub(super) rate_ns: u64,
    pub(super) stacks: HashMap<StackKey, Stack>,
    pub(super) reasons: BTreeMap<String, Reason>,
    /// Ready and not running yet, of all blocks, ns.
    pub(super) runnable_ns: f64,
    pub(super) unended: Amount,
}

/// Of blocks that a profile can see.
#[derive(Clone, Debug)]
pub(super) struct Stack {
    pub(super) all: Amount,
    /// Of them those that are recorded for certain.
    pub(super) from_rate: Amount,
    pub(super) bands: Vec<Band>,
    pub(super) reasons: BTreeMap<String, Amount>,
}

/// Of a band.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Band {
    pub(super) happened: Amount,
    /// What is recorded of it on average, by the rule.
    pub(super) expected: Amount,
}

/// Of a reason.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reason {
    pub(super) happened: Amount,
    /// Of them those that a profile can see.
    pub(super) seeable: Amount,
}

impl Amount {
    pub(super) fn add(&mut self, blocks: f64, ns: f64) {
        self.blocks += blocks;
        self.ns += ns;
    }

    pub(super) fn plus(&mut self, other: Self) {
        self.add(other.blocks, other.ns);
    }
}

impl Truth {
    /// Nothing yet, of a run whose profile has this rate.
    #[must_use]
    pub fn new(bands: Bands, rate_ns: u64) -> Self {
        let (stacks, reasons) = (HashMap::new(), BTreeMap::new());
        Self { bands, rate_ns, stacks, reasons, runnable_ns: 0.0, unended: Amount::default() }
    }

    /// Adds a block.
    pub fn add(&mut self, block: &Block<'_>) {
        let ns = block.blocked_ns as f64;
        let is_seeable = can_be_seen(block.reason, block.frames);
        self.runnable_ns += block.runnable_ns as f64;
        let reason = self.reasons.entry(block.reason.to_owned()).or_default();
        reason.happened.add(1.0, ns);
        if !is_seeable {
            return;
        }
        reason.seeable.add(1.0, ns);
        let new = || Stack::new(self.bands.count());
        let stack = self.stacks.entry(StackKey::of(block.frames)).or_insert_with(new);
        stack.all.add(1.0, ns);
        stack.reasons.entry(block.reason.to_owned()).or_default().add(1.0, ns);
        if block.blocked_ns >= self.rate_ns {
            stack.from_rate.add(1.0, ns);
        }
        let share = recorded_share(block.blocked_ns, self.rate_ns);
        if let Some(band) = stack.bands.get_mut(self.bands.of(block.blocked_ns)) {
            band.happened.add(1.0, ns);
            band.expected.add(share, share * ns);
        }
    }

    /// Adds one that had not ended when the run did, of which that is known.
    pub fn add_unended(&mut self, ns: u64) {
        self.unended.add(1.0, ns as f64);
    }

    /// All blocks.
    #[must_use]
    pub fn happened(&self) -> Amount {
        let mut all = Amount::default();
        self.reasons.values().for_each(|reason| all.plus(reason.happened));
        all
    }

    /// Those that a profile can see.
    #[must_use]
    pub fn seeable(&self) -> Amount {
        let mut all = Amount::default();
        self.reasons.values().for_each(|reason| all.plus(reason.seeable));
        all
    }
}

impl Stack {
    pub(super) fn plus(&mut self, other: &Self) {
        self.all.plus(other.all);
        self.from_rate.plus(other.from_rate);
        for (band, of) in self.bands.iter_mut().zip(&other.bands) {
            band.happened.plus(of.happened);
            band.expected.plus(of.expected);
        }
        for (reason, of) in &other.reasons {
            self.reasons.entry(reason.clone()).or_default().plus(*of);
        }
    }

    pub(super) fn new(bands: usize) -> Self {
        let (all, from_rate) = (Amount::default(), Amount::default());
        Self { all, from_rate, bands: vec![Band::default(); bands], reasons: BTreeMap::new() }
    }
}
