//! Tiny Go programs, made byte by byte: an ELF file with build info, function table, inline tree and module data, of a few
//! kilobytes. No Go toolchain is needed, and every field can be made to lie. They cannot run.

#![allow(dead_code, reason = "each test binary uses a part")]

mod code;
pub(crate) mod debug;
mod table;

use syncline_gosym::Machine;

pub(crate) use code::{Function, functions};
pub(crate) use table::FunctionTable;

/// Where the parts of a file lie in it.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    /// The first program header.
    pub(crate) program_headers: usize,
    /// The Go build info.
    pub(crate) build_info: usize,
    /// The function table.
    pub(crate) table: usize,
    /// The parts of the function table.
    pub(crate) functions: FunctionTable,
    /// The inline trees.
    pub(crate) inline_trees: usize,
    /// The module data.
    pub(crate) module_data: usize,
    /// The entries of the dynamic section: `DT_RELA`, `DT_RELASZ`, and the end. Only if position-independent.
    pub(crate) dynamic: usize,
    /// The section headers, if there are any.
    pub(crate) section_headers: usize,
    /// The debug information, and its abbreviations; empty if it has none.
    pub(crate) debug_info: std::ops::Range<usize>,
    pub(crate) debug_abbreviations: std::ops::Range<usize>,
}

/// What to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Synthetic {
    pub(crate) machine: Machine,
    /// The minor version: 27 means Go 1.27.
    pub(crate) minor: u16,
    pub(crate) pie: bool,
    pub(crate) sections: bool,
}

/// For amd64, of the newest Go, as `go build -ldflags=-s` makes them.
pub(crate) const TINY: Synthetic = Synthetic { machine: Machine::Amd64, minor: 27, pie: false, sections: true };

/// One of each kind.
pub(crate) fn all() -> Vec<Synthetic> {
    let mut all = Vec::new();
    for machine in [Machine::Amd64, Machine::Arm64] {
        for minor in [21, 25, 27] {
            all.push(Synthetic { machine, minor, pie: false, sections: true });
            all.push(Synthetic { machine, minor, pie: true, sections: minor == 27 });
        }
        all.push(Synthetic { machine, minor: UNKNOWN, pie: false, sections: true });
    }
    all
}

/// A minor version that nobody knows: its programs have debug information.
pub(crate) const UNKNOWN: u16 = 99;

const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
const SECTION_HEADER: usize = 64;
/// Words of module data: more than are read.
const MODULE_WORDS: usize = 64;
const RELA: usize = 24;

impl Synthetic {
    /// Name for a file.
    pub(crate) fn name(self) -> String {
        let part = |on, name| if on { name } else { "" };
        format!("{}-1.{}{}{}", self.machine, self.minor, part(self.pie, "-pie"), part(!self.sections, "-bare"))
    }

    /// The bytes of the file.
    pub(crate) fn bytes(self) -> Vec<u8> {
        self.build().0
    }

    /// The file's bytes, and where their parts lie. All of it is loaded from `base` on: code and tables in one segment, data in
    /// another.
    pub(crate) fn build(self) -> (Vec<u8>, Places) {
        self.build_of(&functions(self.machine))
    }

    /// The same of other functions.
    pub(crate) fn build_of(self, functions: &[Function]) -> (Vec<u8>, Places) {
        self.build_with(functions, (debug::info(), debug::abbreviations()))
    }

    /// The same of other functions, and with this debug information and these abbreviations, if it has any.
    pub(crate) fn build_with(
        self,
        functions: &[Function],
        (info, abbreviations): (Vec<u8>, Vec<u8>),
    ) -> (Vec<u8>, Places) {
        let base: u64 = if self.pie { 0 } else { 0x40_0000 };
        let mut file = Bytes(vec![0; HEADER + 4 * PROGRAM_HEADER]);
        let note = file.align(4);
        file.push(&build_id_note());
        let note_end = file.len();

        let text = file.align(64);
        for function in functions {
            file.push(&function.code);
        }
        let inline_trees = file.align(8);
        file.push(&table::inline_trees(functions));
        let table = file.align(32);
        let (table_bytes, function_table) = table::table(self.machine, functions);
        file.push(&table_bytes);
        let code_end = file.len();

        let data = file.align(64);
        let build_info = data;
        file.push(&self.build_info());
        let module_data = file.align(64);
        let address = |place: usize| base + u64::try_from(place).unwrap();
        let text_end = text + functions.iter().map(|function| function.code.len()).sum::<usize>();
        let mut module = vec![0_u64; MODULE_WORDS];
        let gofunc = if self.minor >= 27 { 43 } else { 40 };
        let pointers = [
            (0, table),
            (1, table + function_table.names),
            (16, table + function_table.functions),
            (20, text),
            (21, text_end),
            (22, text),
            (gofunc, inline_trees),
        ];
        for (word, place) in pointers {
            module[word] = if self.pie { 0 } else { address(place) };
        }
        module[17] = u64::try_from(functions.len() + 1).unwrap();
        module[gofunc + if self.minor >= 26 { 3 } else { 2 }] = 1;
        module.iter().for_each(|word| file.u64(*word));

        let relocations = file.align(8);
        let relative: u64 = if self.machine == Machine::Arm64 { 1027 } else { 8 };
        let relocated = if self.pie { &pointers[..] } else { &[] };
        for &(word, place) in relocated {
            [address(module_data + 8 * word), relative, address(place)].into_iter().for_each(|word| file.u64(word));
        }
        let dynamic = file.len();
        if self.pie {
            let size = u64::try_from(relocated.len() * RELA).unwrap();
            [7, address(relocations), 8, size, 0, 0].into_iter().for_each(|word| file.u64(word));
        }
        let data_end = file.len();
        let loaded = |kind: u32, flags: u32, start: usize, end: usize| {
            let size = u64::try_from(end - start).unwrap();
            let place = u64::try_from(start).unwrap();
            let words = [place, address(start), address(start), size, size, 1];
            let mut header = Bytes(Vec::new());
            header.u32(kind);
            header.u32(flags);
            words.into_iter().for_each(|word| header.u64(word));
            header.0
        };
        let headers = [
            loaded(1, 5, 0, code_end),
            loaded(1, 6, data, data_end),
            loaded(4, 4, note, note_end),
            loaded(if self.pie { 2 } else { 0 }, 6, dynamic, data_end),
        ];
        file.put(HEADER, &headers.concat());
        let [debug_info, debug_abbreviations] = [info, abbreviations].map(|section| {
            let start = file.len();
            match (self.has_debug(), self.is_packed()) {
                (false, _) => {}
                (true, false) => file.push(&section),
                (true, true) => file.push(&debug::packed(&section)),
            }
            start..file.len()
        });
        let section_headers = file.align(8);
        if self.sections {
            let unloaded = |part: &std::ops::Range<usize>| (part.start, part.len());
            let mut sections = vec![
                (".go.buildinfo", build_info, module_data - build_info),
                (
                    if self.pie && self.minor < 26 { ".data.rel.ro.gopclntab" } else { ".gopclntab" },
                    table,
                    table_bytes.len(),
                ),
                (if self.minor >= 26 { ".go.module" } else { ".noptrdata" }, module_data, 8 * MODULE_WORDS),
            ];
            if self.has_debug() {
                let parts = [(".debug_info", unloaded(&debug_info)), (".debug_abbrev", unloaded(&debug_abbreviations))];
                sections.extend(parts.map(|(name, (place, size))| (name, place, size)));
            }
            file.push(&section_table(&sections, self.is_packed(), section_headers, address(0)));
        }
        self.put_header(&mut file, section_headers);
        let places = Places {
            program_headers: HEADER,
            build_info,
            table,
            functions: function_table,
            inline_trees,
            module_data,
            dynamic,
            section_headers,
            debug_info,
            debug_abbreviations,
        };
        (file.0, places)
    }

    /// As the go command packs debug information; one kind does.
    fn is_packed(self) -> bool {
        self.has_debug() && self.machine == Machine::Arm64
    }

    fn has_debug(self) -> bool {
        self.minor == UNKNOWN
    }

    fn put_header(self, file: &mut Bytes, section_headers: usize) {
        let mut header = Bytes(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec());
        header.u16(if self.pie { 3 } else { 2 });
        header.u16(if self.machine == Machine::Arm64 { 183 } else { 62 });
        header.u32(1);
        header.u64(0); // e_entry
        header.u64(u64::try_from(HEADER).unwrap());
        header.u64(if self.sections { u64::try_from(section_headers).unwrap() } else { 0 });
        header.u32(0); // e_flags
        let sections = if self.has_debug() { 7 } else { 5 };
        let (count, names) = if self.sections { (sections, sections - 1) } else { (0, 0) };
        [64, 56, 4, 64, count, names].into_iter().for_each(|number| header.u16(number));
        file.put(0, &header.0);
    }

    fn build_info(self) -> Vec<u8> {
        let mut info = b"\xff Go buildinf:\x08\x02".to_vec();
        info.resize(32, 0);
        let version = format!("go1.{}.3", self.minor);
        let marker = [0x77; 16];
        let modules = b"path\texample.com/tiny\nmod\texample.com/tiny\tv1.0.0\t\nbuild\tCGO_ENABLED=1\n";
        let modules = [&marker[..], modules, &marker].concat();
        for text in [version.as_bytes(), &modules] {
            table::uvarint(&mut info, u32::try_from(text.len()).unwrap());
            info.extend(text);
        }
        info
    }
}

/// Of cmd/go, with its three slashes.
fn build_id_note() -> Vec<u8> {
    let id = ["a", "b", "c", "d"].map(|part| part.repeat(20)).join("/");
    let mut note = Bytes(Vec::new());
    note.u32(4);
    note.u32(u32::try_from(id.len()).unwrap());
    note.u32(4);
    note.push(b"Go\0\0");
    note.push(id.as_bytes());
    note.align(4);
    note.0
}

/// Headers of these sections (name, place, size) between an empty one and that of their names, which follow.
fn section_table(sections: &[(&str, usize, usize)], is_packed: bool, start: usize, base: u64) -> Vec<u8> {
    let mut names = vec![0];
    let mut table = Bytes(vec![0; SECTION_HEADER]);
    let mut header = |name: &str, kind: u32, address: u64, place: usize, size: usize| {
        table.u32(u32::try_from(names.len()).unwrap());
        table.u32(kind);
        let [place, size] = [place, size].map(|number| u64::try_from(number).unwrap());
        // SHF_COMPRESSED, or SHF_ALLOC.
        let flags = if is_packed && name.starts_with(".debug") { 0x800 } else { 2 };
        [flags, address, place, size, 0, 1, 0].into_iter().for_each(|word| table.u64(word));
        names.extend(name.as_bytes());
        names.push(0);
    };
    for &(name, place, size) in sections {
        header(name, 1, base + u64::try_from(place).unwrap(), place, size);
    }
    let name_size = sections.iter().map(|(name, ..)| name.len() + 1).sum::<usize>() + ".shstrtab".len() + 2;
    header(".shstrtab", 3, 0, start + (sections.len() + 2) * SECTION_HEADER, name_size);
    table.push(&names);
    table.0
}

/// A file in the making.
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Bytes {
    fn len(&self) -> usize {
        self.0.len()
    }

    /// Fills up to a multiple, and says where that is.
    fn align(&mut self, to: usize) -> usize {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
        self.0.len()
    }

    fn push(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn u16(&mut self, number: u16) {
        self.push(&number.to_le_bytes());
    }

    fn u32(&mut self, number: u32) {
        self.push(&number.to_le_bytes());
    }

    fn u64(&mut self, number: u64) {
        self.push(&number.to_le_bytes());
    }
}
