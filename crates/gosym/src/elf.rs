//! The ELF file as the kernel loads it: segments, the relocations the loader would apply, notes, and named sections.

use memchr::memmem;
use object::LittleEndian;
use object::elf::{self, FileHeader64, ProgramHeader64, SectionHeader64};
use object::read::elf::{CompressionHeader, Dyn, FileHeader, ProgramHeader, SectionHeader, Sym};

use crate::bytes::{begins_at, is_text_at, u64_at};
use crate::error::Error;

/// More load segments than any linker makes; keeps address lookups short on hostile input.
const MAX_SEGMENTS: usize = 64;

const RELA_SIZE: usize = 24;

/// A parsed ELF file.
#[derive(Debug, Clone)]
pub(crate) struct Image<'data> {
    /// The whole file.
    pub(crate) data: &'data [u8],
    /// `e_machine`.
    pub(crate) machine: u16,
    /// It is loaded wherever there is room (`ET_DYN`).
    pub(crate) is_position_independent: bool,
    /// It has a table of symbols.
    pub(crate) has_symbol_table: bool,
    /// `e_entry`: where the program begins; 0 in a library.
    entry: u64,
    segments: Vec<Segment<'data>>,
    sections: Vec<Section>,
    relocations: &'data [u8],
    /// Names that the loader uses, each with a NUL at its end.
    dynamic_names: &'data [u8],
    notes: Vec<Note<'data>>,
}

/// A `PT_LOAD` segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment<'data> {
    /// Link-time address of the first byte.
    pub(crate) vaddr: u64,
    /// Where the first byte lies in the file.
    pub(crate) file_offset: u64,
    /// The part that comes from the file.
    pub(crate) bytes: &'data [u8],
    /// Holds machine code.
    pub(crate) executable: bool,
    /// Is writable when loaded.
    pub(crate) writable: bool,
}

/// A named section that is loaded.
#[derive(Debug, Clone)]
struct Section {
    name: &'static str,
    vaddr: u64,
    size: u64,
}

/// The content of a section that is not loaded.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unloaded<'data> {
    Plain(&'data [u8]),
    /// Compressed.
    Zlib(&'data [u8]),
}

/// An ELF note.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Note<'data> {
    /// Owner, without its final zero bytes.
    pub(crate) owner: &'data [u8],
    /// Type, in the owner's numbering.
    pub(crate) kind: u32,
    /// Content.
    pub(crate) content: &'data [u8],
}

/// The only sections that are looked up by name.
const SECTIONS: [&str; 4] = [BUILD_INFO_SECTION, PCLNTAB_SECTION, PCLNTAB_SECTION_PIE, MODULEDATA_SECTION];
/// What the build info begins with.
pub(crate) const BUILD_INFO_MAGIC: &[u8; 14] = b"\xff Go buildinf:";
/// The section that holds the Go version and the module list: which files of Go's linker have, and others have not.
pub const BUILD_INFO_SECTION: &str = ".go.buildinfo";
/// Holds the function table.
pub(crate) const PCLNTAB_SECTION: &str = ".gopclntab";
/// Holds the function table of a position-independent program linked by Go itself, up to 1.25.
pub(crate) const PCLNTAB_SECTION_PIE: &str = ".data.rel.ro.gopclntab";
/// Starts with `runtime.firstmoduledata`, from 1.26 on.
pub(crate) const MODULEDATA_SECTION: &str = ".go.module";

fn has_symbol_table(header: &FileHeader64<LittleEndian>, data: &[u8]) -> bool {
    let sections = header.section_headers(LittleEndian, data).unwrap_or_default();
    sections.iter().any(|section| section.sh_type(LittleEndian) == elf::SHT_SYMTAB)
}

impl<'data> Image<'data> {
    /// Reads the headers of an ELF file.
    pub(crate) fn parse(data: &'data [u8]) -> Result<Image<'data>, Error> {
        let header = file_header(data)?;
        let headers = header
            .program_headers(LittleEndian, data)
            .map_err(|error| Error::truncated(format!("program headers: {error}")))?;
        let segments = load_segments(headers, data)?;
        let mut image = Image {
            data,
            machine: header.e_machine(LittleEndian).0,
            is_position_independent: header.e_type(LittleEndian) == elf::ET_DYN,
            has_symbol_table: has_symbol_table(header, data),
            entry: header.e_entry(LittleEndian),
            segments,
            sections: sections(header, data)?,
            relocations: &[],
            dynamic_names: &[],
            notes: notes(headers, data),
        };
        // Packers make such files, too, of programs that nobody takes for Go.
        let is_go = || memmem::find(data, BUILD_INFO_MAGIC).is_some();
        check_apart(&image.segments, data)
            .map_err(|why| if is_go() { why } else { Error::not_go("it has no Go build info") })?;
        (image.relocations, image.dynamic_names) = image.find_dynamic(headers);
        Ok(image)
    }

    /// The load segments in file order.
    pub(crate) fn segments(&self) -> &[Segment<'data>] {
        &self.segments
    }

    /// The notes.
    pub(crate) fn notes(&self) -> &[Note<'data>] {
        &self.notes
    }

    /// The segment whose file bytes hold `vaddr`.
    pub(crate) fn segment_at(&self, vaddr: u64) -> Option<&Segment<'data>> {
        self.segments.iter().find(|segment| segment.offset_of(vaddr).is_some())
    }

    /// The bytes from `vaddr` to the end of its segment.
    pub(crate) fn bytes_at(&self, vaddr: u64) -> Option<&'data [u8]> {
        let segment = self.segment_at(vaddr)?;
        segment.bytes.get(segment.offset_of(vaddr)?..)
    }

    /// Address and bytes of a named section.
    pub(crate) fn section(&self, name: &str) -> Option<(u64, &'data [u8])> {
        let section = self.sections.iter().find(|section| section.name == name)?;
        let bytes = self.bytes_at(section.vaddr)?;
        Some((section.vaddr, bytes.get(..usize::try_from(section.size).ok()?)?))
    }

    /// The segment with the code: that with the entry, or the first one.
    pub(crate) fn code_segment(&self) -> Option<&Segment<'data>> {
        let executable = || self.segments.iter().filter(|segment| segment.executable);
        executable().find(|segment| segment.offset_of(self.entry).is_some()).or_else(|| executable().next())
    }

    /// A section that is not loaded, by its name. None if there is none, or it is packed in a way that Go's linker does not use.
    pub(crate) fn unloaded_section(&self, name: &str) -> Option<Unloaded<'data>> {
        let header = file_header(self.data).ok()?;
        let (headers, names) = section_headers(header, self.data).ok()??;
        let section = headers.iter().find(|section| has_name(names, section.sh_name(LittleEndian), name))?;
        let Some((compression, offset, size)) = section.compression(LittleEndian, self.data).ok()? else {
            return section.data(LittleEndian, self.data).ok().map(Unloaded::Plain);
        };
        if compression.ch_type(LittleEndian) != elf::ELFCOMPRESS_ZLIB {
            return None;
        }
        let start = usize::try_from(offset).ok()?;
        self.data.get(start..start.checked_add(usize::try_from(size).ok()?)?).map(Unloaded::Zlib)
    }

    /// Address and size of what a symbol names. Only programs that are not stripped have symbols.
    pub(crate) fn symbol(&self, name: &str) -> Option<(u64, u64)> {
        let header = file_header(self.data).ok()?;
        let sections = header.sections(LittleEndian, self.data).ok()?;
        let symbols = sections.symbols(LittleEndian, self.data, elf::SHT_SYMTAB).ok()?;
        let names = sections.section(symbols.string_section()).ok()?.data(LittleEndian, self.data).ok()?;
        let symbol = symbols.iter().find(|symbol| has_name(names, symbol.st_name(LittleEndian), name))?;
        Some((symbol.st_value(LittleEndian), symbol.st_size(LittleEndian)))
    }

    /// `N` 8-byte words from `vaddr` on as they are after the loader has relocated them for a load at the link-time address.
    pub(crate) fn relocated_words<const N: usize>(&self, vaddr: u64) -> Option<[u64; N]> {
        let mut words = [0; N];
        self.read_relocated(vaddr, &mut words)?;
        Some(words)
    }

    /// The same for any number of words, with one pass over the relocations.
    pub(crate) fn read_relocated(&self, vaddr: u64, words: &mut [u64]) -> Option<()> {
        let bytes = self.bytes_at(vaddr)?;
        for (index, word) in words.iter_mut().enumerate() {
            *word = u64_at(bytes, index * 8)?;
        }
        for (place, value) in self.relative_relocations() {
            let Some(distance) = place.checked_sub(vaddr).filter(|distance| distance % 8 == 0) else { continue };
            if let Some(word) = usize::try_from(distance / 8).ok().and_then(|index| words.get_mut(index)) {
                *word = value;
            }
        }
        Some(())
    }

    /// The addresses of all 8-byte words, relocated or not, that hold `value`.
    pub(crate) fn words_that_hold(&self, value: u64) -> impl Iterator<Item = u64> + '_ {
        let relocated = self.relative_relocations().filter(move |&(_, addend)| addend == value).map(|(place, _)| place);
        let plain = self.segments.iter().filter(|segment| segment.writable).flat_map(move |segment| {
            segment.aligned_words().filter(move |&(_, word)| word == value).map(|(place, _)| place)
        });
        relocated.chain(plain)
    }

    /// (place, value) of the relocations that only add the load bias.
    fn relative_relocations(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let relative = if self.machine == elf::EM_AARCH64.0 { 1027 } else { 8 };
        self.relocations.chunks_exact(RELA_SIZE).filter_map(move |entry| {
            let kind = u64_at(entry, 8)? & 0xffff_ffff;
            (kind == relative).then_some((u64_at(entry, 0)?, u64_at(entry, 16)?))
        })
    }

    /// The table that `DT_RELA` names. Damage here shows later, as a runtime structure that is not found.
    /// The relocations with addends, and the names.
    fn find_dynamic(&self, headers: &[ProgramHeader64<LittleEndian>]) -> (&'data [u8], &'data [u8]) {
        let (mut relocations, mut names) = ((0, 0), (0, 0));
        let dynamic = headers.iter().find_map(|header| header.dynamic(LittleEndian, self.data).ok().flatten());
        for entry in dynamic.unwrap_or_default() {
            match entry.tag(LittleEndian) {
                elf::DT_RELA => relocations.0 = entry.val(LittleEndian),
                elf::DT_RELASZ => relocations.1 = entry.val(LittleEndian),
                elf::DT_STRTAB => names.0 = entry.val(LittleEndian),
                elf::DT_STRSZ => names.1 = entry.val(LittleEndian),
                elf::DT_NULL => break,
                _ => {}
            }
        }
        let table = |(address, size): (u64, u64)| self.bytes_at(address)?.get(..usize::try_from(size).ok()?);
        (table(relocations).unwrap_or_default(), table(names).unwrap_or_default())
    }

    /// Whether the loader gives the program, or takes from it, something of this name.
    pub(crate) fn has_dynamic_name(&self, name: &str) -> bool {
        let mut found = memmem::find_iter(self.dynamic_names, name);
        found.any(|at| begins_at(self.dynamic_names, at) && is_text_at(self.dynamic_names, at, name))
    }
}

impl<'data> Segment<'data> {
    /// Where `vaddr` lies in the segment's file bytes.
    pub(crate) fn offset_of(&self, vaddr: u64) -> Option<usize> {
        let offset = usize::try_from(vaddr.checked_sub(self.vaddr)?).ok()?;
        (offset < self.bytes.len()).then_some(offset)
    }

    /// (address, value) of the words at addresses that are multiples of 8.
    pub(crate) fn aligned_words(self) -> impl Iterator<Item = (u64, u64)> + use<'data> {
        let start = usize::try_from(self.vaddr.wrapping_neg() % 8).unwrap_or(0);
        let bytes = self.bytes.get(start..).unwrap_or_default();
        (0_u64..).zip(bytes.chunks_exact(8)).filter_map(move |(index, word)| {
            let place = self.vaddr.checked_add(self.vaddr.wrapping_neg() % 8)?.checked_add(index * 8)?;
            Some((place, u64_at(word, 0)?))
        })
    }
}

fn file_header(data: &[u8]) -> Result<&FileHeader64<LittleEndian>, Error> {
    if !data.starts_with(&elf::ELFMAG) {
        return Err(Error::not_elf("the first bytes are not \\x7fELF"));
    }
    if data.len() < size_of::<FileHeader64<LittleEndian>>() {
        return Err(Error::truncated("the file ends inside the ELF header"));
    }
    let header = FileHeader64::<LittleEndian>::parse(data).map_err(|_| Error::not_elf("not a 64-bit file"))?;
    header.endian().map_err(|_| Error::not_elf("not little-endian"))?;
    Ok(header)
}

fn load_segments<'data>(
    headers: &[ProgramHeader64<LittleEndian>],
    data: &'data [u8],
) -> Result<Vec<Segment<'data>>, Error> {
    let loads = || headers.iter().filter(|header| header.p_type(LittleEndian) == elf::PT_LOAD);
    if loads().count() > MAX_SEGMENTS {
        return Err(Error::garbled(format!("more than {MAX_SEGMENTS} load segments")));
    }
    let segments: Vec<_> = loads().map(|header| load_segment(header, data)).collect::<Result<_, _>>()?;
    Ok(segments)
}

/// Overlapping segments would make an address mean two things, and a small file as much work as a large one.
fn check_apart(segments: &[Segment<'_>], data: &[u8]) -> Result<(), Error> {
    let mut free_from = 0;
    for segment in segments.iter().filter(|segment| !segment.bytes.is_empty()) {
        let size = u64::try_from(segment.bytes.len()).unwrap_or(u64::MAX);
        let end = segment.vaddr.checked_add(size).filter(|_| segment.vaddr >= free_from);
        free_from = end.ok_or_else(|| Error::garbled(format!("the load segment at {:#x} overlaps", segment.vaddr)))?;
    }
    let loaded: usize = segments.iter().map(|segment| segment.bytes.len()).sum();
    if loaded > data.len() {
        return Err(Error::garbled("load segments share parts of the file"));
    }
    Ok(())
}

fn load_segment<'data>(header: &ProgramHeader64<LittleEndian>, data: &'data [u8]) -> Result<Segment<'data>, Error> {
    let (file_offset, size) = header.file_range(LittleEndian);
    let bytes = header.data(LittleEndian, data).map_err(|()| {
        Error::truncated(format!("a load segment needs bytes {file_offset} to {}", file_offset.saturating_add(size)))
    })?;
    let flags = header.p_flags(LittleEndian).0;
    Ok(Segment {
        vaddr: header.p_vaddr(LittleEndian),
        file_offset,
        bytes,
        executable: flags & elf::PF_X.0 != 0,
        writable: flags & elf::PF_W.0 != 0,
    })
}

/// The sections of `SECTIONS`.
fn sections(header: &FileHeader64<LittleEndian>, data: &[u8]) -> Result<Vec<Section>, Error> {
    let Some((headers, names)) = section_headers(header, data)? else { return Ok(Vec::new()) };
    Ok(headers.iter().filter_map(|section| wanted_section(section, names)).collect())
}

/// Headers of sections, and the table of their names.
type Headers<'data> = (&'data [SectionHeader64<LittleEndian>], &'data [u8]);

/// Those of all sections; None for a file that has none.
fn section_headers<'data>(
    header: &FileHeader64<LittleEndian>,
    data: &'data [u8],
) -> Result<Option<Headers<'data>>, Error> {
    let damaged = |error| Error::truncated(format!("section headers: {error}"));
    let headers = header.section_headers(LittleEndian, data).map_err(damaged)?;
    if headers.is_empty() {
        return Ok(None);
    }
    let names = header.section_strings_index(LittleEndian, data).map_err(damaged)?;
    let names = headers.get(names.0).and_then(|section| section.data(LittleEndian, data).ok());
    let names = names.ok_or_else(|| Error::truncated("the section names lie outside of the file"))?;
    Ok(Some((headers, names)))
}

fn has_name(names: &[u8], offset: u32, name: &str) -> bool {
    usize::try_from(offset).is_ok_and(|offset| is_text_at(names, offset, name))
}

fn wanted_section(section: &SectionHeader64<LittleEndian>, names: &[u8]) -> Option<Section> {
    let name = SECTIONS.into_iter().find(|name| has_name(names, section.sh_name(LittleEndian), name))?;
    Some(Section { name, vaddr: section.sh_addr(LittleEndian), size: section.sh_size(LittleEndian) })
}

/// The notes up to the first damaged one of each segment.
fn notes<'data>(headers: &[ProgramHeader64<LittleEndian>], data: &'data [u8]) -> Vec<Note<'data>> {
    let mut notes = Vec::new();
    for header in headers.iter().take(2 * MAX_SEGMENTS) {
        let Ok(Some(mut entries)) = header.notes(LittleEndian, data) else { continue };
        while let (Ok(Some(note)), true) = (entries.next(), notes.len() < MAX_NOTES) {
            notes.push(Note { owner: note.name(), kind: note.n_type(LittleEndian).0, content: note.desc() });
        }
    }
    notes
}

/// Linkers write a handful of notes.
const MAX_NOTES: usize = 256;
