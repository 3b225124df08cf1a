//! Names of addresses in a file of code, by its symbol tables and its DWARF lines. Where a file is Go's, it is asked for here, too.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use object::read::elf::{ElfFile64, ElfSymbol64};
use object::{Endianness, Object as _, ObjectSymbol as _, ReadCache, ReadRef as _, SymbolKind};
use syncline_gosym::{BUILD_INFO_SECTION, Frame, GoBinary, Symbolizer};

use super::demangling::{NAME_BYTES, readable};
use super::lines::{by_lines, debug_sections, lines};
use super::module::Module;
use super::reader::Bounded;
use crate::capture::budget::{Budget, SLOWNESS};
use crate::patience::{Found, Patience};
use crate::text;

/// How long the naming of addresses may keep batches waiting, and of which time. What has no name by then is told without.
const LONGEST: Duration = Duration::from_secs(2 * SLOWNESS);
const LONGEST_OF: Duration = Duration::from_secs(10 * SLOWNESS);
/// Bytes read of a file at most, held only while its addresses are named.
const MOST_BYTES: u64 = 256 << 20;
/// Functions of a file at most; what else it has is not looked at.
const MOST_SYMBOLS: usize = 1 << 20;
/// Bytes of a source file's path.
const PATH_BYTES: usize = 1_024;

/// Asks files for names, one after the other, each on a thread of its own: what a file takes of memory is taken once.
#[derive(Debug)]
pub(super) struct Namer {
    patience: Patience,
    budget: Mutex<Budget>,
}

impl Default for Namer {
    fn default() -> Self {
        Self { patience: Patience::of(1), budget: Mutex::new(Budget::new(LONGEST, LONGEST_OF)) }
    }
}

impl Namer {
    /// The calls at each of these return addresses, innermost first, as far as that could be found out: of the first so many. None
    /// at an address of an executable that its tables do not name.
    pub(super) fn names(&self, module: &Arc<Module>, vaddrs: &[u64]) -> Vec<Vec<Frame<'static>>> {
        // Held meanwhile: they are asked one after the other.
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        let began = Instant::now();
        let Some(limit) = budget.left(began) else { return Vec::new() };
        let (of, wanted) = (Arc::clone(module), vaddrs.to_vec());
        let (names, unfinished) = self.patience.wait_for(limit, move |found| name_all(&of, &wanted, found));
        budget.spend(began.elapsed());
        if let Some(why) = unfinished {
            tracing::warn!(file = module.name, ?why, "functions have no names for now: it takes too long to find them");
        }
        names
    }
}

/// The frame of code in memory that no file stands behind.
pub(super) fn of_region(name: &str) -> Frame<'static> {
    frame("?", name, None)
}

/// That of a function of the kernel, or of a module of its own.
pub(super) fn of_kernel(function: &str, module: Option<&str>) -> Frame<'static> {
    frame(function, module.unwrap_or("kernel"), None)
}

fn by_number(module: &str, vaddr: u64) -> Frame<'static> {
    frame(&format!("0x{vaddr:x}"), module, None)
}

pub(super) fn frame(function: &str, module: &str, place: Option<(&str, u32)>) -> Frame<'static> {
    let (file, line) = place.unwrap_or_default();
    // Else nobody could tell any more that it is a file's name, and the function none of Go's.
    let module = module.replace(['(', ')', '/'], "_");
    let function = format!("{} ({module})", text::cut(function.to_owned(), NAME_BYTES));
    Frame {
        function: function.into(),
        file: text::cut(file.to_owned(), PATH_BYTES).into(),
        line,
        inlined: false,
        wrapper: false,
    }
}

/// Finds one after the other; nothing where the file cannot be read, or is not any more what was mapped.
fn name_all(module: &Module, vaddrs: &[u64], found: &Found<Vec<Vec<Frame<'static>>>>) {
    let Some(reader) = module.reader(MOST_BYTES) else { return };
    let Ok(elf) = Elf::parse(&reader) else { return };
    let is_go = !module.is_executable && elf.section_by_name(BUILD_INFO_SECTION).is_some();
    let go = is_go.then(|| go_symbols(&reader)).flatten();
    let symbols = Symbols::of(&elf);
    let sections = debug_sections(&elf);
    let lines = sections.as_ref().and_then(|sections| lines(sections, elf.endian()));
    let one = |vaddr: &u64| {
        let call = vaddr.saturating_sub(1);
        let of_go = go.map(|symbolizer| symbolizer.frames(call)).unwrap_or_default();
        if !of_go.is_empty() {
            return of_go.into_iter().map(Frame::into_owned).collect();
        }
        // Debug information also has functions that the linker has left out, at addresses that are others' now.
        let Some(name) = symbols.at(call).map(readable) else { return unnamed(module, *vaddr) };
        let calls = lines.as_ref().map(|lines| by_lines(lines, call, &name, &module.name)).unwrap_or_default();
        if calls.is_empty() { vec![frame(&name, &module.name, None)] } else { calls }
    };
    vaddrs.iter().for_each(|vaddr| {
        let frames = one(vaddr);
        found.lock().push(frames);
    });
}

/// What a library that was read has no symbol for. An executable may be stripped, or obfuscated, and its symbols uploaded later.
fn unnamed(module: &Module, vaddr: u64) -> Vec<Frame<'static>> {
    if module.is_executable { Vec::new() } else { vec![by_number(&module.name, vaddr)] }
}

/// A plugin of a Go program (`-buildmode=plugin`) has a function table of its own, as executables have.
fn go_symbols(reader: &ReadCache<Bounded>) -> Option<Symbolizer<'_>> {
    let bytes = reader.len().and_then(|len| reader.read_bytes_at(0, len)).ok()?;
    GoBinary::parse(bytes).and_then(|plugin| plugin.symbolizer()).ok()
}

pub(super) type Elf<'a> = ElfFile64<'a, Endianness, &'a ReadCache<Bounded>>;

/// How many symbols before an address are looked at for one that holds it: functions lie inside of one another in assembly only.
const NEAREST: usize = 16;

/// The functions of a file's symbol tables, in the order of their begins. Their names are read where they are needed.
struct Symbols<'a, 'e> {
    functions: Vec<Symbol<'a, 'e>>,
}

type Symbol<'a, 'e> = ElfSymbol64<'a, 'e, Endianness, &'a ReadCache<Bounded>>;

impl<'a, 'e> Symbols<'a, 'e> {
    fn of(elf: &'e Elf<'a>) -> Self {
        let is_function = |symbol: &Symbol<'a, 'e>| symbol.kind() == SymbolKind::Text && symbol.is_definition();
        let mut functions: Vec<_> =
            elf.symbols().chain(elf.dynamic_symbols()).filter(is_function).take(MOST_SYMBOLS).collect();
        functions.sort_by_key(object::ObjectSymbol::address);
        Self { functions }
    }

    /// The function that holds an address. One that tells no size goes to the next one.
    fn at(&self, vaddr: u64) -> Option<&'a [u8]> {
        let next = self.functions.partition_point(|symbol| symbol.address() <= vaddr);
        let before = || self.functions.iter().take(next).rev().take(NEAREST);
        let holds = |symbol: &&Symbol<'a, 'e>| vaddr - symbol.address() < symbol.size();
        let found = before().find(holds).or_else(|| before().next().filter(|symbol| symbol.size() == 0))?;
        // A function may have several names, those for the library's own use with underscores.
        let same = before().filter(|symbol| symbol.address() == found.address());
        let names = same.filter_map(|symbol| symbol.name_bytes().ok()).filter(|name| !name.is_empty());
        names.min_by_key(|name| (name.starts_with(b"_"), name.len(), *name))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn of_itself() -> Arc<Module> {
        Arc::new(Module::of(File::open("/proc/self/exe").unwrap(), "test".to_owned()).unwrap())
    }

    #[inline(never)]
    fn landmark() -> u32 {
        line!()
    }

    #[test]
    fn whatever_a_file_is_called_its_functions_are_none_of_gos() {
        for file in ["libc.so.6", "libfoo (1).so", "a(", ")", "a/b", "[vdso]", ""] {
            let named = frame("std::f<int (char)>()", file, None).function;
            assert!(syncline_insight::is_foreign(&named), "{named}");
        }
    }

    #[test]
    fn rust_functions_have_readable_names_and_lines() {
        let line = std::hint::black_box(landmark as fn() -> u32)();
        let module = of_itself();
        let reader = module.reader(MOST_BYTES).unwrap();
        let elf = Elf::parse(&reader).unwrap();
        let is_landmark = |name: &str| name.contains("naming") && name.contains("landmark");
        let symbol = elf.symbols().find(|symbol| symbol.name().is_ok_and(is_landmark));
        let address = symbol.expect("it has a symbol").address();
        let names = Namer::default().names(&module, &[address + 1, 1]);
        let last = names[0].last().unwrap();
        assert!(last.function.ends_with("::landmark (test)"), "{names:?}");
        assert!(last.file.ends_with("frames/naming.rs") && last.line.abs_diff(line) <= 1, "{names:?}");
        assert_eq!(names[1..], [[by_number("test", 1)]]);
    }
}
