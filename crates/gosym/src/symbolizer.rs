//! Link-time addresses to functions, files and lines, inlined calls included.

use std::borrow::Cow;

use crate::elf::Image;
use crate::inline_tree::{FUNCDATA_INLINE_TREE, InlinedCall, PCDATA_INLINE_INDEX, inlined_call};
use crate::moduledata::ModuleData;
use crate::pc_values::Runs;
use crate::pclntab::{Function, Pclntab};

/// Calls expanded into one another; the compiler stops far below.
pub(crate) const MAX_DEPTH: usize = 128;
/// Steps of pc-value programs spent on one address, some 40 ms. The longest functions need a tenth of it; what a damaged
/// table asks for beyond stays unknown.
const MAX_STEPS: u32 = 1 << 23;
/// What Go prints when it does not know.
pub(crate) const UNKNOWN: Cow<'static, str> = Cow::Borrowed("?");

/// Looks up addresses in a binary's function table. Copies share the table.
#[derive(Debug, Clone, Copy)]
pub struct Symbolizer<'data> {
    table: Pclntab<'data>,
    text: u64,
    end: u64,
    function_data: &'data [u8],
    /// The kind of functions that pass a call on, as this version numbers them.
    wrapper_kind: u8,
}

/// One call on a stack.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Frame<'data> {
    /// The function's name as Go's stack traces print it: type arguments are shortened to `[...]`.
    pub function: Cow<'data, str>,
    /// The source file as the compiler recorded it, `?` when it did not.
    pub file: Cow<'data, str>,
    /// The line in the file, 0 when unknown.
    pub line: u32,
    /// The call was expanded in place of into the next frame of the list.
    pub inlined: bool,
    /// The compiler made the function to pass a call on. Go leaves it out of its own traces, unless it is the innermost.
    pub wrapper: bool,
}

impl Frame<'_> {
    /// The same, with texts of its own.
    pub fn into_owned(self) -> Frame<'static> {
        let Frame { function, file, line, inlined, wrapper } = self;
        let (function, file) = (Cow::Owned(function.into_owned()), Cow::Owned(file.into_owned()));
        Frame { function, file, line, inlined, wrapper }
    }
}

/// A function of the binary.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FunctionRef {
    /// The linker's name, with type arguments in full.
    pub name: String,
    /// The link-time address of the first instruction.
    pub entry: u64,
}

impl<'data> Symbolizer<'data> {
    /// Of a program of Go 1.`minor`; of a release that is not known, the newest one.
    pub(crate) fn new(
        image: &Image<'data>,
        table: Pclntab<'data>,
        module: ModuleData,
        minor: u16,
    ) -> Symbolizer<'data> {
        let function_data = image.bytes_at(module.gofunc).unwrap_or_default();
        let wrapper_kind = wrapper_kind(minor);
        Symbolizer { table, text: module.text, end: module.end, function_data, wrapper_kind }
    }

    /// The calls that the instruction at link-time address `vaddr` belongs to, innermost first: the inlined ones, then the
    /// physical function. Empty when no Go function lies there.
    ///
    /// `vaddr` is an address *within* the instruction of interest. A return address from a stack is one of the next
    /// instruction already: subtract 1 from it. A saved program counter (`g.sched.pc`) is a return address, too.
    ///
    /// Wrappers, which Go leaves out of its own traces, are included.
    ///
    /// It runs the function's programs up to the address each time; for many addresses there is [`FrameCache`](crate::FrameCache).
    pub fn frames(&self, vaddr: u64) -> Vec<Frame<'data>> {
        let Some((function, mut offset)) = self.find(vaddr) else { return Vec::new() };
        let mut steps = MAX_STEPS;
        let mut frames = Vec::new();
        let mut last = i32::MAX;
        while let Some((number, call)) = self.inlined_at(&function, offset, &mut steps) {
            // Calls are numbered from the outermost on. In large functions the compiler has been seen to lose a place of a call, so
            // that the way outwards leads to the call itself, on which Go's own traces never end.
            if number >= last || frames.len() >= MAX_DEPTH {
                break;
            }
            frames.push(self.frame(&function, Some(call), offset, &mut steps));
            (last, offset) = (number, call.parent_offset);
        }
        frames.push(self.frame(&function, None, offset, &mut steps));
        frames
    }

    /// How far the stack pointer is below its value at the function's entry (bytes; there it points to the return address), before the
    /// instruction at link-time address `vaddr`. None when no Go function lies there, or it does not say.
    pub fn stack_delta_at(&self, vaddr: u64) -> Option<i32> {
        let (function, offset) = self.find(vaddr)?;
        self.table.run_at(function.stack_delta_program()?, offset, &mut MAX_STEPS.clone()).map(|run| run.value)
    }

    /// The physical function that holds link-time address `vaddr`. Subtract 1 from a return address first.
    pub fn function_at(&self, vaddr: u64) -> Option<FunctionRef> {
        let (function, _) = self.find(vaddr)?;
        let name = self.table.name(function.name_offset()?)?;
        Some(FunctionRef {
            name: String::from_utf8_lossy(name).into_owned(),
            entry: self.text.checked_add(function.entry)?,
        })
    }

    /// The function at an address and the address' offset from its entry.
    pub(crate) fn find(&self, vaddr: u64) -> Option<(Function<'data>, u64)> {
        if vaddr >= self.end {
            return None;
        }
        let text_offset = vaddr.checked_sub(self.text)?;
        let function = self.table.function_at(text_offset)?;
        Some((function, text_offset.checked_sub(function.entry)?))
    }

    /// The programs that give the files, the lines and the inlined calls of a function; those that it lacks are empty.
    pub(crate) fn programs(&self, function: &Function<'data>) -> [Runs<'data>; 3] {
        [function.file_program(), function.line_program(), function.pcdata_program(PCDATA_INLINE_INDEX)]
            .map(|program| self.table.runs(program.unwrap_or(0)))
    }

    /// A function's inlined call with this number; a negative one means "not inlined".
    pub(crate) fn inlined_call(&self, function: &Function<'data>, number: i32) -> Option<InlinedCall> {
        let tree = usize::try_from(function.funcdata_offset(FUNCDATA_INLINE_TREE)?).ok()?;
        inlined_call(self.function_data.get(tree..)?, number)
    }

    /// The name at an offset of the name table as Go prints it.
    pub(crate) fn name(&self, offset: Option<i32>) -> Cow<'data, str> {
        offset.and_then(|offset| self.table.name(offset)).map_or(UNKNOWN, |name| shorten_type_arguments(lossy(name)))
    }

    /// The path of the file with this number in the function's compilation unit.
    pub(crate) fn file(&self, function: &Function<'data>, number: i32) -> Option<Cow<'data, str>> {
        self.table.file(function, number).map(lossy)
    }

    /// The innermost inlined call at an offset, with its number.
    fn inlined_at(&self, function: &Function<'data>, offset: u64, steps: &mut u32) -> Option<(i32, InlinedCall)> {
        let number = self.table.value_at(function.pcdata_program(PCDATA_INLINE_INDEX)?, offset, steps)?;
        Some((number, self.inlined_call(function, number)?))
    }

    /// Whether functions of this kind only pass a call on.
    pub(crate) fn is_wrapper(&self, kind: Option<u8>) -> bool {
        kind == Some(self.wrapper_kind)
    }

    /// That of an inlined call, or else of the function itself.
    fn frame(
        &self,
        function: &Function<'data>,
        call: Option<InlinedCall>,
        offset: u64,
        steps: &mut u32,
    ) -> Frame<'data> {
        let (file, line) = self.position(function, offset, steps).unwrap_or((UNKNOWN, 0));
        let name_offset = call.map_or_else(|| function.name_offset(), |call| Some(call.name_offset));
        let kind = call.map_or_else(|| function.kind(), |call| Some(call.kind));
        Frame { function: self.name(name_offset), file, line, inlined: call.is_some(), wrapper: self.is_wrapper(kind) }
    }

    fn position(&self, function: &Function<'data>, offset: u64, steps: &mut u32) -> Option<(Cow<'data, str>, u32)> {
        let file = self.table.value_at(function.file_program()?, offset, steps)?;
        let line = self.table.value_at(function.line_program()?, offset, steps)?;
        Some((self.file(function, file)?, u32::try_from(line).ok()?))
    }
}

/// `FuncIDWrapper` of internal/abi/symtab.go, the last of a list that grows: 1.22 added `corostart`, 1.25 a second kind of finalizers.
fn wrapper_kind(minor: u16) -> u8 {
    match minor {
        ..=21 => 21,
        22..=24 => 22,
        _ => 23,
    }
}

/// Faster than `String::from_utf8_lossy` for what is no damaged name.
fn lossy(text: &[u8]) -> Cow<'_, str> {
    std::str::from_utf8(text).map_or_else(|_| String::from_utf8_lossy(text), Cow::Borrowed)
}

/// `main.Map[go.shape.int]` becomes `main.Map[...]`, as in Go's own traces (runtime.funcNameForPrint).
fn shorten_type_arguments(name: Cow<'_, str>) -> Cow<'_, str> {
    match (name.split_once('['), name.rsplit_once(']')) {
        (Some((before, rest)), Some((_, after))) if rest.contains(']') => Cow::Owned(format!("{before}[...]{after}")),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_arguments_are_shortened_as_go_does() {
        for (name, printed) in [
            ("main.f", "main.f"),
            ("main.Map[go.shape.int,go.shape.[]uint8].func1", "main.Map[...].func1"),
            ("main.(*List[go.shape.int]).Add-fm", "main.(*List[...]).Add-fm"),
            ("main.odd]name[", "main.odd]name["),
            ("main.open[", "main.open["),
        ] {
            assert_eq!(shorten_type_arguments(name.into()), printed);
        }
    }
}
