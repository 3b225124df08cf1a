//! Stacks and symbols that the store may not have.
//!
//! ```text
//! noted ── told with the next batch ──────────────────► known
//!   └───── the aggregator says: the store has it ─────────┘ │
//!   ▲                                                       │
//!   └── asked again, the store does not have it any more ◄──┘
//! ```
//!
//! Whatever a batch speaks of and is not known by then goes with it, so nothing depends on an answer: without one everything is told
//! once. What only waits speak of that are held for the next batch has until then to be answered. A stack is told with those of its symbols that were not told before, and symbols are looked up then, so what the store
//! has is not looked up at all. The addresses of what is known are kept, to be told to a store that has lost it; beyond
//! [`MOST_KNOWN_BYTES`] all of it is forgotten, and noted again with its next use.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use syncline_event::{Stack, StackId, Symbol, limits};

use super::wait::{FinishedWait, Symbolizer};
use crate::text;

/// Symbols remembered as told, 16 bytes each and some.
const MOST_REMEMBERED: usize = 1 << 19;
/// Bytes of the stacks that are known.
const MOST_KNOWN_BYTES: usize = 32 << 20;
/// Symbols in one batch.
const SYMBOLS_PER_BATCH: usize = 32_768;
/// Stacks in one batch.
const STACKS_PER_BATCH: usize = 16_384;
/// Bytes of stacks, and of symbols, in one batch: both together stay far below the wire's limit, however long the names are.
const BYTES_PER_BATCH: usize = 4 << 20;
/// Stacks waiting for a batch; more are forgotten, and come again with their next use.
const MOST_UNTOLD: usize = 131_072;
/// Bytes of stacks, and of symbols, waiting for a batch.
const MOST_UNTOLD_BYTES: usize = 32 << 20;

/// Stacks to be asked for, whether the store has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The stacks; at most [`limits::ASKED_STACKS`].
    pub stacks: Vec<StackId>,
    /// So many of them, the first ones, were known before and are asked for again.
    pub again: usize,
}

#[derive(Debug, Default)]
pub(super) struct Dictionary {
    known: HashMap<StackId, Known>,
    known_bytes: usize,
    told_symbols: HashSet<(u64, u64)>,
    noted: HashSet<StackId>,
    untold: Vec<Untold>,
    untold_bytes: usize,
    /// Of batches that never left; they go before the stacks.
    untold_symbols: Vec<Symbol>,
    untold_symbol_bytes: usize,
    to_ask: Vec<StackId>,
    to_ask_again: Vec<StackId>,
    last_batch: u64,
}

/// A stack that need not be told.
#[derive(Debug)]
struct Known {
    build_id: u64,
    pcs: Box<[u64]>,
    /// Weak, since it may keep the file of a program open that has ended.
    symbolizer: Weak<dyn Symbolizer>,
    /// Number of the batch that told it; 0 = none of ours.
    told_in: u64,
}

/// A stack that waits for a batch.
struct Untold {
    stack: Stack,
    /// None where it was looked up before, or nothing is left to look it up in.
    symbolizer: Option<Arc<dyn Symbolizer>>,
    /// The last batch before it was noted. Where no wait speaks of it, it goes with the second after that.
    noted_after: u64,
}

impl std::fmt::Debug for Untold {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.stack.fmt(f)
    }
}

impl Dictionary {
    /// Notes the stacks of a wait and of who ended it for the next batch unless they are known; gives their identities.
    pub(super) fn note(&mut self, wait: &FinishedWait) -> [StackId; 2] {
        let build_id = wait.process.build_id;
        [&wait.stack, &wait.waker_stack].map(|stack| self.note_stack(build_id, &wait.symbolizer, stack))
    }

    /// Notes a stack of a build for the next batch unless it is known; gives its identity.
    pub(super) fn note_stack(&mut self, build_id: u64, symbolizer: &Arc<dyn Symbolizer>, stack: &[u64]) -> StackId {
        let pcs = &stack[..stack.len().min(limits::STACK_DEPTH)];
        if pcs.is_empty() {
            return StackId::NONE;
        }
        let id = Stack::id_of(build_id, pcs);
        if !self.known.contains_key(&id) && !self.noted.contains(&id) && self.has_room() {
            self.to_ask.push(id);
            let stack = Stack { id, build_id, pcs: pcs.to_vec() };
            let symbolizer = Some(Arc::clone(symbolizer));
            self.await_batch(Untold { stack, symbolizer, noted_after: self.last_batch });
        }
        id
    }

    /// What to ask the aggregator now: what was not asked yet and is not told either. None if there is nothing.
    pub(super) fn question(&mut self) -> Option<Question> {
        let mut stacks = last(&mut self.to_ask_again, limits::ASKED_STACKS);
        stacks.retain(|id| self.known.contains_key(id));
        let again = stacks.len();
        let fresh = last(&mut self.to_ask, limits::ASKED_STACKS - again);
        stacks.extend(fresh.into_iter().filter(|id| self.noted.contains(id)));
        (!stacks.is_empty()).then_some(Question { stacks, again })
    }

    /// Takes the answer: whether the store has the stack at a place of the question. What was known and is not any more is told again,
    /// with all of its symbols.
    pub(super) fn answered(&mut self, question: &Question, says: impl Fn(usize) -> bool) {
        let (there, missing): (Vec<_>, Vec<_>) = (0..).zip(&question.stacks).partition(|(place, _)| says(*place));
        self.need_not_tell(&there.into_iter().map(|(_, id)| *id).collect());
        let lost: Vec<_> = missing
            .into_iter()
            .filter(|(place, _)| *place < question.again)
            .filter_map(|(_, id)| Some((*id, self.forget_stack(*id)?)))
            .collect();
        for (build_id, pc) in lost.iter().flat_map(|(_, known)| known.pcs.iter().map(|pc| (known.build_id, *pc))) {
            self.told_symbols.remove(&(build_id, pc));
        }
        for (id, Known { build_id, pcs, symbolizer, .. }) in lost {
            let stack = Stack { id, build_id, pcs: pcs.into_vec() };
            self.await_batch(Untold { stack, symbolizer: symbolizer.upgrade(), noted_after: 0 });
        }
    }

    /// Everything that is known is to be asked for again, but for what batches tell that are not acknowledged: those from number
    /// `unacknowledged` on.
    pub(super) fn ask_again(&mut self, unacknowledged: Option<u64>) {
        let is_on_its_way = |known: &Known| unacknowledged.is_some_and(|number| known.told_in >= number);
        self.to_ask_again = self.known.iter().filter(|(_, known)| !is_on_its_way(known)).map(|(id, _)| *id).collect();
    }

    /// What goes into batch `number`, which speaks of the stacks `spoken_of`; the rest waits for the one after.
    pub(super) fn take(&mut self, number: u64, spoken_of: &HashSet<StackId>) -> (Vec<Stack>, Vec<Symbol>) {
        self.bound_memory();
        let mut parcel = Parcel::default();
        self.take_symbols(&mut parcel);
        if self.untold_symbols.is_empty() {
            self.take_stacks(number, spoken_of, &mut parcel);
        }
        self.to_ask.retain(|id| self.noted.contains(id));
        self.last_batch = number;
        (parcel.stacks, parcel.symbols)
    }

    /// Everything is told again where it is used again.
    pub(super) fn tell_again(&mut self) {
        self.forget_stacks();
        self.told_symbols = self.untold_symbols.iter().map(|symbol| (symbol.build_id, symbol.pc)).collect();
    }

    /// These were in a batch that never left.
    pub(super) fn tell_these_again(&mut self, stacks: Vec<Stack>, symbols: Vec<Symbol>) {
        if !self.has_room() || self.untold_symbol_bytes >= MOST_UNTOLD_BYTES {
            return self.forget(&symbols);
        }
        for stack in stacks {
            self.forget_stack(stack.id);
            if !self.noted.contains(&stack.id) {
                self.await_batch(Untold { stack, symbolizer: None, noted_after: 0 });
            }
        }
        self.untold_symbol_bytes += symbols.iter().map(symbol_bytes).sum::<usize>();
        self.untold_symbols.extend(symbols);
    }

    /// These are told again where they are used again. Symbols are looked at only with a new stack, so all stacks count as
    /// new; that is rare enough.
    pub(super) fn forget(&mut self, symbols: &[Symbol]) {
        for symbol in symbols {
            self.told_symbols.remove(&(symbol.build_id, symbol.pc));
        }
        self.forget_stacks();
    }

    fn has_room(&self) -> bool {
        self.untold.len() < MOST_UNTOLD && self.untold_bytes < MOST_UNTOLD_BYTES
    }

    fn await_batch(&mut self, untold: Untold) {
        self.untold_bytes += stack_bytes(&untold.stack);
        self.noted.insert(untold.stack.id);
        self.untold.push(untold);
    }

    /// They are in the store, and so are the names of their addresses.
    fn need_not_tell(&mut self, there: &HashSet<StackId>) {
        let (told, untold): (Vec<_>, _) =
            std::mem::take(&mut self.untold).into_iter().partition(|untold| there.contains(&untold.stack.id));
        self.untold = untold;
        for Untold { stack, symbolizer, .. } in told {
            self.told_symbols.extend(stack.pcs.iter().map(|pc| (stack.build_id, *pc)));
            self.is_known(stack, symbolizer.as_ref(), 0);
        }
    }

    fn is_known(&mut self, stack: Stack, symbolizer: Option<&Arc<dyn Symbolizer>>, told_in: u64) {
        self.untold_bytes -= stack_bytes(&stack);
        self.noted.remove(&stack.id);
        self.known_bytes += stack_bytes(&stack);
        let symbolizer = symbolizer.map_or_else(|| Weak::<Nothing>::new() as Weak<dyn Symbolizer>, Arc::downgrade);
        let known = Known { build_id: stack.build_id, pcs: stack.pcs.into(), symbolizer, told_in };
        self.known.insert(stack.id, known);
    }

    fn forget_stack(&mut self, id: StackId) -> Option<Known> {
        let known = self.known.remove(&id)?;
        self.known_bytes -= size_of::<Stack>() + size_of_val(&*known.pcs);
        Some(known)
    }

    fn forget_stacks(&mut self) {
        self.known.clear();
        self.known_bytes = 0;
        self.to_ask_again.clear();
    }

    fn take_symbols(&mut self, parcel: &mut Parcel) {
        let mut waiting = std::mem::take(&mut self.untold_symbols).into_iter();
        while let Some(symbol) = waiting.as_slice().first()
            && parcel.has_room_for(&[], std::slice::from_ref(symbol))
        {
            self.untold_symbol_bytes -= symbol_bytes(symbol);
            parcel.put(None, waiting.next().into_iter().collect());
        }
        self.untold_symbols = waiting.collect();
    }

    fn take_stacks(&mut self, number: u64, spoken_of: &HashSet<StackId>, parcel: &mut Parcel) {
        let goes = |untold: &Untold| spoken_of.contains(&untold.stack.id) || untold.noted_after < self.last_batch;
        let (going, staying): (Vec<_>, Vec<_>) = std::mem::take(&mut self.untold).into_iter().partition(goes);
        let mut waiting = going.into_iter();
        while let Some(Untold { stack, symbolizer, .. }) = waiting.as_slice().first() {
            let symbols = self.look_up(stack, symbolizer.as_deref());
            if !parcel.has_room_for(std::slice::from_ref(stack), &symbols) {
                break;
            }
            self.told_symbols.extend(symbols.iter().map(|symbol| (symbol.build_id, symbol.pc)));
            parcel.put(Some(stack.clone()), symbols);
            if let Some(Untold { stack, symbolizer, .. }) = waiting.next() {
                self.is_known(stack, symbolizer.as_ref(), number);
            }
        }
        self.untold = waiting.chain(staying).collect();
    }

    /// The symbols of a stack that were not told. More than one batch can hold are left out.
    fn look_up(&self, stack: &Stack, symbolizer: Option<&dyn Symbolizer>) -> Vec<Symbol> {
        let mut found = Parcel::default();
        let Some(symbolizer) = symbolizer else { return found.symbols };
        for (place, pc) in stack.pcs.iter().enumerate() {
            if self.told_symbols.contains(&(stack.build_id, *pc)) || stack.pcs.iter().take(place).any(|seen| seen == pc)
            {
                continue;
            }
            let symbols = symbolizer.symbols(*pc).into_iter().map(|symbol| fitting(symbol, stack.build_id, *pc));
            let symbols: Vec<_> = symbols.collect();
            if found.has_room_for(&[], &symbols) {
                found.put(None, symbols);
            }
        }
        found.symbols
    }

    fn bound_memory(&mut self) {
        if self.known_bytes > MOST_KNOWN_BYTES || self.told_symbols.len() > MOST_REMEMBERED {
            self.tell_again();
        }
    }
}

/// Stands for a symbolizer that was never there.
struct Nothing;

impl Symbolizer for Nothing {
    fn symbols(&self, _pc: u64) -> Vec<Symbol> {
        Vec::new()
    }
}

/// What one batch takes, within its bounds.
#[derive(Debug, Default)]
struct Parcel {
    stacks: Vec<Stack>,
    symbols: Vec<Symbol>,
    stack_bytes: usize,
    symbol_bytes: usize,
}

impl Parcel {
    fn has_room_for(&self, stacks: &[Stack], symbols: &[Symbol]) -> bool {
        self.stacks.len() + stacks.len() <= STACKS_PER_BATCH
            && self.symbols.len() + symbols.len() <= SYMBOLS_PER_BATCH
            && self.stack_bytes + stacks.iter().map(stack_bytes).sum::<usize>() <= BYTES_PER_BATCH
            && self.symbol_bytes + symbols.iter().map(symbol_bytes).sum::<usize>() <= BYTES_PER_BATCH
    }

    fn put(&mut self, stack: Option<Stack>, symbols: Vec<Symbol>) {
        self.stack_bytes += stack.iter().map(stack_bytes).sum::<usize>();
        self.symbol_bytes += symbols.iter().map(symbol_bytes).sum::<usize>();
        self.stacks.extend(stack);
        self.symbols.extend(symbols);
    }
}

/// The last ones, at most so many.
fn last<T>(from: &mut Vec<T>, most: usize) -> Vec<T> {
    from.split_off(from.len().saturating_sub(most))
}

fn stack_bytes(stack: &Stack) -> usize {
    size_of::<Stack>() + size_of_val(stack.pcs.as_slice())
}

fn symbol_bytes(symbol: &Symbol) -> usize {
    size_of::<Symbol>() + symbol.function.len() + symbol.file.len()
}

/// The symbol with texts that the wire takes: names of generic functions can be longer.
fn fitting(symbol: Symbol, build_id: u64, pc: u64) -> Symbol {
    let fit = |text| text::cut(text, limits::TEXT_BYTES);
    Symbol { build_id, pc, function: fit(symbol.function), file: fit(symbol.file), ..symbol }
}

#[cfg(test)]
#[path = "dictionary_tests.rs"]
mod tests;
