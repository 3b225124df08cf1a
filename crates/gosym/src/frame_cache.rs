//! A symbolizer for many addresses: functions that were met are kept decoded, as far as the memory it may take allows.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::decoded::DecodedFunction;
use crate::pclntab::Function;
use crate::symbolizer::{Frame, Symbolizer};

/// Runs of one program of a function that is kept; the longest real ones have some 20,000. Beyond it is run for each address.
const MAX_RUNS: usize = 1 << 17;
/// Bytes that a function takes in the map beside its own.
const ENTRY: usize = 16;

/// How many addresses are looked up without decoding, for each function that is kept, before a full cache is emptied. To decode a
/// function takes as long as some ten of them, so that addresses without any order cost little more than without a cache.
const PATIENCE: usize = 16;

/// Gives the same answers as its [`Symbolizer`], in a fraction of the time for functions that are kept. It is quickest with addresses in
/// their order, or close to one another.
#[derive(Debug, Clone)]
pub struct FrameCache<'data> {
    symbolizer: Symbolizer<'data>,
    kept: Kept<'data>,
    /// The last answer.
    frames: Vec<Frame<'data>>,
}

impl<'data> FrameCache<'data> {
    /// An empty one, whose functions may take about `max_size` bytes of memory.
    pub fn new(symbolizer: Symbolizer<'data>, max_size: usize) -> Self {
        let kept = Kept { functions: HashMap::new(), size: 0, max_size, missed: 0 };
        Self { symbolizer, kept, frames: Vec::new() }
    }

    /// The same as [`Symbolizer::frames`].
    pub fn frames(&mut self, vaddr: u64) -> &[Frame<'data>] {
        self.frames.clear();
        let Some((function, offset)) = self.symbolizer.find(vaddr) else { return &[] };
        match self.kept.function(&self.symbolizer, &function) {
            Some(decoded) => self.frames.extend(decoded.frames(offset)),
            None => self.frames.extend(self.symbolizer.frames(vaddr)),
        }
        &self.frames
    }
}

/// Decoded functions.
#[derive(Debug, Clone)]
struct Kept<'data> {
    /// By their records; None of one that is not to be decoded.
    functions: HashMap<usize, Option<DecodedFunction<'data>>>,
    /// Bytes that they take.
    size: usize,
    max_size: usize,
    /// Addresses looked up without decoding since it was full.
    missed: usize,
}

impl<'data> Kept<'data> {
    /// A function that is kept, or comes to be; None where there is no room for it.
    fn function(
        &mut self,
        symbolizer: &Symbolizer<'data>,
        function: &Function<'data>,
    ) -> Option<&DecodedFunction<'data>> {
        if self.missed > PATIENCE * self.functions.len() {
            self.functions.clear();
            (self.size, self.missed) = (0, 0);
        }
        match self.functions.entry(function.record_address()) {
            Entry::Occupied(known) => known.into_mut().as_ref(),
            Entry::Vacant(_) if self.size >= self.max_size => {
                self.missed += 1;
                None
            }
            Entry::Vacant(place) => {
                let decoded = DecodedFunction::new(symbolizer, function, MAX_RUNS);
                let decoded = decoded.filter(|decoded| decoded.size() <= self.max_size);
                self.size += ENTRY + decoded.as_ref().map_or(size_of::<DecodedFunction<'_>>(), DecodedFunction::size);
                place.insert(decoded).as_ref()
            }
        }
    }
}
