//! The function table ("pclntab") that every Go program carries for its own stack traces, stripped or not.
//!
//! Layout since 1.20 (magic 0xfffffff1; cmd/link/internal/ld/pcln.go and runtime/symtab.go): a header of 72 bytes, then
//! function names, compilation units' file indices, file names, pc-value programs, and at last the functions: an array of
//! (entry, offset of the record) sorted by entry, and the records. Entries are offsets from `runtime.text`.

use memchr::memmem;

use crate::bytes::{begins_at, i32_at, is_text_at, text_at, u32_at, u64_at};
use crate::pc_values::{Run, Runs};

pub(crate) const MAGIC: u32 = 0xffff_fff1;
const HEADER_SIZE: u64 = 72;
const FUNCTAB_ENTRY: usize = 8;
/// Size of the fixed part of a function record; pcdata and funcdata offsets follow it.
const RECORD_SIZE: usize = 44;
/// A function has at most one wrapper for each calling convention.
const MAX_NAMESAKES: usize = 4;

/// Views into the function table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pclntab<'data> {
    /// Link-time address of the table.
    pub(crate) vaddr: u64,
    /// Link-time address of the function names, for comparison with moduledata.
    pub(crate) names_vaddr: u64,
    /// Link-time address of the array of functions, for comparison with moduledata.
    pub(crate) functions_vaddr: u64,
    /// Number of functions.
    pub(crate) count: usize,
    /// Bytes by which pc-value programs count: 1 on amd64, 4 on arm64.
    pub(crate) quantum: u64,
    names: &'data [u8],
    units: &'data [u8],
    files: &'data [u8],
    programs: &'data [u8],
    functions: &'data [u8],
}

/// A function of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Function<'data> {
    /// First byte, as an offset from the start of the text.
    pub(crate) entry: u64,
    /// The first byte of the next function.
    pub(crate) end: u64,
    record: &'data [u8],
}

impl<'data> Pclntab<'data> {
    /// Reads a header at `vaddr`; `bytes` go from there to the end of what may belong to the table. None when this is no
    /// function table.
    pub(crate) fn parse(vaddr: u64, bytes: &'data [u8]) -> Option<Pclntab<'data>> {
        let [quantum, pointer_size] = *bytes.get(6..8)? else { return None };
        let well_known = u32_at(bytes, 0)? == MAGIC && bytes.get(4..6)? == [0, 0] && pointer_size == 8;
        if !well_known || !matches!(quantum, 1 | 4) {
            return None;
        }
        let offset = |index: usize| u64_at(bytes, index * 8);
        let (names, units, files, programs, functions) = (offset(4)?, offset(5)?, offset(6)?, offset(7)?, offset(8)?);
        if names < HEADER_SIZE {
            return None;
        }
        let part = |start: u64, end: u64| bytes.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?);
        let table = Pclntab {
            vaddr,
            names_vaddr: vaddr.checked_add(names)?,
            functions_vaddr: vaddr.checked_add(functions)?,
            count: usize::try_from(offset(1)?).ok()?,
            quantum: u64::from(quantum),
            names: part(names, units)?,
            units: part(units, files)?,
            files: part(files, programs)?,
            programs: part(programs, functions)?,
            functions: bytes.get(usize::try_from(functions).ok()?..)?,
        };
        let array = table.count.checked_mul(FUNCTAB_ENTRY)?.checked_add(4)?;
        (table.count > 0 && array <= table.functions.len()).then_some(table)
    }

    /// The function at position `index` of the table.
    pub(crate) fn function(&self, index: usize) -> Option<Function<'data>> {
        if index >= self.count {
            return None;
        }
        let record = u32_at(self.functions, index * FUNCTAB_ENTRY + 4)?;
        Some(Function {
            entry: u64::from(self.entry(index)?),
            end: u64::from(self.entry(index + 1)?),
            record: self.functions.get(usize::try_from(record).ok()?..)?,
        })
    }

    /// The function that holds the byte at `text_offset` from the start of the text.
    pub(crate) fn function_at(&self, text_offset: u64) -> Option<Function<'data>> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if u64::from(self.entry(middle)?) <= text_offset { low = middle + 1 } else { high = middle }
        }
        self.function(low.checked_sub(1)?).filter(|function| text_offset < function.end)
    }

    /// The name at `offset` of the name table.
    pub(crate) fn name(&self, offset: i32) -> Option<&'data [u8]> {
        text_at(self.names, usize::try_from(offset).ok()?)
    }

    /// Whether a name starts at `offset` of the name table, and no other one goes on there.
    pub(crate) fn is_name(&self, offset: i32) -> bool {
        let Ok(offset) = usize::try_from(offset) else { return false };
        begins_at(self.names, offset) && text_at(self.names, offset).is_some_and(|name| !name.is_empty())
    }

    /// The path of the file with number `index` of the function's compilation unit.
    pub(crate) fn file(&self, function: &Function<'data>, index: i32) -> Option<&'data [u8]> {
        let index = usize::try_from(function.unit_offset()?).ok()?.checked_add(usize::try_from(index).ok()?)?;
        let offset = u32_at(self.units, index.checked_mul(4)?)?;
        text_at(self.files, usize::try_from(offset).ok()?)
    }

    /// Whether a function bears exactly this name; no more is read than `name` is long.
    pub(crate) fn has_name(&self, function: &Function<'data>, name: &str) -> bool {
        let start = function.name_offset().and_then(|offset| usize::try_from(offset).ok());
        start.is_some_and(|start| is_text_at(self.names, start, name))
    }

    /// The functions with this name: one may have wrappers for other calling conventions, each with a copy of the name.
    ///
    /// The name is looked for first, and then for the function that refers to it, each from the start: those of the runtime come
    /// early, so that a few pages are read. A name that is not there costs a pass over the names, and none over the functions.
    pub(crate) fn functions_named(&self, name: &str) -> impl Iterator<Item = Function<'data>> + use<'_, 'data> {
        let whole = [name.as_bytes(), b"\0"].concat();
        let mut searched = 0;
        let names = std::iter::from_fn(move || {
            let found = searched + memmem::find(self.names.get(searched..)?, &whole)?;
            searched = found + 1;
            Some(found)
        });
        // Not the end of a longer name.
        let offsets = names.filter(|at| begins_at(self.names, *at)).filter_map(|at| i32::try_from(at).ok());
        offsets.take(MAX_NAMESAKES).flat_map(|offset| self.functions_with_name_at(offset)).take(MAX_NAMESAKES)
    }

    fn functions_with_name_at(&self, offset: i32) -> impl Iterator<Item = Function<'data>> + use<'_, 'data> {
        (0..self.count).filter_map(|index| self.function(index)).filter(move |it| it.name_offset() == Some(offset))
    }

    /// The runs of the pc-value program at `program`; 0 means that there is none.
    pub(crate) fn runs(&self, program: u32) -> Runs<'data> {
        let program = usize::try_from(program).ok().filter(|&program| program != 0);
        let program = program.and_then(|program| self.programs.get(program..)).unwrap_or_default();
        Runs::new(program, self.quantum)
    }

    /// The value of the pc-value program at `program` for the byte `pc_offset` of a function.
    pub(crate) fn value_at(&self, program: u32, pc_offset: u64, steps: &mut u32) -> Option<i32> {
        self.run_at(program, pc_offset, steps).map(|run| run.value)
    }

    /// Like `value_at`, with the offset of the first byte that has another value. `steps` is what the caller is ready to spend, so that
    /// a damaged program cannot take forever.
    pub(crate) fn run_at(&self, program: u32, pc_offset: u64, steps: &mut u32) -> Option<Run> {
        let within = |run: &Run| {
            *steps = steps.saturating_sub(1);
            *steps == 0 || pc_offset < run.end
        };
        self.runs(program).find(within).filter(|run| pc_offset < run.end)
    }

    fn entry(&self, index: usize) -> Option<u32> {
        u32_at(self.functions, index * FUNCTAB_ENTRY)
    }
}

impl Function<'_> {
    /// Where its record lies in memory: of a damaged table two functions may have the same entry.
    pub(crate) fn record_address(&self) -> usize {
        self.record.as_ptr().addr()
    }

    /// The entry that the record repeats; equal to `entry` unless the table was tampered with.
    pub(crate) fn recorded_entry(&self) -> Option<u32> {
        u32_at(self.record, 0)
    }

    /// Offset of the name in the name table.
    pub(crate) fn name_offset(&self) -> Option<i32> {
        i32_at(self.record, 4)
    }

    /// The program that gives the distance from the stack pointer to the caller's frame.
    pub(crate) fn stack_delta_program(&self) -> Option<u32> {
        u32_at(self.record, 16)
    }

    /// The program that gives the file number.
    pub(crate) fn file_program(&self) -> Option<u32> {
        u32_at(self.record, 20)
    }

    /// The program that gives the line.
    pub(crate) fn line_program(&self) -> Option<u32> {
        u32_at(self.record, 24)
    }

    /// The program of per-pc table `index`.
    pub(crate) fn pcdata_program(&self, index: u8) -> Option<u32> {
        let index = u32::from(index);
        if index >= self.pcdata_count()? {
            return None;
        }
        u32_at(self.record, RECORD_SIZE + usize::try_from(index).ok()? * 4)
    }

    /// Offset of function data `index` from `moduledata.gofunc`.
    pub(crate) fn funcdata_offset(&self, index: u8) -> Option<u32> {
        if index >= *self.record.get(RECORD_SIZE - 1)? {
            return None;
        }
        let start = usize::try_from(self.pcdata_count()?).ok()?.checked_mul(4)?.checked_add(RECORD_SIZE)?;
        u32_at(self.record, start.checked_add(usize::from(index) * 4)?).filter(|&offset| offset != u32::MAX)
    }

    fn pcdata_count(&self) -> Option<u32> {
        u32_at(self.record, 28)
    }

    /// The kind of function (internal/abi/symtab.go, `FuncID`).
    pub(crate) fn kind(&self) -> Option<u8> {
        self.record.get(40).copied()
    }

    fn unit_offset(&self) -> Option<u32> {
        u32_at(self.record, 32)
    }
}
