//! Offsets of the runtime's fields as the program's own debug information tells them (DWARF versions 4 and 5), whatever its Go version.
//!
//! Go's linker puts the types of a whole program into the compilation unit of package runtime, the runtime's own early among them, and
//! that unit early into the section. So of a compressed section only the beginning is unpacked: of a program of 70 MB whose section has
//! 18 MB, one or two.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Read;

use flate2::read::ZlibDecoder;
use gimli::{
    Abbreviations, AttributeValue, DebugAbbrev, DebugAbbrevOffset, Encoding, EndianSlice, EntriesRaw, Format,
    LittleEndian, UnitOffset,
};

use crate::bytes::{u16_at, u32_at};
use crate::elf::{Image, Unloaded};
use crate::layout::{LabelsForm, LayoutSource, RuntimeLayout};

/// So much of the section is read at first, then more; the last one only where nothing else is known of the program.
const PREFIXES: [usize; 3] = [2 << 20, 8 << 20, 32 << 20];
/// Real sections are packed to a third.
const MOST_UNPACKED: usize = 32;
/// So much of the section of abbreviations is read: Go's own table is its first one, or follows those of C code.
const MAX_ABBREVIATIONS: usize = 4 << 20;
/// More than Go's table has.
const MAX_TABLE: usize = 32 << 10;
/// Tables looked at.
const MAX_TABLES: usize = 4096;
/// Attributes looked at, which need not take a byte each. Of a program of 70 MB it takes half a million up to the runtime's types.
const MAX_STEPS: u32 = 1 << 21;
/// The same where nothing else is known: how labels are kept is said later.
const UNKNOWN_STEPS: u32 = 1 << 24;
/// The compilation unit that has the types.
const RUNTIME: &[u8] = b"runtime";
/// In it, the type of a goroutine's labels, if the program uses any.
const LABELS: &str = "runtime/pprof.labelMap";
/// The structures whose fields are wanted.
const STRUCTURES: [&str; 6] =
    ["runtime.g", "runtime.m", "runtime.stack", "runtime.gobuf", "runtime.pollDesc", "runtime.moduledata"];

type Bytes<'a> = EndianSlice<'a, LittleEndian>;

/// The layout that the program tells itself; None where it does not, or not all of it. `known` is what is known of its Go version, and
/// tells what the debug information cannot.
pub(crate) fn layout(image: &Image<'_>, known: Option<&RuntimeLayout>) -> Option<RuntimeLayout> {
    let abbreviations = unpacked(&image.unloaded_section(".debug_abbrev")?, MAX_ABBREVIATIONS);
    let info = image.unloaded_section(".debug_info")?;
    let mut steps = if known.is_none() { UNKNOWN_STEPS } else { MAX_STEPS };
    let prefixes = PREFIXES.into_iter().take(if known.is_none() { 3 } else { 2 });
    let mut last = None;
    for length in prefixes {
        let info = unpacked(&info, length);
        let types = Types::find(&info, &abbreviations, known.is_none(), &mut steps);
        let is_all = info.len() < length || steps == 0 || types.are_all();
        last = types.layout(known);
        if is_all {
            break;
        }
    }
    last
}

/// The first `length` bytes of a section, or all of it.
fn unpacked<'data>(section: &Unloaded<'data>, length: usize) -> Cow<'data, [u8]> {
    match *section {
        Unloaded::Plain(bytes) => Cow::Borrowed(bytes.get(..length).unwrap_or(bytes)),
        Unloaded::Zlib(bytes) => {
            let length = length.min(bytes.len().saturating_mul(MOST_UNPACKED));
            let mut unpacked = Vec::with_capacity(length);
            // What comes before a fault can be used.
            let _ = ZlibDecoder::new(bytes).take(length as u64).read_to_end(&mut unpacked);
            Cow::Owned(unpacked)
        }
    }
}

/// What was found of the types.
#[derive(Debug, Default)]
struct Types {
    /// Of each structure that was read to its end, its fields and their offsets.
    fields: HashMap<&'static str, Fields>,
    /// The one that is being read.
    within: Option<(&'static str, Fields)>,
    /// How labels are kept is asked for, too.
    wants_labels: bool,
    labels_form: Option<LabelsForm>,
}

type Fields = Vec<(String, u64)>;

impl Types {
    fn find(info: &[u8], abbreviations: &[u8], wants_labels: bool, steps: &mut u32) -> Types {
        let mut types = Types { wants_labels, ..Types::default() };
        // Go has one table for all its units, C code one for each.
        let mut table = None;
        let (mut tables, mut start) = (0, 0);
        while let Some(unit) = Unit::at(info, start) {
            start = unit.end;
            if table.as_ref().is_none_or(|(at, _)| *at != unit.abbreviations) {
                tables += 1;
                table = Some((unit.abbreviations, table_at(abbreviations, unit.abbreviations)));
            }
            if tables > MAX_TABLES {
                break;
            }
            if let Some((_, Some(table))) = &table {
                types.read_unit(&unit, table, steps);
            }
            if types.are_all() {
                break;
            }
        }
        types
    }

    fn are_all(&self) -> bool {
        let has_labels = !self.wants_labels || self.labels_form.is_some();
        has_labels && STRUCTURES.iter().all(|name| self.fields.contains_key(name))
    }

    /// There are several units of that name: those of assembly have one each. One that is cut off is read as far as it goes, but for
    /// the structure that the cut is in.
    fn read_unit(&mut self, unit: &Unit<'_>, abbreviations: &Abbreviations, steps: &mut u32) {
        let mut entries = EntriesRaw::new(unit.entries, unit.encoding, abbreviations, UnitOffset(unit.header_bytes));
        let is_named = |entry: Entry<'_>| entry.name.is_some_and(|name| name.slice() == RUNTIME);
        if !next_entry(&mut entries, steps).is_some_and(is_named) {
            return;
        }
        self.within = None;
        while let Some(entry) = next_entry(&mut entries, steps) {
            if entry.depth > 1 {
                self.note_member(&entry);
                continue;
            }
            self.note_end();
            if self.are_all() {
                return;
            }
            self.within = self.type_at(&entry).map(|name| (name, Vec::new()));
        }
        if unit.is_whole {
            self.note_end();
        }
    }

    fn note_end(&mut self) {
        if let Some((name, fields)) = self.within.take() {
            self.fields.insert(name, fields);
        }
    }

    /// The structure that begins there, if it is a wanted one.
    fn type_at(&mut self, entry: &Entry<'_>) -> Option<&'static str> {
        let name = entry.name?;
        if name.slice() == LABELS.as_bytes() && self.labels_form.is_none() {
            let is_structure = entry.tag == gimli::DW_TAG_structure_type;
            self.labels_form = Some(if is_structure { LabelsForm::Slice } else { LabelsForm::Map });
        }
        if entry.tag != gimli::DW_TAG_structure_type {
            return None;
        }
        STRUCTURES.into_iter().find(|wanted| name.slice() == wanted.as_bytes())
    }

    fn note_member(&mut self, entry: &Entry<'_>) {
        let Some((_, fields)) = &mut self.within else { return };
        if let (Some(name), Some(offset), true) = (entry.name, entry.offset, fields.len() < MAX_FIELDS) {
            fields.push((name.to_string_lossy().into_owned(), offset));
        }
    }

    fn offset(&self, structure: &str, field: &str) -> Option<u16> {
        let (_, offset) = self.fields.get(structure)?.iter().find(|(name, _)| name == field)?;
        u16::try_from(*offset).ok()
    }

    fn layout(&self, known: Option<&RuntimeLayout>) -> Option<RuntimeLayout> {
        let g = |field| self.offset("runtime.g", field);
        let m = |field| self.offset("runtime.m", field);
        let stack = |field| g("stack")?.checked_add(self.offset("runtime.stack", field)?);
        let sched = |field| g("sched")?.checked_add(self.offset("runtime.gobuf", field)?);
        let poll_descriptor = |field| self.offset("runtime.pollDesc", field);
        Some(RuntimeLayout {
            source: LayoutSource::Dwarf,
            g_stack_lo: stack("lo")?,
            g_stack_hi: stack("hi")?,
            g_m: g("m")?,
            g_sched_sp: sched("sp")?,
            g_sched_pc: sched("pc")?,
            g_sched_g: sched("g")?,
            g_sched_bp: sched("bp")?,
            g_syscallsp: g("syscallsp")?,
            g_syscallpc: g("syscallpc")?,
            g_atomicstatus: g("atomicstatus")?,
            g_goid: g("goid")?,
            g_waitreason: g("waitreason")?,
            g_labels: g("labels")?,
            g_coroarg: g("coroarg"),
            labels_form: known.map_or(self.labels_form, |known| known.labels_form),
            m_g0: m("g0")?,
            m_procid: m("procid")?,
            m_curg: m("curg")?,
            m_ncgo: m("ncgo")?,
            polldesc_fd: poll_descriptor("fd")?,
            polldesc_rg: poll_descriptor("rg")?,
            polldesc_wg: poll_descriptor("wg")?,
            moduledata_gofunc: self.offset("runtime.moduledata", "gofunc")?,
            moduledata_textsectmap: self.offset("runtime.moduledata", "textsectmap")?,
        })
    }
}

/// More than the largest of the structures has.
const MAX_FIELDS: usize = 512;

/// A compilation unit, as far as it is at hand.
struct Unit<'a> {
    encoding: Encoding,
    abbreviations: DebugAbbrevOffset,
    header_bytes: usize,
    entries: Bytes<'a>,
    /// All of it is at hand.
    is_whole: bool,
    /// Where the next one starts in the section.
    end: usize,
}

impl<'a> Unit<'a> {
    /// That at `start`. None at the end, and where the form is not one that Go writes.
    fn at(info: &'a [u8], start: usize) -> Option<Unit<'a>> {
        const LENGTH_BYTES: usize = 4;
        let length = usize::try_from(u32_at(info, start)?).ok().filter(|length| *length < 0xffff_fff0)?;
        let begin = start.checked_add(LENGTH_BYTES)?;
        let end = begin.checked_add(length)?;
        let version = u16_at(info, begin)?;
        // Another compiler's of another version is passed over: its name is not the one that is looked for.
        let (abbreviations_at, address_size_at, fields_bytes) = if version >= 5 { (4, 3, 8) } else { (2, 6, 7) };
        let address_size = *info.get(begin.checked_add(address_size_at)?)?;
        let abbreviations = u32_at(info, begin.checked_add(abbreviations_at)?)?;
        let entries = info.get(begin.checked_add(fields_bytes)?..end.min(info.len()))?;
        Some(Unit {
            encoding: Encoding { address_size, format: Format::Dwarf32, version },
            abbreviations: DebugAbbrevOffset(usize::try_from(abbreviations).ok()?),
            header_bytes: LENGTH_BYTES + fields_bytes,
            entries: Bytes::new(entries, LittleEndian),
            is_whole: end <= info.len(),
            end,
        })
    }
}

fn table_at(abbreviations: &[u8], offset: DebugAbbrevOffset) -> Option<Abbreviations> {
    let table = abbreviations.get(offset.0..)?;
    let table = table.get(..MAX_TABLE).unwrap_or(table);
    DebugAbbrev::new(table, LittleEndian).abbreviations(DebugAbbrevOffset(0)).ok()
}

/// What matters of an entry.
struct Entry<'a> {
    tag: gimli::DwTag,
    /// The unit's own has 0.
    depth: isize,
    name: Option<Bytes<'a>>,
    /// Of a member of a structure.
    offset: Option<u64>,
}

/// The next entry; None at the end, where the rest cannot be read, or where all `steps` are taken, one for each attribute.
fn next_entry<'a>(entries: &mut EntriesRaw<'_, Bytes<'a>>, steps: &mut u32) -> Option<Entry<'a>> {
    loop {
        if entries.is_empty() {
            return None;
        }
        *steps = steps.checked_sub(1)?;
        let depth = entries.next_depth();
        let Some(abbreviation) = entries.read_abbreviation().ok()? else { continue };
        let mut entry = Entry { tag: abbreviation.tag(), depth, name: None, offset: None };
        for specification in abbreviation.attributes() {
            *steps = steps.checked_sub(1)?;
            let attribute = entries.read_attribute(*specification).ok()?;
            match (attribute.name(), attribute.value()) {
                // Go writes names where they are used.
                (gimli::DW_AT_name, AttributeValue::String(name)) => entry.name = Some(name),
                (gimli::DW_AT_data_member_location, value) => entry.offset = value.udata_value(),
                _ => {}
            }
        }
        return Some(entry);
    }
}
