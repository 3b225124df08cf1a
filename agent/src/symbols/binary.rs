//! Names for the addresses on stacks of one build.

use std::sync::Arc;

use syncline_event::Symbol;

use super::cache::SymbolCache;
use crate::batch::Symbolizer;
use crate::capture::{Binary, Frames};

/// Looks them up in the program's file, and in those of other code on its stacks.
pub(crate) struct NamesOf {
    binary: Arc<Binary>,
    frames: Arc<Frames>,
}

/// The same with a cache of what was looked up, by this agent or by one before.
pub(crate) struct CachedNames {
    names: NamesOf,
    identity: String,
    cache: Arc<SymbolCache>,
}

impl NamesOf {
    pub(crate) fn new(binary: Arc<Binary>, frames: Arc<Frames>) -> Self {
        Self { binary, frames }
    }
}

impl CachedNames {
    pub(crate) fn new(names: NamesOf, cache: Arc<SymbolCache>) -> Self {
        Self { identity: identity(&names.binary), names, cache }
    }
}

impl Symbolizer for CachedNames {
    fn symbols(&self, pc: u64) -> Vec<Symbol> {
        let build_id = self.names.binary.build_id();
        self.cache.symbols(build_id, &self.identity, pc, || self.names.symbols(pc))
    }
}

/// What two builds can hardly share, even if their build ids were one number.
fn identity(binary: &Binary) -> String {
    let (go, text) = (binary.go_version(), binary.go().text_segment());
    let module = binary.module_path().unwrap_or_default();
    format!("{go} {module} text {:#x} {:#x} {:#x}", text.vaddr, text.file_offset, text.size)
}

impl Symbolizer for NamesOf {
    fn symbols(&self, pc: u64) -> Vec<Symbol> {
        let symbol = |(depth, frame): (u8, syncline_gosym::Frame<'_>)| Symbol {
            build_id: self.binary.build_id(),
            pc,
            depth,
            function: frame.function.into_owned(),
            file: frame.file.into_owned(),
            line: frame.line,
        };
        // Every address of a captured stack is a return address, g.sched.pc included.
        (0..=u8::MAX).zip(self.frames.symbolize(&self.binary, pc)).map(symbol).collect()
    }
}
