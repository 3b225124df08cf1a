//! Finds the function table and `runtime.firstmoduledata`, which names the bases that the table's offsets count from.
//!
//! Neither has a symbol in a stripped program. The table has a section of its own, except in an externally linked
//! position-independent program up to 1.25, where it is found by its magic number. The module data starts with the address
//! of the table: from 1.26 on it is the start of section `.go.module`, before that it is the one place in the writable
//! segments (or, in a position-independent program, in the relocations) that holds this address and agrees with the table
//! in all the rest.
//!
//! An address is `text` plus an offset, as the linker does not split the text on these processors (`splitTextSections` in
//! cmd/link/internal/ld/data.go, 1.21 to 1.27): on arm64 it reaches what is too far away by trampolines. A program whose
//! `textsectmap` says otherwise is refused.

use crate::arch::Machine;
use crate::elf::{Image, MODULEDATA_SECTION, PCLNTAB_SECTION, PCLNTAB_SECTION_PIE, Segment};
use crate::error::Error;
use crate::inline_tree::{FUNCDATA_INLINE_TREE, inlined_call};
use crate::layout::RuntimeLayout;
use crate::pclntab::{self, Pclntab};

/// Real files have one of each; a few more are tried before a damaged file is given up. Each costs passes over the file.
const MAX_TABLES: usize = 4;
const MAX_HOLDERS: usize = 8;
/// Functions whose record is compared with the table's array. An obfuscator changes all of them, and each one that is looked at far
/// from the others brings pages into memory.
const SAMPLES: usize = 16;
/// The words of moduledata that are read; they reach up to `gofunc` in every version, and to where it may move to.
const WORDS: usize = 64;
/// Field order is the same in all known versions up to `etext`, the word before this one.
const AFTER_ETEXT: usize = 24;
/// Functions with inlined calls by which `gofunc` is recognized, and how many of them there have to be.
const INLINING: std::ops::RangeInclusive<usize> = 16..=64;

/// What symbols need of `runtime.firstmoduledata`. Addresses are link-time addresses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ModuleData {
    /// `runtime.text`: what entries count from.
    pub(crate) text: u64,
    /// The first byte after the last function.
    pub(crate) end: u64,
    /// `go:func.*`: what function data counts from.
    pub(crate) gofunc: u64,
    /// The text is in several sections, so that offsets are not simply added.
    is_split: bool,
}

/// The function table and the module data that belongs to it. Without a layout, `gofunc` is recognized by what it leads to.
pub(crate) fn locate<'data>(
    image: &Image<'data>,
    machine: Machine,
    layout: Option<&RuntimeLayout>,
) -> Result<(Pclntab<'data>, ModuleData), Error> {
    let mut why = "there is no function table with the magic number 0xfffffff1";
    for table in tables(image).take(MAX_TABLES) {
        if table.quantum != machine.quantum() {
            why = "the function table is for another processor than the ELF header";
        } else if let Some(module) = module_data(image, layout, &table) {
            check_entries(&table)?;
            return Ok((table, not_split(module)?));
        } else {
            why = "no module data belongs to the function table";
        }
    }
    Err(Error::garbled(why))
}

fn not_split(module: ModuleData) -> Result<ModuleData, Error> {
    if module.is_split {
        return Err(Error::garbled("its code is in several sections, as no Go linker makes them here"));
    }
    Ok(module)
}

fn tables<'data>(image: &Image<'data>) -> impl Iterator<Item = Pclntab<'data>> {
    let named = [PCLNTAB_SECTION, PCLNTAB_SECTION_PIE].into_iter().filter_map(|name| image.section(name));
    let scanned = image.segments().iter().flat_map(|segment| scan(*segment));
    named.chain(scanned).filter_map(|(vaddr, bytes)| Pclntab::parse(vaddr, bytes))
}

/// Where the magic number stands in a segment.
fn scan<'data>(segment: Segment<'data>) -> impl Iterator<Item = (u64, &'data [u8])> {
    let marked = move |&(_, word): &(u64, u64)| word & 0xffff_ffff_ffff == u64::from(pclntab::MAGIC);
    segment
        .aligned_words()
        .filter(marked)
        .filter_map(move |(place, _)| Some((place, segment.bytes.get(segment.offset_of(place)?..)?)))
}

fn module_data(image: &Image<'_>, layout: Option<&RuntimeLayout>, table: &Pclntab<'_>) -> Option<ModuleData> {
    let named = image.section(MODULEDATA_SECTION).map(|(vaddr, _)| vaddr);
    let holders = image.words_that_hold(table.vaddr).take(MAX_HOLDERS);
    named.into_iter().chain(holders).find_map(|vaddr| read_module_data(image, layout, table, vaddr))
}

/// The module data at `vaddr`, if it agrees with the table.
fn read_module_data(
    image: &Image<'_>,
    layout: Option<&RuntimeLayout>,
    table: &Pclntab<'_>,
    vaddr: u64,
) -> Option<ModuleData> {
    let words = image.relocated_words::<WORDS>(vaddr)?;
    // pcHeader, funcnametab, cutab, filetab, pctab, pclntable, ftab (three words each), findfunctab, minpc, maxpc, text, etext.
    let [header, names, ..] = words;
    let [functions, count, _, _, start, end, text, _] = *words.get(16..24)? else { return None };
    let agrees = header == table.vaddr
        && names == table.names_vaddr
        && functions == table.functions_vaddr
        && usize::try_from(count).ok()? == table.count.checked_add(1)?
        && text <= start
        && start < end
        && image.segment_at(text)?.executable;
    if !agrees {
        return None;
    }
    let gofunc = match layout {
        Some(layout) => *words.get(usize::from(layout.moduledata_gofunc) / 8)?,
        // Where none fits, inlined calls are not known.
        None => recognize_gofunc(image, table, words.get(AFTER_ETEXT..)?).unwrap_or_default(),
    };
    // The length of a slice is its second word.
    let text_sections = layout.and_then(|layout| words.get(usize::from(layout.moduledata_textsectmap) / 8 + 1));
    Some(ModuleData { text, end, gofunc, is_split: text_sections.is_some_and(|count| *count > 1) })
}

/// The one of these words that the inlined calls of functions count from.
fn recognize_gofunc(image: &Image<'_>, table: &Pclntab<'_>, words: &[u64]) -> Option<u64> {
    let functions = (0..table.count).filter_map(|index| table.function(index));
    let inlining = functions.filter_map(|function| Some((function, function.funcdata_offset(FUNCDATA_INLINE_TREE)?)));
    let inlining: Vec<_> = inlining.take(*INLINING.end()).collect();
    let leads_to_calls = |base: &u64| {
        let data = image.bytes_at(*base);
        let first = |tree: u32| inlined_call(data?.get(usize::try_from(tree).ok()?..)?, 0);
        inlining.iter().all(|(function, tree)| {
            let length = function.end.saturating_sub(function.entry);
            first(*tree).is_some_and(|call| call.parent_offset < length && table.is_name(call.name_offset))
        })
    };
    (inlining.len() >= *INLINING.start()).then(|| words.iter().copied().find(leads_to_calls))?
}

/// An obfuscator such as garble encrypts the entry in each record; the array in front keeps the true one.
fn check_entries(table: &Pclntab<'_>) -> Result<(), Error> {
    let stride = table.count.div_ceil(SAMPLES).max(1);
    for index in (0..table.count).step_by(stride) {
        let function = table.function(index).filter(|function| function.entry <= function.end);
        let function = function.ok_or_else(|| Error::garbled(format!("function {index} is outside of the table")))?;
        if function.recorded_entry().map(u64::from) != Some(function.entry) {
            return Err(Error::garbled(format!("the entry offset of function {index} is encrypted, as garble does")));
        }
    }
    Ok(())
}
