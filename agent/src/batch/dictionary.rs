//! Stacks and symbols that the aggregator may not have seen yet.
//!
//! Each is told once per connection, with the batch after its first use. Only identities are remembered of what was told,
//! so the memory is bounded by the number of distinct ones, and beyond [`MOST_REMEMBERED`] by telling everything again.
//! A stack counts as told only with all its symbols: where there is no room for one, the whole stack comes again with its
//! next use.

use std::collections::HashSet;

use syncline_event::{Stack, StackId, Symbol, limits};

use super::wait::{FinishedWait, Symbolizer};
use crate::text;

/// Identities remembered, 16 bytes each and some.
const MOST_REMEMBERED: usize = 1 << 19;
/// Symbols in one batch.
const SYMBOLS_PER_BATCH: usize = 32_768;
/// Stacks in one batch.
const STACKS_PER_BATCH: usize = 16_384;
/// Bytes of stacks, and of symbols, in one batch: both together stay far below the wire's limit, however long the names are.
const BYTES_PER_BATCH: usize = 4 << 20;
/// Stacks, and symbols, waiting for a batch; more are forgotten, and come again with their next use.
const MOST_UNTOLD: usize = 131_072;
/// Bytes of symbols waiting for a batch.
const MOST_UNTOLD_BYTES: usize = 32 << 20;

#[derive(Debug, Default)]
pub(super) struct Dictionary {
    known_stacks: HashSet<StackId>,
    known_symbols: HashSet<(u64, u64)>,
    untold_stacks: Vec<Stack>,
    untold_symbols: Vec<Symbol>,
    untold_symbol_bytes: usize,
}

impl Dictionary {
    /// Notes the stacks of a wait and of who ended it for the next batch unless they are known; gives their identities.
    pub(super) fn note(&mut self, wait: &FinishedWait) -> [StackId; 2] {
        let (build_id, symbolizer) = (wait.process.build_id, wait.symbolizer.as_ref());
        [&wait.stack, &wait.waker_stack].map(|stack| self.note_stack(build_id, symbolizer, stack))
    }

    /// Notes a stack of a build for the next batch unless it is known; gives its identity.
    pub(super) fn note_stack(&mut self, build_id: u64, symbolizer: &dyn Symbolizer, stack: &[u64]) -> StackId {
        let pcs = &stack[..stack.len().min(limits::STACK_DEPTH)];
        if pcs.is_empty() {
            return StackId::NONE;
        }
        let id = Stack::id_of(build_id, pcs);
        if !self.known_stacks.contains(&id) && self.has_room() && self.note_symbols(symbolizer, build_id, pcs) {
            self.known_stacks.insert(id);
            self.untold_stacks.push(Stack { id, build_id, pcs: pcs.to_vec() });
        }
        id
    }

    /// Whether every one of them is known or noted now.
    fn note_symbols(&mut self, symbolizer: &dyn Symbolizer, build_id: u64, pcs: &[u64]) -> bool {
        pcs.iter()
            .all(|pc| self.known_symbols.contains(&(build_id, *pc)) || self.note_symbol(symbolizer, build_id, *pc))
    }

    /// Whether there was room for it.
    fn note_symbol(&mut self, symbolizer: &dyn Symbolizer, build_id: u64, pc: u64) -> bool {
        let has_room = self.has_room();
        if has_room {
            self.known_symbols.insert((build_id, pc));
            let symbols = symbolizer.symbols(pc).into_iter().map(|symbol| fitting(symbol, build_id, pc));
            self.await_batch(symbols.collect());
        }
        has_room
    }

    fn has_room(&self) -> bool {
        self.untold_stacks.len() < MOST_UNTOLD
            && self.untold_symbols.len() < MOST_UNTOLD
            && self.untold_symbol_bytes < MOST_UNTOLD_BYTES
    }

    fn await_batch(&mut self, symbols: Vec<Symbol>) {
        self.untold_symbol_bytes += symbols.iter().map(symbol_bytes).sum::<usize>();
        self.untold_symbols.extend(symbols);
    }

    /// What goes into the next batch; the rest waits for the one after.
    pub(super) fn take(&mut self) -> (Vec<Stack>, Vec<Symbol>) {
        self.bound_memory();
        let stacks = first(&mut self.untold_stacks, STACKS_PER_BATCH, stack_bytes);
        let symbols = first(&mut self.untold_symbols, SYMBOLS_PER_BATCH, symbol_bytes);
        self.untold_symbol_bytes -= symbols.iter().map(symbol_bytes).sum::<usize>();
        (stacks, symbols)
    }

    /// Everything is told again where it is used again.
    pub(super) fn tell_again(&mut self) {
        self.known_stacks = self.untold_stacks.iter().map(|stack| stack.id).collect();
        self.known_symbols = self.untold_symbols.iter().map(|symbol| (symbol.build_id, symbol.pc)).collect();
    }

    /// These were in a batch that never left.
    pub(super) fn tell_these_again(&mut self, stacks: Vec<Stack>, symbols: Vec<Symbol>) {
        if !self.has_room() {
            return self.forget(&symbols);
        }
        self.untold_stacks.extend(stacks);
        self.await_batch(symbols);
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

/// From the front, at most so many, and at most [`BYTES_PER_BATCH`].
fn first<T>(from: &mut Vec<T>, most: usize, bytes_of: impl Fn(&T) -> usize) -> Vec<T> {
    let running = from.iter().take(most).scan(0, |bytes: &mut usize, one| {
        *bytes += bytes_of(one);
        Some(*bytes)
    });
    let fitting = running.take_while(|bytes| *bytes <= BYTES_PER_BATCH).count();
    let rest = from.split_off(fitting);
    std::mem::replace(from, rest)
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
mod tests {
    use std::sync::Arc;

    use syncline_event::{Kind, Process, TraceContext};
    use syncline_timebase::Instant;

    use super::super::wait::Wanted;
    use super::*;

    /// A binary whose names are as long as the wire allows.
    struct LongNames;
    impl Symbolizer for LongNames {
        fn symbols(&self, pc: u64) -> Vec<Symbol> {
            let long = || "x".repeat(limits::TEXT_BYTES);
            vec![Symbol { build_id: 7, pc, depth: 0, function: long(), file: long(), line: 1 }]
        }
    }

    fn wait(pcs: Vec<u64>) -> FinishedWait {
        let text = || "x".to_owned();
        FinishedWait {
            process: Arc::new(Process {
                pid: 1,
                service: text(),
                executable: text(),
                go_version: text(),
                build_id: 7,
                ..Process::default()
            }),
            symbolizer: Arc::new(LongNames),
            kind: Kind::Goroutine,
            reason: "select",
            tid: 1,
            goid: 1,
            park: Instant::from_ns(1),
            park_wall: None,
            ready: None,
            run: Instant::from_ns(2),
            waker_goid: None,
            by_netpoll: false,
            stack_cut: false,
            stack_unreadable: false,
            no_goroutine: false,
            unbound: false,
            is_abandoned: false,
            began_before: false,
            trace: TraceContext::NONE,
            stack: pcs,
            waker_stack: Vec::new(),
            wanted: Wanted::default(),
        }
    }

    #[test]
    fn a_batch_takes_a_bounded_number_of_bytes_and_the_rest_comes_later() {
        let mut dictionary = Dictionary::default();
        for pc in 0..2_000 {
            dictionary.note(&wait(vec![pc]));
        }
        let mut told = 0;
        while told < 2_000 {
            let (_, symbols) = dictionary.take();
            let bytes: usize = symbols.iter().map(symbol_bytes).sum();
            assert!(!symbols.is_empty() && bytes <= BYTES_PER_BATCH, "{} symbols, {bytes} bytes", symbols.len());
            told += symbols.len();
        }
        assert_eq!((told, dictionary.untold_symbol_bytes), (2_000, 0));
    }

    #[test]
    fn a_stack_without_room_for_its_symbols_is_told_with_its_next_use() {
        let mut dictionary = Dictionary::default();
        let fill = MOST_UNTOLD_BYTES / (2 * limits::TEXT_BYTES);
        // Room runs out in the middle of this one.
        for pc in 0..fill as u64 - 40 {
            dictionary.note(&wait(vec![pc]));
        }
        let late = wait((1_000_000..1_000_127).collect());
        let [id, _] = dictionary.note(&late);
        let (mut stacks, mut symbols) = (HashSet::new(), HashSet::new());
        let mut collect = |dictionary: &mut Dictionary| loop {
            let (more_stacks, more_symbols) = dictionary.take();
            if more_stacks.is_empty() && more_symbols.is_empty() {
                break stacks.contains(&id);
            }
            stacks.extend(more_stacks.into_iter().map(|stack| stack.id));
            symbols.extend(more_symbols.into_iter().map(|symbol| symbol.pc));
        };
        assert!(!collect(&mut dictionary), "there was room for all of it");
        dictionary.note(&late);
        assert!(collect(&mut dictionary));
        assert!(late.stack.iter().all(|pc| symbols.contains(pc)));
    }
}
