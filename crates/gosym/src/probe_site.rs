//! Where to place the probes: an instruction of a function's prologue that the kernel need not single-step, and at which the
//! frame-pointer chain misses no caller. Which one that is depends on the processor: see `arch/amd64.rs` and `arch/arm64.rs`.
//!
//! A site is given only when two independent witnesses agree: the machine code has one of the prologue shapes of Go 1.21 and
//! later, and the function table says that just the instruction which does so in that shape moves the stack pointer, and by as
//! much.

use crate::arch::{Machine, Prologue};
use crate::elf::Image;
use crate::error::Error;
use crate::moduledata::ModuleData;
use crate::pc_values::Run;
use crate::pclntab::{Function, Pclntab};
use crate::state_sites::StateSites;

/// Length of `ProbeSite::expected`.
pub const EXPECTED_LENGTH: usize = 16;

/// The instructions at which a probe learns that a goroutine parks, becomes ready, and runs again. Registers are those of amd64;
/// on arm64 g is in x28 instead of r14, and arguments are in x0, x1, x2 instead of rax, rbx, rcx.
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

/// The two call instructions of `runtime.cgocall`: g = r14 at both. The kernel emulates calls, and none but calls of C functions pass
/// here.
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

pub(crate) fn probe_sites(
    image: &Image<'_>,
    machine: Machine,
    table: &Pclntab<'_>,
    module: ModuleData,
) -> Result<ProbeSites, Error> {
    let finder = Finder { image, machine, table, module, calls_c: calls_c(table) };
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
    machine: Machine,
    table: &'image Pclntab<'data>,
    module: ModuleData,
    /// The program has functions written in C.
    pub(crate) calls_c: bool,
}

/// Whether a program has functions written in C: what their callbacks return through is in no other.
pub(crate) fn calls_c(table: &Pclntab<'_>) -> bool {
    table.functions_named("crosscall2").next().is_some()
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
        match self.machine.prologue(code) {
            Some(prologue) if self.push_is_recorded(function, prologue) => Ok(prologue.probe),
            Some(_) => Err("the function table knows no push there"),
            None if frameless == Frameless::EntryProbed && self.is_frameless(function) => Ok(0),
            None => Err("the prologue has none of the known shapes"),
        }
    }

    /// None for a program without C code (`runtime.cgocall` is in all of them, what its callbacks return through is not), or where
    /// `runtime.cgocall` is not of the known shape.
    fn cgo_sites(&self) -> Option<CgoSites> {
        if !self.calls_c {
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
        Some([self.instruction(caller, calls.get(one)?.0)?, self.instruction(caller, other.0)?])
    }

    /// The instruction at this offset from a function's entry.
    pub(crate) fn instruction(&self, function: &Function<'data>, offset: u64) -> Option<ProbeSite> {
        self.at(self.module.text.checked_add(function.entry)?, offset)
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
        let length = usize::try_from(function.end.saturating_sub(function.entry)).ok()?.min(LONGEST);
        let calls = self.machine.calls(code.get(..length)?).into_iter();
        let target = |offset, distance| function.entry.checked_add(offset)?.checked_add_signed(distance);
        Some(calls.filter_map(|call| Some((call.offset, target(call.offset, call.distance)?))).collect())
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

    fn push_is_recorded(&self, function: &Function<'data>, prologue: Prologue) -> bool {
        self.stack_delta(function, prologue.push).map(|run| run.value) == Some(0)
            && self.stack_delta(function, prologue.after_push).map(|run| run.value) == Some(prologue.size)
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

/// The functions whose calls are looked for have some 2,000 bytes.
const LONGEST: usize = 1 << 16;
/// The prologue and the first run of a small runtime function are a matter of a few steps.
const MAX_STEPS: u32 = 1 << 16;

fn unknown(function: &'static str, address: u64, what: &'static str, code: &[u8]) -> Error {
    let bytes = code.iter().take(EXPECTED_LENGTH).map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ");
    Error::UnknownPrologue { function, address, what, bytes }
}
