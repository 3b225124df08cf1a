//! A program whose symbols are cached.

use std::sync::Arc;

use syncline_event::Symbol;

use super::cache::SymbolCache;
use crate::batch::Symbolizer;
use crate::capture::Binary;

/// A binary and the cache of what was looked up in it, by this agent or by one before.
pub(crate) struct CachedBinary {
    binary: Arc<Binary>,
    identity: String,
    cache: Arc<SymbolCache>,
}

impl CachedBinary {
    pub(crate) fn new(binary: Arc<Binary>, cache: Arc<SymbolCache>) -> Self {
        Self { identity: identity(&binary), binary, cache }
    }
}

impl Symbolizer for CachedBinary {
    fn symbols(&self, pc: u64) -> Vec<Symbol> {
        let (build_id, binary) = (self.binary.build_id(), &self.binary);
        self.cache.symbols(build_id, &self.identity, pc, || binary.symbols(pc))
    }
}

/// What two builds can hardly share, even if their build ids were one number.
fn identity(binary: &Binary) -> String {
    let (go, text) = (binary.go_version(), binary.go().text_segment());
    let module = binary.module_path().unwrap_or_default();
    format!("{go} {module} text {:#x} {:#x} {:#x}", text.vaddr, text.file_offset, text.size)
}

impl Symbolizer for Binary {
    fn symbols(&self, pc: u64) -> Vec<Symbol> {
        let symbol = |(depth, frame): (u8, syncline_gosym::Frame<'_>)| Symbol {
            build_id: self.build_id(),
            pc,
            depth,
            function: frame.function.into_owned(),
            file: frame.file.into_owned(),
            line: frame.line,
        };
        // Every address of a captured stack is a return address, g.sched.pc included.
        (0..).zip(self.symbolize(pc, true)).map(symbol).collect()
    }
}
