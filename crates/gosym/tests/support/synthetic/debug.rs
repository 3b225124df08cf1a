//! Debug information of a tiny program: what tells where the fields of the runtime's structures lie, as of a version that nobody knows.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::Bytes;
use super::table::uvarint;

/// The structures, and of each its fields with their offsets.
pub(crate) const STRUCTURES: [(&str, &[(&str, u32)]); 6] = [
    ("runtime.stack", &[("lo", 0), ("hi", 8)]),
    ("runtime.gobuf", &[("sp", 0), ("pc", 8), ("g", 16), ("bp", 40)]),
    (
        "runtime.g",
        &[
            ("stack", 0),
            ("m", 48),
            ("sched", 56),
            ("syscallsp", 104),
            ("syscallpc", 112),
            ("atomicstatus", 144),
            ("goid", 152),
            ("waitreason", 176),
            ("labels", 352),
            ("coroarg", 384),
        ],
    ),
    ("runtime.m", &[("g0", 0), ("procid", 64), ("curg", 184), ("ncgo", 328)]),
    ("runtime.pollDesc", &[("fd", 8), ("rg", 32), ("wg", 40)]),
    ("runtime.moduledata", &[("gofunc", 344), ("textsectmap", 360)]),
];

const UNIT: u32 = 1;
const STRUCTURE: u32 = 2;
const MEMBER: u32 = 3;
const FORM_STRING: u32 = 0x08;
const FORM_UDATA: u32 = 0x0f;
const AT_NAME: u32 = 0x03;
const AT_MEMBER_LOCATION: u32 = 0x38;

/// The table of abbreviations: a unit, a structure, a member.
pub(crate) fn abbreviations() -> Vec<u8> {
    let mut table = Vec::new();
    let name = [AT_NAME, FORM_STRING];
    abbreviation(&mut table, UNIT, (0x11, 1), &name);
    abbreviation(&mut table, STRUCTURE, (0x13, 1), &name);
    abbreviation(&mut table, MEMBER, (0x0d, 0), &[name, [AT_MEMBER_LOCATION, FORM_UDATA]].concat());
    table.push(0);
    table
}

/// An entry of this tag, with children or without, whose attributes are pairs of a name and a form.
fn abbreviation(table: &mut Vec<u8>, code: u32, (tag, has_children): (u32, u8), attributes: &[u32]) {
    uvarint(table, code);
    uvarint(table, tag);
    table.push(has_children);
    attributes.iter().chain(&[0, 0]).for_each(|number| uvarint(table, *number));
}

/// A unit of the runtime with so many entries of a byte, each with thousands of attributes that take none.
pub(crate) fn costly(entries: usize) -> (Vec<u8>, Vec<u8>) {
    const FLAG_PRESENT: u32 = 0x19;
    let mut table = Vec::new();
    abbreviation(&mut table, UNIT, (0x11, 1), &[AT_NAME, FORM_STRING]);
    let flags = [AT_MEMBER_LOCATION, FLAG_PRESENT].repeat(15_000);
    abbreviation(&mut table, STRUCTURE, (0x13, 0), &flags);
    table.push(0);
    (unit("runtime", &vec![u8::try_from(STRUCTURE).unwrap(); entries]), table)
}

/// A section as `SHF_COMPRESSED` has it: a header (type, size unpacked, alignment), and the rest with zlib.
pub(crate) fn packed(section: &[u8]) -> Vec<u8> {
    let mut packed = Bytes(Vec::new());
    [1, 0].into_iter().for_each(|word| packed.u32(word));
    [u64::try_from(section.len()).unwrap(), 1].into_iter().for_each(|word| packed.u64(word));
    let mut encoder = ZlibEncoder::new(packed.0, Compression::default());
    encoder.write_all(section).unwrap();
    encoder.finish().unwrap()
}

/// A unit of another package, then that of the runtime.
pub(crate) fn info() -> Vec<u8> {
    let mut entries = Vec::new();
    for (name, fields) in STRUCTURES {
        entry(&mut entries, STRUCTURE, name);
        for (field, offset) in fields {
            entry(&mut entries, MEMBER, field);
            uvarint(&mut entries, *offset);
        }
        entries.push(0);
    }
    [unit("internal/cpu", &[]), unit("runtime", &entries)].concat()
}

/// Of DWARF 4.
fn unit(name: &str, entries: &[u8]) -> Vec<u8> {
    let mut head = Vec::new();
    entry(&mut head, UNIT, name);
    let mut unit = Bytes(Vec::new());
    let fields = 2 + 4 + 1;
    unit.u32(u32::try_from(fields + head.len() + entries.len() + 1).unwrap());
    unit.u16(4);
    unit.u32(0);
    unit.push(&[8]);
    unit.push(&head);
    unit.push(entries);
    unit.push(&[0]);
    unit.0
}

fn entry(entries: &mut Vec<u8>, abbreviation: u32, name: &str) {
    uvarint(entries, abbreviation);
    entries.extend(name.as_bytes());
    entries.push(0);
}
