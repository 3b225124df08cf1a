//! Where a thread keeps its g. The runtime writes it there whenever a thread changes over to another one: the linker has put the offset
//! from the thread's base into that code. On amd64 it is -8 as a rule, something else in a static program with C code, whose
//! thread-local storage is shared.

use crate::arch::Machine;
use crate::elf::Image;
use crate::moduledata::ModuleData;
use crate::pclntab::Pclntab;
use crate::probe_site::calls_c;

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

pub(crate) fn thread_local_g(
    image: &Image<'_>,
    machine: Machine,
    table: &Pclntab<'_>,
    module: ModuleData,
) -> Option<ThreadLocalG> {
    if !machine.has_thread_local_g_without_c() && !calls_c(table) {
        return None;
    }
    let function = table.functions_named(machine.thread_local_function()).next()?;
    let entry = module.text.checked_add(function.entry)?;
    let code = image.bytes_at(entry)?;
    machine.thread_local_g(code.get(..LOOKED_AT).unwrap_or(code), entry)
}
