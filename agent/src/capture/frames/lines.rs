//! Calls and source lines by the debug information of a file of code (DWARF), which somebody else has written.

use std::borrow::Cow;

use addr2line::gimli::{self, EndianSlice, RunTimeEndian};
use object::{Endianness, Object as _, ObjectSection as _};
use syncline_gosym::Frame;

use super::demangling::readable;
use super::naming::{Elf, frame};

/// Bytes of debug information at most, unpacked; files with more are named by their symbol tables, without lines.
const MOST_DEBUG_BYTES: u64 = 64 << 20;
/// How deep entries may lie in one another: compilers' do some ten. addr2line calls itself for each inlined call in another one, so a file made
/// for it would have us run out of stack.
const DEEPEST: isize = 256;
/// Calls at an address at most, as many as of Go code.
const MOST_CALLS: usize = 128;

pub(super) type Lines<'a> = addr2line::Context<EndianSlice<'a, RunTimeEndian>>;

/// Sections of debug information, unpacked; none if there is too much of it, or none.
pub(super) fn debug_sections<'a>(elf: &Elf<'a>) -> Option<gimli::DwarfSections<Cow<'a, [u8]>>> {
    let mut left = MOST_DEBUG_BYTES;
    let load = |id: gimli::SectionId| -> Result<Cow<'a, [u8]>, ()> {
        let Some(section) = elf.section_by_name(id.name()) else { return Ok(Cow::Borrowed(&[])) };
        let data = section.compressed_data().map_err(|_| ())?;
        left = left.checked_sub(data.uncompressed_size).ok_or(())?;
        data.decompress().map_err(|_| ())
    };
    let sections = gimli::DwarfSections::load(load).ok()?;
    Some(sections)
}

/// What these sections say; none if they are damaged, or may not be looked through.
pub(super) fn lines<'a>(sections: &'a gimli::DwarfSections<Cow<'_, [u8]>>, endian: Endianness) -> Option<Lines<'a>> {
    let endian = if endian == Endianness::Little { RunTimeEndian::Little } else { RunTimeEndian::Big };
    let dwarf = sections.borrow(|section| EndianSlice::new(section, endian));
    if deepest(&dwarf).ok()? > DEEPEST {
        return None;
    }
    addr2line::Context::from_dwarf(dwarf).ok()
}

/// The calls at an address, where the debug information has any; one without a name there is this function.
pub(super) fn by_lines(lines: &Lines<'_>, call: u64, function: &str, module: &str) -> Vec<Frame<'static>> {
    let mut calls: Vec<Frame<'static>> = Vec::new();
    let Ok(mut found) = lines.find_frames(call).skip_all_loads() else { return calls };
    while calls.len() < MOST_CALLS
        && let Ok(Some(one)) = found.next()
    {
        let name = one.function.as_ref().map(|function| readable(function.name.slice()));
        let place = one.location.as_ref().and_then(|at| Some((at.file?, at.line.unwrap_or_default())));
        if let Some(inner) = calls.last_mut() {
            inner.inlined = true;
        }
        calls.push(frame(name.as_deref().unwrap_or(function), module, place));
    }
    calls
}

/// How deep entries lie in one another at most, or a depth that is too deep.
fn deepest(dwarf: &gimli::Dwarf<EndianSlice<'_, RunTimeEndian>>) -> gimli::Result<isize> {
    let (mut units, mut deepest) = (dwarf.units(), 0);
    while let Some(unit) = units.next()? {
        let abbreviations = dwarf.abbreviations(&unit)?;
        let mut entries = unit.entries_raw(&abbreviations, None)?;
        // Ends of lists that never began lead below the unit.
        let mut lowest = 0;
        while !entries.is_empty() && deepest <= DEEPEST {
            lowest = lowest.min(entries.next_depth());
            deepest = deepest.max(entries.next_depth().saturating_sub(lowest));
            if let Some(entry) = entries.read_abbreviation()? {
                entries.skip_attributes(entry.attributes())?;
            }
        }
    }
    Ok(deepest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: u64 = 0x1000;
    const SIZE: u64 = 0x100;
    const UNIT: u8 = 1;
    const FUNCTION: u8 = 2;
    const INLINED: u8 = 3;

    /// A name and where the code is: DW_AT_name, DW_AT_low_pc, DW_AT_high_pc as a length.
    const ATTRIBUTES: [u8; 8] = [0x03, 0x08, 0x11, 0x01, 0x12, 0x07, 0, 0];

    fn abbreviations() -> Vec<u8> {
        let one = |code: u8, tag: u8| [&[code, tag, 1], &ATTRIBUTES[..]].concat();
        [one(UNIT, 0x11), one(FUNCTION, 0x2e), one(INLINED, 0x1d), vec![0]].concat()
    }

    /// A unit of DWARF 4 with a function that has so many calls inlined in one another, behind so many ends of no list.
    fn info(ends: usize, inlined: usize) -> Vec<u8> {
        let entry =
            |code: u8| [&[code], &b"f\0"[..], CODE.to_le_bytes().as_slice(), SIZE.to_le_bytes().as_slice()].concat();
        let head = [&4_u16.to_le_bytes()[..], &0_u32.to_le_bytes()[..], &[8][..]].concat();
        let tail = vec![0; inlined + 2];
        let unit = [head, entry(UNIT), vec![0; ends], entry(FUNCTION), entry(INLINED).repeat(inlined), tail].concat();
        [&u32::try_from(unit.len()).unwrap().to_le_bytes()[..], &unit].concat()
    }

    /// How many calls there are in the code.
    fn calls(info: &[u8]) -> Option<usize> {
        let abbreviations = abbreviations();
        let load = |id| -> Result<Cow<'_, [u8]>, ()> {
            Ok(match id {
                gimli::SectionId::DebugAbbrev => Cow::Borrowed(&abbreviations[..]),
                gimli::SectionId::DebugInfo => Cow::Borrowed(info),
                _ => Cow::Borrowed(&[]),
            })
        };
        let sections = gimli::DwarfSections::load(load).unwrap();
        let calls = by_lines(&lines(&sections, Endianness::Little)?, CODE, "f", "test");
        assert!(calls.iter().all(|call| call.function == "f (test)"));
        Some(calls.len())
    }

    #[test]
    fn inlined_calls_are_told_up_to_a_bound() {
        assert_eq!(calls(&info(0, 0)), Some(1));
        assert_eq!(calls(&info(0, 5)), Some(6));
        assert_eq!(calls(&info(0, 200)), Some(MOST_CALLS));
    }

    #[test]
    fn what_is_nested_too_deep_is_not_looked_through() {
        assert_eq!(calls(&info(0, 300)), None);
        assert_eq!(calls(&info(0, 1_000_000)), None);
        assert_eq!(calls(&info(1_000_000, 1_000_000)), None, "ends of no list do not hide it");
    }
}
