//! The stack of a goroutine that is not running, by the runtime's own tables of how large frames are (`pcsp` of `runtime/symtab.go`).

use crate::capture::memory::Stack;

/// The return addresses of a stack, innermost first, as link-time addresses.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unwound {
    pub(super) stack: Vec<u64>,
    /// Deeper than wanted.
    pub(super) is_cut: bool,
    /// A frame could not be read, or there is no Go function; it ends there.
    pub(super) is_unreadable: bool,
}

/// From where the runtime saved that it goes on: `pc` a return address, `sp` the stack pointer behind it.
/// `delta_at` tells how far the stack pointer is below its value at a function's entry, before the instruction at a link-time address.
pub(super) fn unwind(
    delta_at: impl Fn(u64) -> Option<i32>,
    load_bias: u64,
    stack: &Stack,
    (pc, sp): (u64, u64),
    max: usize,
) -> Unwound {
    let mut unwound = Unwound::default();
    let (mut pc, mut sp) = (pc, sp);
    // Above the first frame, which is `runtime.goexit`, Go leaves zeros.
    while pc != 0 {
        if unwound.stack.len() == max {
            unwound.is_cut = true;
            break;
        }
        let vaddr = pc.wrapping_sub(load_bias);
        let Some(delta) = delta_at(vaddr.saturating_sub(1)) else {
            // In other code, as that of a plugin, it is no link-time address.
            unwound.is_unreadable = true;
            break;
        };
        unwound.stack.push(vaddr);
        let next = u64::try_from(delta).ok().and_then(|delta| sp.checked_add(delta));
        let Some(next) = next.and_then(|at| Some((stack.word(at)?, at.checked_add(8)?))) else {
            unwound.is_unreadable = true;
            break;
        };
        (pc, sp) = next;
    }
    unwound
}
