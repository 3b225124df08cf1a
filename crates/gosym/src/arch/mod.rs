//! What machine code means, by processor: the shapes of prologues, calls, and moves of the runtime's variables.
//!
//! Each processor has a file of its own that decodes just the instructions that are looked for. What is decoded is a claim:
//! whoever asks holds it against the function table before a probe is placed by it.

mod amd64;
mod arm64;

use std::collections::BTreeSet;

use crate::thread_local::ThreadLocalG;

/// A processor whose Go programs are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Machine {
    /// x86-64.
    Amd64,
    /// AArch64.
    Arm64,
}

/// The begin of a function, as the machine code has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prologue {
    /// Offset of the instruction to probe.
    pub(crate) probe: u64,
    /// Offset of the instruction that moves the stack pointer, of the same basic block.
    pub(crate) push: u64,
    /// Offset of the one behind it.
    pub(crate) after_push: u64,
    /// By how much it moves the stack pointer down, bytes.
    pub(crate) size: i32,
}

/// A call instruction, or on amd64 what may be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Call {
    /// Its offset in the code.
    pub(crate) offset: u64,
    /// Where the called function begins, as a distance from `offset`.
    pub(crate) distance: i64,
}

impl Machine {
    /// The one that this program itself is built for; None for one whose Go programs are not understood.
    pub const NATIVE: Option<Machine> = if cfg!(target_arch = "x86_64") {
        Some(Machine::Amd64)
    } else if cfg!(target_arch = "aarch64") {
        Some(Machine::Arm64)
    } else {
        None
    };

    /// Go's name for it (`GOARCH`).
    pub fn name(self) -> &'static str {
        match self {
            Machine::Amd64 => "amd64",
            Machine::Arm64 => "arm64",
        }
    }

    /// That of an `e_machine` of ELF.
    pub(crate) fn of_elf(machine: u16) -> Option<Machine> {
        [Machine::Amd64, Machine::Arm64].into_iter().find(|known| known.in_elf() == machine)
    }

    fn in_elf(self) -> u16 {
        match self {
            Machine::Amd64 => object::elf::EM_X86_64.0,
            Machine::Arm64 => object::elf::EM_AARCH64.0,
        }
    }

    /// Bytes that every length of an instruction is a multiple of: what the function table's programs count by.
    pub(crate) fn quantum(self) -> u64 {
        match self {
            Machine::Amd64 => 1,
            Machine::Arm64 => arm64::INSTRUCTION as u64,
        }
    }

    /// How a function begins that links its frame. None for code of no known shape.
    pub(crate) fn prologue(self, code: &[u8]) -> Option<Prologue> {
        match self {
            Machine::Amd64 => amd64::prologue(code),
            Machine::Arm64 => arm64::prologue(code),
        }
    }

    /// What may be calls of other functions: that a target is just where a function begins tells the real ones.
    pub(crate) fn calls(self, code: &[u8]) -> Vec<Call> {
        match self {
            Machine::Amd64 => amd64::calls(code).collect(),
            Machine::Arm64 => arm64::calls(code).collect(),
        }
    }

    /// The function whose code writes a thread's g into its thread-local storage.
    pub(crate) fn thread_local_function(self) -> &'static str {
        match self {
            Machine::Amd64 => amd64::THREAD_LOCAL_FUNCTION,
            Machine::Arm64 => arm64::THREAD_LOCAL_FUNCTION,
        }
    }

    /// Whether a program without C code has its g in thread-local storage, too.
    pub(crate) fn has_thread_local_g_without_c(self) -> bool {
        self == Machine::Amd64
    }

    /// Where from the thread's base the code of that function, which begins at `entry`, writes.
    pub(crate) fn thread_local_g(self, code: &[u8], entry: u64) -> Option<ThreadLocalG> {
        match self {
            Machine::Amd64 => amd64::thread_local_g(code, entry),
            Machine::Arm64 => arm64::thread_local_g(code).map(ThreadLocalG::Offset),
        }
    }

    /// The addresses of the 8-byte variables that the code at `entry` reads and writes, as far as they are told by the
    /// distance from it. On amd64 there may be some among them that are none.
    pub(crate) fn moved_words(self, code: &[u8], entry: u64) -> BTreeSet<u64> {
        match self {
            Machine::Amd64 => amd64::moved_words(code, entry).collect(),
            Machine::Arm64 => arm64::moved_words(code, entry).collect(),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}
