//! Where a thread keeps its g. The runtime writes it there whenever a thread changes over to another one: the linker has put the offset
//! from the thread's base into that code. On amd64 it is -8 as a rule, something else in a static program with C code, whose
//! thread-local storage is shared.

use crate::arch::Machine;
use crate::elf::Image;
use crate::moduledata::ModuleData;
use crate::pclntab::Pclntab;

/// Where a thread keeps the g it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadLocalG {
    /// So many bytes from its base: FS on amd64, `TPIDR_EL0` on arm64.
    Offset(i32),
    /// The dynamic linker decides that when it loads the file, and keeps it, as 8 bytes, at this link-time address.
    Slot(u64),
}

/// Bytes; the instructions are among the function's first ones.
const LOOKED_AT: usize = 64;
/// What callbacks of C code return through; no program without C code has it.
const CALLED_BY_C: &str = "crosscall2";

pub(crate) fn thread_local_g(
    image: &Image<'_>,
    machine: Machine,
    table: &Pclntab<'_>,
    module: ModuleData,
) -> Option<ThreadLocalG> {
    let find = |name| table.functions_named(name).next();
    if !machine.has_thread_local_g_without_c() {
        find(CALLED_BY_C)?;
    }
    let function = find(machine.thread_local_function())?;
    let entry = module.text.checked_add(function.entry)?;
    let code = image.bytes_at(entry)?;
    machine.thread_local_g(code.get(..LOOKED_AT).unwrap_or(code), entry)
}
