//! A file of code that a process has mapped beside its executable: its identity, and where its code was linked to be.

use std::fs::File;
use std::io;

use object::elf::{PT_LOAD, ProgramHeader64};
use object::read::elf::{ElfFile64, ProgramHeader as _};
use object::{Endianness, Object as _, ReadCache, ReadRef as _};
use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

use super::reader::Bounded;
use crate::capture::executable::FileId;

/// Bytes of a file without a build id that its identity is made of, beside its length.
const IDENTIFYING_BYTES: u64 = 32 << 20;
/// Bytes read at most to find out what it is: its headers and notes, and those.
const MOST_BYTES: u64 = IDENTIFYING_BYTES + (8 << 20);
/// Segments looked at; files have some ten.
const MOST_SEGMENTS: usize = 64;
/// Seeds of the hashes of a build id, and of content.
const BY_BUILD_ID: u64 = 2;
const BY_CONTENT: u64 = 3;

/// An open file of code. It is read only through this handle, so that it may be deleted or replaced.
#[derive(Debug)]
pub(in crate::capture) struct Module {
    /// Its name without its directories.
    pub(super) name: String,
    /// The same for all copies of one build.
    pub(super) build_id: u64,
    /// It holds its process's Go code, whose names are asked for elsewhere, and may get from elsewhere.
    pub(super) is_executable: bool,
    file: File,
    id: FileId,
    segments: Vec<Segment>,
}

/// A part of the file that is loaded: bytes of the file, and where they were linked to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    file_offset: u64,
    size: u64,
    vaddr: u64,
}

impl Module {
    /// Of a file that is mapped into a process.
    ///
    /// # Errors
    /// If it cannot be read, or is no ELF file.
    pub(super) fn of(file: File, name: String) -> io::Result<Self> {
        let id = FileId::of(&file.metadata()?);
        let reader = Bounded::of(&file, MOST_BYTES)?;
        let elf = ElfFile64::<Endianness, _>::parse(&reader).map_err(io::Error::other)?;
        let by_build_id = elf.build_id().ok().flatten().map(|id| xxh3_64_with_seed(id, BY_BUILD_ID));
        let build_id = by_build_id.or_else(|| hash_of_content(&reader));
        let build_id = build_id.ok_or_else(|| io::Error::other("it cannot be read"))?;
        let segments = segments(&elf);
        Ok(Self { name, build_id, is_executable: false, file, id, segments })
    }

    /// The executable of a process, whose build id is known.
    ///
    /// # Errors
    /// If it cannot be opened again.
    pub(in crate::capture) fn of_executable(file: &File, id: FileId, name: String, build_id: u64) -> io::Result<Self> {
        let file = file.try_clone()?;
        Ok(Self { name, build_id, is_executable: true, file, id, segments: Vec::new() })
    }

    /// The link-time address of a byte of the file; none if it is not loaded.
    pub(super) fn vaddr_of(&self, file_offset: u64) -> Option<u64> {
        let holds =
            |segment: &&Segment| file_offset.checked_sub(segment.file_offset).is_some_and(|at| at < segment.size);
        let segment = self.segments.iter().find(holds)?;
        Some(segment.vaddr.wrapping_add(file_offset - segment.file_offset))
    }

    /// Reads not more than `most` bytes of it; none if it is not any more what was mapped.
    pub(super) fn reader(&self, most: u64) -> Option<ReadCache<Bounded>> {
        let is_unchanged = self.file.metadata().is_ok_and(|metadata| FileId::of(&metadata) == self.id);
        is_unchanged.then(|| Bounded::of(&self.file, most).ok()).flatten()
    }
}

fn hash_of_content(reader: &ReadCache<Bounded>) -> Option<u64> {
    const STEP: u64 = 1 << 20;
    let len = reader.len().ok()?;
    let mut hash = Xxh3::with_seed(BY_CONTENT);
    hash.update(&len.to_le_bytes());
    let end = len.min(IDENTIFYING_BYTES);
    let mut at = 0;
    while at < end {
        let step = STEP.min(end - at);
        hash.update(reader.read_bytes_at(at, step).ok()?);
        at += step;
    }
    Some(hash.digest())
}

fn segments<'a>(elf: &ElfFile64<'a, Endianness, &'a ReadCache<Bounded>>) -> Vec<Segment> {
    let endian = elf.endian();
    let loaded = elf.elf_program_headers().iter().filter(|header| header.p_type(endian) == PT_LOAD);
    let segment = |header: &ProgramHeader64<Endianness>| Segment {
        file_offset: header.p_offset(endian),
        size: header.p_filesz(endian),
        vaddr: header.p_vaddr(endian),
    };
    loaded.take(MOST_SEGMENTS).map(segment).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_itself() -> Module {
        Module::of(File::open("/proc/self/exe").unwrap(), "test".to_owned()).unwrap()
    }

    #[test]
    fn copies_of_a_file_have_one_identity() {
        let dir = tempfile::tempdir().unwrap();
        let copy = dir.path().join("copy");
        std::fs::copy("/proc/self/exe", &copy).unwrap();
        let module = Module::of(File::open(&copy).unwrap(), "copy".to_owned()).unwrap();
        assert_eq!(module.build_id, of_itself().build_id);
    }

    #[test]
    fn a_place_in_the_file_has_a_link_time_address() {
        let module = of_itself();
        let code =
            *module.segments.iter().find(|segment| segment.vaddr != segment.file_offset).unwrap_or(&module.segments[0]);
        assert_eq!(module.vaddr_of(code.file_offset), Some(code.vaddr));
        assert_eq!(module.vaddr_of(code.file_offset + code.size - 1), Some(code.vaddr + code.size - 1));
        assert_eq!(module.vaddr_of(u64::MAX), None);
    }

    #[test]
    fn what_was_changed_since_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::copy("/proc/self/exe", &path).unwrap();
        let module = Module::of(File::open(&path).unwrap(), "file".to_owned()).unwrap();
        assert!(module.reader(1).is_some());
        File::options().write(true).open(&path).unwrap().set_len(100).unwrap();
        assert!(module.reader(1).is_none());
        assert!(Module::of(File::open(&path).unwrap(), "file".to_owned()).is_err(), "it is none any more");
    }

    #[test]
    fn what_is_no_elf_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("text");
        std::fs::write(&path, "text").unwrap();
        assert!(Module::of(File::open(&path).unwrap(), "text".to_owned()).is_err());
    }
}
