//! What this process may look at.

use procfs::process::Process;

/// Bit of `CAP_SYS_PTRACE` in a capability set (linux/capability.h).
const SYS_PTRACE: u32 = 19;

/// What can hide a process even from one that holds `CAP_SYS_PTRACE` (ptrace(2), "Ptrace access mode checking").
pub(super) const HIDDEN_FROM_SYS_PTRACE: &str =
    "another user namespace, or a security module of the kernel, protects it";

/// Whether this process holds `CAP_SYS_PTRACE`; false if `/proc` does not tell.
pub(super) fn hold_sys_ptrace() -> bool {
    let status = Process::myself().and_then(|process| process.status());
    status.is_ok_and(|status| status.capeff & (1 << SYS_PTRACE) != 0)
}
