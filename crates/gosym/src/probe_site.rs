//! Where to place the probes: the `push %rbp` of a function's prologue.
//!
//! Not the entry: Go's first instruction (the comparison with the stack guard) must be single-stepped by the kernel, which
//! costs some 25 us a hit, whereas the push is emulated; at the push the frame-pointer chain misses no caller; and the push
//! is passed only once when the stack has to grow first.
//!
//! A site is given only when two independent witnesses agree: the machine code has one of the prologue shapes of Go 1.21 and
//! later, and the function table says that just this instruction moves the stack pointer down by 8.

use crate::elf::Image;
use crate::error::Error;
use crate::moduledata::ModuleData;
use crate::pc_values::Run;
use crate::pclntab::{Function, Pclntab};
use crate::state_sites::StateSites;

/// Length of `ProbeSite::expected`.
pub const EXPECTED_LENGTH: usize = 16;

/// The instructions at which a probe learns that a goroutine parks, becomes ready, and runs again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeSites {
    /// `runtime.gopark`: g = r14, wait reason = cl.
    pub gopark: ProbeSite,
    /// `runtime.ready`: the goroutine that becomes ready = rax, the waker's g or g0 = r14.
    pub ready: ProbeSite,
    /// `runtime.execute`: the goroutine that will run = rax.
    pub execute: ProbeSite,
    /// `runtime.netpollready`: pollDesc = rbx, mode = ecx (0x72 read, 0x77 write, 0xe9 both).
    pub netpollready: ProbeSite,
    /// Where goroutines go to C code and come back; None for a program that calls none.
    pub cgo: Option<CgoSites>,
    /// Where else goroutines change their state; None where that is not of a known shape.
    pub states: Option<StateSites>,
}

/// The two call instructions of `runtime.cgocall`: g = r14 at both. The kernel emulates calls, as it does the push, and none but calls
/// of C functions pass here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CgoSites {
    /// The call of `runtime.asmcgocall`.
    pub enter: ProbeSite,
    /// The call of `runtime.exitsyscall` behind it.
    pub exit: ProbeSite,
    /// Where C code calls back.
    pub callback: Option<CallbackSites>,
}

/// The two call instructions of `runtime.cgocallbackg` between which Go code runs that C code has called: g = r14 at both. All of C's
/// calls of Go pass here, those by threads that C made as well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackSites {
    /// The call of `runtime.exitsyscall`.
    pub enter: ProbeSite,
    /// The call of `runtime.reentersyscall` behind it.
    pub exit: ProbeSite,
}

/// One instruction to probe. All addresses are link-time addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeSite {
    /// Address of the instruction.
    pub vaddr: u64,
    /// Where the instruction lies in the file; uprobes are attached by this number.
    pub file_offset: u64,
    /// The bytes from the instruction on. Compare them with the file again right before attaching: a probe that lands
    /// within another instruction destroys the program.
    pub expected: [u8; EXPECTED_LENGTH],
    /// Address of the function's first instruction.
    pub function_vaddr: u64,
}

/// Frames are linked at the push, except where a version compiles the function without a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frameless {
    Refused,
    /// The entry instruction is probed: this function's caller is of no interest.
    EntryProbed,
}

pub(crate) fn probe_sites(image: &Image<'_>, table: &Pclntab<'_>, module: ModuleData) -> Result<ProbeSites, Error> {
    let finder = Finder { image, table, module };
    Ok(ProbeSites {
        gopark: finder.site("runtime.gopark", Frameless::Refused)?,
        ready: finder.site("runtime.ready", Frameless::Refused)?,
        execute: finder.site("runtime.execute", Frameless::Refused)?,
        netpollready: finder.site("runtime.netpollready", Frameless::EntryProbed)?,
        cgo: finder.cgo_sites(),
        states: finder.state_sites(),
    })
}

/// Finds instructions by the names of their functions.
pub(crate) struct Finder<'image, 'data> {
    image: &'image Image<'data>,
    table: &'image Pclntab<'data>,
    module: ModuleData,
}

impl<'data> Finder<'_, 'data> {
    pub(crate) fn site(&self, name: &'static str, frameless: Frameless) -> Result<ProbeSite, Error> {
        let function = self.function(name)?;
        let outside = || Error::garbled(format!("{name} lies outside of the program's code"));
        let entry = self.module.text.checked_add(function.entry).ok_or_else(outside)?;
        let code = self.image.bytes_at(entry).ok_or_else(outside)?;
        let length = usize::try_from(function.end.saturating_sub(function.entry)).unwrap_or(usize::MAX);
        let code = code.get(..length).ok_or_else(outside)?;
        let offset = self.place(&function, code, frameless).map_err(|what| unknown(name, entry, what, code))?;
        self.at(entry, offset).ok_or_else(outside)
    }

    /// Where in the function the probe goes.
    fn place(&self, function: &Function<'data>, code: &[u8], frameless: Frameless) -> Result<u64, &'static str> {
        match push_offset(code) {
            Some(offset) if self.push_is_recorded(function, offset) => Ok(offset),
            Some(_) => Err("the function table knows no push there"),
            None if frameless == Frameless::EntryProbed && self.is_frameless(function) => Ok(0),
            None => Err("the prologue has none of the known shapes"),
        }
    }

    /// None for a program without C code (`runtime.cgocall` is in all of them, what its callbacks return through is not), or where
    /// `runtime.cgocall` is not of the known shape.
    fn cgo_sites(&self) -> Option<CgoSites> {
        if !self.calls_c() {
            return None;
        }
        let caller = self.function("runtime.cgocall").ok()?;
        let [enter, exit] = self.two_calls(&caller, "runtime.asmcgocall", "runtime.exitsyscall")?;
        Some(CgoSites { enter, exit, callback: self.callback_sites() })
    }

    fn callback_sites(&self) -> Option<CallbackSites> {
        let caller = self.function("runtime.cgocallbackg").ok()?;
        let [enter, exit] = self.two_calls(&caller, "runtime.exitsyscall", "runtime.reentersyscall")?;
        Some(CallbackSites { enter, exit })
    }

    /// A function's first call of the one of this name, and behind it the first one of the second.
    fn two_calls(&self, caller: &Function<'data>, first: &str, second: &str) -> Option<[ProbeSite; 2]> {
        let calls = self.calls(caller)?;
        let one = calls.iter().position(|&(_, target)| self.begins_at(first, target))?;
        let other = calls.iter().skip(one).find(|&&(_, target)| self.begins_at(second, target))?;
        let at = |offset| self.instruction(caller, offset).filter(|site| site.expected[0] == CALL);
        Some([at(calls[one].0)?, at(other.0)?])
    }

    /// The instruction at this offset from a function's entry.
    pub(crate) fn instruction(&self, function: &Function<'data>, offset: u64) -> Option<ProbeSite> {
        self.at(self.module.text.checked_add(function.entry)?, offset)
    }

    /// Whether the program has functions written in C.
    pub(crate) fn calls_c(&self) -> bool {
        self.table.functions_named("crosscall2").next().is_some()
    }

    /// Whether a function of this name begins at this offset of the code: it, or one of its wrappers for other calling conventions.
    pub(crate) fn begins_at(&self, name: &str, text_offset: u64) -> bool {
        let function = self.table.function_at(text_offset).filter(|function| function.entry == text_offset);
        function.is_some_and(|function| self.table.has_name(&function, name))
    }

    /// Offsets of what may be calls of other functions, and their targets as offsets into the code. That a target is just where a
    /// function begins tells the real ones.
    pub(crate) fn calls(&self, function: &Function<'data>) -> Option<Vec<(u64, u64)>> {
        let code = self.image.bytes_at(self.module.text.checked_add(function.entry)?)?;
        let length = usize::try_from(function.end.saturating_sub(function.entry)).ok()?;
        let call = |(offset, bytes): (usize, &[u8])| {
            let displacement = bytes.strip_prefix(&[CALL])?.first_chunk().copied().map(i32::from_le_bytes)?;
            let offset = u64::try_from(offset).ok()?;
            let next = function.entry.checked_add(offset)?.checked_add(CALL_BYTES as u64)?;
            Some((offset, next.checked_add_signed(displacement.into())?))
        };
        Some(code.get(..length)?.windows(CALL_BYTES).enumerate().filter_map(call).collect())
    }

    /// The function with this name that is not a wrapper made for calls from assembly.
    pub(crate) fn function(&self, name: &'static str) -> Result<Function<'data>, Error> {
        self.table
            .functions_named(name)
            .find(|function| !self.is_wrapper(function))
            .ok_or_else(|| Error::garbled(format!("the function table has no {name}")))
    }

    fn is_wrapper(&self, function: &Function<'data>) -> bool {
        let file = function.file_program().and_then(|program| self.table.value_at(program, 0, &mut MAX_STEPS.clone()));
        file.and_then(|file| self.table.file(function, file)) == Some(b"<autogenerated>")
    }

    fn push_is_recorded(&self, function: &Function<'data>, offset: u64) -> bool {
        self.stack_delta(function, offset).map(|run| run.value) == Some(0)
            && self.stack_delta(function, offset + 1).map(|run| run.value) == Some(8)
    }

    fn is_frameless(&self, function: &Function<'data>) -> bool {
        let first = self.stack_delta(function, 0);
        first.is_some_and(|run| run.value == 0 && self.stack_delta(function, run.end).is_none())
    }

    /// How far the stack pointer is below its value at the entry, and up to which offset.
    fn stack_delta(&self, function: &Function<'data>, offset: u64) -> Option<Run> {
        self.table.run_at(function.stack_delta_program()?, offset, &mut MAX_STEPS.clone())
    }

    fn at(&self, entry: u64, offset: u64) -> Option<ProbeSite> {
        let vaddr = entry.checked_add(offset)?;
        let segment = self.image.segment_at(vaddr).filter(|segment| segment.executable)?;
        let within = segment.offset_of(vaddr)?;
        let bytes = segment.bytes.get(within..within.checked_add(EXPECTED_LENGTH)?)?;
        Some(ProbeSite {
            vaddr,
            file_offset: segment.file_offset.checked_add(u64::try_from(within).ok()?)?,
            expected: bytes.try_into().ok()?,
            function_vaddr: entry,
        })
    }
}

/// The prologue and the first run of a small runtime function are a matter of a few steps.
const MAX_STEPS: u32 = 1 << 16;

/// `call` with a displacement of 32 bits.
pub(crate) const CALL: u8 = 0xe8;
const CALL_BYTES: usize = 5;
/// `push %rbp; mov %rsp,%rbp`.
const LINK_FRAME: [u8; 4] = [0x55, 0x48, 0x89, 0xe5];
/// `cmp 0x10(%r14),%rsp`: the stack guard of a small frame.
const COMPARE_STACK: [u8; 4] = [0x49, 0x3b, 0x66, 0x10];
/// `cmp 0x18(%r14),%rsp`: the same of a function that runs on the scheduling stack only.
const COMPARE_SYSTEM_STACK: [u8; 4] = [0x49, 0x3b, 0x66, 0x18];
/// `cmp 0x10(%r14),%r12`: the stack guard of a large frame, after `lea -n(%rsp),%r12`.
const COMPARE_R12: [u8; 4] = [0x4d, 0x3b, 0x66, 0x10];
/// `lea -n(%rsp),%r12` with a displacement of one byte.
const LEA_SHORT: [u8; 4] = [0x4c, 0x8d, 0x64, 0x24];
/// The same with four bytes.
const LEA_LONG: [u8; 4] = [0x4c, 0x8d, 0xa4, 0x24];

/// The offset of the push in the shapes that the compiler has made since 1.21:
/// [ [lea] cmp; jbe ] push; mov.
fn push_offset(code: &[u8]) -> Option<u64> {
    let rest = code.strip_prefix(&LINK_FRAME).map(|_| code).or_else(|| after_guard(code))?;
    rest.strip_prefix(&LINK_FRAME)?;
    u64::try_from(code.len().checked_sub(rest.len())?).ok()
}

fn after_guard(code: &[u8]) -> Option<&[u8]> {
    let short = || code.strip_prefix(&LEA_SHORT)?.get(1..)?.strip_prefix(&COMPARE_R12);
    let long = || code.strip_prefix(&LEA_LONG)?.get(4..)?.strip_prefix(&COMPARE_R12);
    let small = code.strip_prefix(&COMPARE_STACK).or_else(|| code.strip_prefix(&COMPARE_SYSTEM_STACK));
    let jump = small.or_else(short).or_else(long)?;
    match jump {
        [0x76, _, rest @ ..] | [0x0f, 0x86, _, _, _, _, rest @ ..] => Some(rest),
        _ => None,
    }
}

fn unknown(function: &'static str, address: u64, what: &'static str, code: &[u8]) -> Error {
    let bytes = code.iter().take(EXPECTED_LENGTH).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    Error::UnknownPrologue { function, address, what, bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset_of(parts: &[&[u8]]) -> Option<u64> {
        push_offset(&parts.concat())
    }

    #[test]
    fn the_known_shapes_are_decoded() {
        const SHORT_JUMP: &[u8] = &[0x76, 0x20];
        const LONG_JUMP: &[u8] = &[0x0f, 0x86, 0xdc, 0, 0, 0];
        assert_eq!(offset_of(&[&LINK_FRAME]), Some(0));
        assert_eq!(offset_of(&[&COMPARE_STACK, SHORT_JUMP, &LINK_FRAME]), Some(6));
        assert_eq!(offset_of(&[&COMPARE_STACK, LONG_JUMP, &LINK_FRAME]), Some(10));
        assert_eq!(offset_of(&[&COMPARE_SYSTEM_STACK, SHORT_JUMP, &LINK_FRAME]), Some(6));
        assert_eq!(offset_of(&[&LEA_SHORT, &[0xf8], &COMPARE_R12, SHORT_JUMP, &LINK_FRAME]), Some(11));
        assert_eq!(offset_of(&[&LEA_LONG, &[0, 0xff, 0xff, 0xff], &COMPARE_R12, LONG_JUMP, &LINK_FRAME]), Some(18));
    }

    #[test]
    fn other_code_is_refused() {
        assert_eq!(offset_of(&[]), None);
        assert_eq!(offset_of(&[&[0x55]]), None);
        assert_eq!(offset_of(&[&[0x90], &LINK_FRAME]), None);
        assert_eq!(offset_of(&[&COMPARE_STACK, &LINK_FRAME]), None);
        assert_eq!(offset_of(&[&COMPARE_STACK, &[0x72, 0x20], &LINK_FRAME]), None);
        assert_eq!(offset_of(&[&COMPARE_STACK, &[0x76, 0x20], &[0x55, 0x90]]), None);
    }
}
