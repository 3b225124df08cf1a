//! Finds the function table and `runtime.firstmoduledata`, which names the bases that the table's offsets count from.
//!
//! Neither has a symbol in a stripped program. The table has a section of its own, except in an externally linked
//! position-independent program up to 1.25, where it is found by its magic number. The module data starts with the address
//! of the table: from 1.26 on it is the start of section `.go.module`, before that it is the one place in the writable
//! segments (or, in a position-independent program, in the relocations) that holds this address and agrees with the table
//! in all the rest.
//!
//! On amd64 the linker never splits the text, so an address is `text` plus an offset. (On arm64 it may, for programs beyond
//! 128 MiB; `textsectmap` would have to be read then.)

use crate::elf::{Image, MODULEDATA_SECTION, PCLNTAB_SECTION, PCLNTAB_SECTION_PIE, Segment};
use crate::error::Error;
use crate::layout::RuntimeLayout;
use crate::pclntab::{self, Pclntab};

/// Real files have one of each; a few more are tried before a damaged file is given up. Each costs passes over the file.
const MAX_TABLES: usize = 4;
const MAX_HOLDERS: usize = 8;
/// Functions whose record is compared with the table's array. An obfuscator changes all of them, and each one that is looked at far
/// from the others brings pages into memory.
const SAMPLES: usize = 16;
/// The words of moduledata that are read; they reach up to `gofunc` in every version.
const WORDS: usize = 44;

/// What symbols need of `runtime.firstmoduledata`. Addresses are link-time addresses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ModuleData {
    /// `runtime.text`: what entries count from.
    pub(crate) text: u64,
    /// The first byte after the last function.
    pub(crate) end: u64,
    /// `go:func.*`: what function data counts from.
    pub(crate) gofunc: u64,
}

/// The function table and the module data that belongs to it.
pub(crate) fn locate<'data>(
    image: &Image<'data>,
    layout: &RuntimeLayout,
) -> Result<(Pclntab<'data>, ModuleData), Error> {
    let mut seen = false;
    for table in tables(image).take(MAX_TABLES) {
        seen = true;
        if let Some(module) = module_data(image, layout, &table) {
            check_entries(&table)?;
            return Ok((table, module));
        }
    }
    Err(Error::garbled(if seen {
        "no module data belongs to the function table"
    } else {
        "there is no function table with the magic number 0xfffffff1"
    }))
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

fn module_data(image: &Image<'_>, layout: &RuntimeLayout, table: &Pclntab<'_>) -> Option<ModuleData> {
    let named = image.section(MODULEDATA_SECTION).map(|(vaddr, _)| vaddr);
    let holders = image.words_that_hold(table.vaddr).take(MAX_HOLDERS);
    named.into_iter().chain(holders).find_map(|vaddr| read_module_data(image, layout, table, vaddr))
}

/// The module data at `vaddr`, if it agrees with the table.
fn read_module_data(image: &Image<'_>, layout: &RuntimeLayout, table: &Pclntab<'_>, vaddr: u64) -> Option<ModuleData> {
    let words = image.relocated_words::<WORDS>(vaddr)?;
    // Field order is the same in all supported versions up to etext: pcHeader, funcnametab, cutab, filetab, pctab, pclntable,
    // ftab (three words each), findfunctab, minpc, maxpc, text, etext.
    let [header, names, ..] = words;
    let [functions, count, _, _, start, end, text, _] = *words.get(16..24)? else { return None };
    let agrees = header == table.vaddr
        && names == table.names_vaddr
        && functions == table.functions_vaddr
        && usize::try_from(count).ok()? == table.count.checked_add(1)?
        && text <= start
        && start < end
        && image.segment_at(text)?.executable;
    let gofunc = *words.get(usize::from(layout.moduledata_gofunc) / 8)?;
    agrees.then_some(ModuleData { text, end, gofunc })
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
