//! Stacks and symbols that the aggregator may not have seen yet.
//!
//! Each is told once per connection, with the batch after its first use. Only identities are remembered of what was told,
//! so the memory is bounded by the number of distinct ones, and beyond [`MOST_REMEMBERED`] by telling everything again.

use std::collections::HashSet;

use syncline_event::{Stack, StackId, Symbol, limits};

use super::wait::FinishedWait;

/// Identities remembered, 16 bytes each and some.
const MOST_REMEMBERED: usize = 1 << 19;
/// Symbols in one batch: far below the wire's limit of bytes even with long names.
const SYMBOLS_PER_BATCH: usize = 32_768;
/// Stacks in one batch.
const STACKS_PER_BATCH: usize = 16_384;
/// Definitions waiting for a batch; more are forgotten, and come again with their next use.
const MOST_UNTOLD: usize = 131_072;

#[derive(Debug, Default)]
pub(super) struct Dictionary {
    known_stacks: HashSet<StackId>,
    known_symbols: HashSet<(u64, u64)>,
    untold_stacks: Vec<Stack>,
    untold_symbols: Vec<Symbol>,
}

impl Dictionary {
    /// Notes the stack of a wait for the next batch unless it is known; gives its identity.
    pub(super) fn note(&mut self, wait: &FinishedWait) -> StackId {
        let build_id = wait.process.build_id;
        let pcs = &wait.stack[..wait.stack.len().min(limits::STACK_DEPTH)];
        if pcs.is_empty() {
            return StackId::NONE;
        }
        let id = Stack::id_of(build_id, pcs);
        if self.untold_stacks.len() < MOST_UNTOLD && self.known_stacks.insert(id) {
            self.untold_stacks.push(Stack { id, build_id, pcs: pcs.to_vec() });
            pcs.iter().for_each(|pc| self.note_symbol(wait, build_id, *pc));
        }
        id
    }

    fn note_symbol(&mut self, wait: &FinishedWait, build_id: u64, pc: u64) {
        if self.untold_symbols.len() < MOST_UNTOLD && self.known_symbols.insert((build_id, pc)) {
            let symbols = wait.symbolizer.symbols(pc);
            self.untold_symbols.extend(symbols.into_iter().map(|symbol| fitting(symbol, build_id, pc)));
        }
    }

    /// What goes into the next batch; the rest waits for the one after.
    pub(super) fn take(&mut self) -> (Vec<Stack>, Vec<Symbol>) {
        self.bound_memory();
        let stacks = first(&mut self.untold_stacks, STACKS_PER_BATCH);
        (stacks, first(&mut self.untold_symbols, SYMBOLS_PER_BATCH))
    }

    /// Everything is told again where it is used again.
    pub(super) fn tell_again(&mut self) {
        self.known_stacks = self.untold_stacks.iter().map(|stack| stack.id).collect();
        self.known_symbols = self.untold_symbols.iter().map(|symbol| (symbol.build_id, symbol.pc)).collect();
    }

    /// These were in a batch that never left.
    pub(super) fn tell_these_again(&mut self, stacks: Vec<Stack>, symbols: Vec<Symbol>) {
        if self.untold_stacks.len() + stacks.len() > MOST_UNTOLD
            || self.untold_symbols.len() + symbols.len() > MOST_UNTOLD
        {
            return self.forget(&symbols);
        }
        self.untold_stacks.extend(stacks);
        self.untold_symbols.extend(symbols);
    }

    /// These are told again where they are used again. Symbols are looked at only with a new stack, so all stacks count as
    /// new; that is rare enough.
    pub(super) fn forget(&mut self, symbols: &[Symbol]) {
        for symbol in symbols {
            self.known_symbols.remove(&(symbol.build_id, symbol.pc));
        }
        self.known_stacks = self.untold_stacks.iter().map(|stack| stack.id).collect();
    }

    fn bound_memory(&mut self) {
        if self.known_stacks.len() > MOST_REMEMBERED || self.known_symbols.len() > MOST_REMEMBERED {
            self.tell_again();
        }
    }
}

fn first<T>(from: &mut Vec<T>, most: usize) -> Vec<T> {
    let rest = from.split_off(from.len().min(most));
    std::mem::replace(from, rest)
}

/// The symbol with texts that the wire takes: names of generic functions can be longer.
fn fitting(symbol: Symbol, build_id: u64, pc: u64) -> Symbol {
    Symbol { build_id, pc, function: cut(symbol.function), file: cut(symbol.file), ..symbol }
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(limits::TEXT_BYTES));
    text
}
