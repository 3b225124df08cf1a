//! x86-64. The instruction to probe is the `push %rbp` of the prologue.
//!
//! Not the entry: Go's first instruction (the comparison with the stack guard) must be single-stepped by the kernel, which
//! costs some 25 us a hit, whereas the push is emulated; at the push the frame-pointer chain misses no caller; and the push
//! is passed only once when the stack has to grow first.

use super::{Call, Prologue};
use crate::thread_local::ThreadLocalG;

/// `call` with a displacement of 32 bits.
const CALL: u8 = 0xe8;
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

/// The shapes that the compiler has made since 1.21: [ [lea] cmp; jbe ] push; mov.
pub(super) fn prologue(code: &[u8]) -> Option<Prologue> {
    let rest = code.strip_prefix(&LINK_FRAME).map(|_| code).or_else(|| after_guard(code))?;
    rest.strip_prefix(&LINK_FRAME)?;
    let push = u64::try_from(code.len().checked_sub(rest.len())?).ok()?;
    Some(Prologue { probe: push, push, after_push: push.checked_add(1)?, size: 8 })
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

/// What may be calls: any bytes that look like one, also within other instructions.
pub(super) fn calls(code: &[u8]) -> impl Iterator<Item = Call> {
    (0..).zip(code.windows(CALL_BYTES)).filter_map(|(offset, bytes)| {
        let displacement = bytes.strip_prefix(&[CALL])?.first_chunk().copied().map(i32::from_le_bytes)?;
        Some(Call { offset, distance: i64::from(displacement) + CALL_BYTES as i64 })
    })
}

/// The local function that does the work of `runtime.gogo`, for all versions.
pub(super) const THREAD_LOCAL_FUNCTION: &str = "gogo";
/// `mov %rdx,%fs:disp32`.
const STORE: [u8; 5] = [0x64, 0x48, 0x89, 0x14, 0x25];
/// `mov $imm32,%rcx`; then `mov %rdx,%fs:(%rcx)`, in position-independent programs.
const LOAD_OFFSET: [u8; 3] = [0x48, 0xc7, 0xc1];
/// `mov disp32(%rip),%rcx`; then the same, in libraries.
const LOAD_SLOT: [u8; 3] = [0x48, 0x8b, 0x0d];
const STORE_THERE: [u8; 4] = [0x64, 0x48, 0x89, 0x11];

/// The instruction is the function's first or second.
pub(super) fn thread_local_g(code: &[u8], entry: u64) -> Option<ThreadLocalG> {
    let number = |rest: &[u8]| rest.first_chunk().copied().map(i32::from_le_bytes);
    if let Some(rest) = code.strip_prefix(&STORE) {
        return number(rest).map(ThreadLocalG::Offset);
    }
    if let Some(rest) = code.strip_prefix(&LOAD_SLOT) {
        rest.get(4..)?.strip_prefix(&STORE_THERE)?;
        let next = entry.checked_add(LOAD_SLOT.len() as u64)?.checked_add(4)?;
        return next.checked_add_signed(number(rest)?.into()).map(ThreadLocalG::Slot);
    }
    let rest = code.strip_prefix(&LOAD_OFFSET)?;
    rest.get(4..)?.strip_prefix(&STORE_THERE)?;
    number(rest).map(ThreadLocalG::Offset)
}

/// A move of eight bytes, its two bytes before the displacement of 32 bits, and that.
const MOVE_BYTES: usize = 7;

/// Bytes within other instructions may look like a move: those of a slice, three in a row, do not.
pub(super) fn moved_words(code: &[u8], entry: u64) -> impl Iterator<Item = u64> {
    (entry..).zip(code.windows(MOVE_BYTES)).filter_map(|(at, bytes)| moved_word(at, bytes))
}

/// Where `mov disp32(%rip),%reg` or `mov %reg,disp32(%rip)`, of eight bytes, reads or writes.
fn moved_word(at: u64, bytes: &[u8]) -> Option<u64> {
    let [0x48 | 0x4c, 0x8b | 0x89, operands, displacement @ ..] = bytes else { return None };
    // No base but the next instruction's address.
    if operands & 0xc7 != 0x05 {
        return None;
    }
    let displacement = i32::from_le_bytes(*displacement.first_chunk()?);
    at.checked_add(MOVE_BYTES as u64)?.checked_add_signed(displacement.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset_of(parts: &[&[u8]]) -> Option<u64> {
        prologue(&parts.concat()).map(|prologue| prologue.probe)
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

    #[test]
    fn calls_are_found_at_any_byte() {
        let code = [0x90, CALL, 0xfe, 0xff, 0xff, 0xff, CALL, 1, 0, 0];
        assert_eq!(calls(&code).collect::<Vec<_>>(), [Call { offset: 1, distance: 3 }]);
    }

    #[test]
    fn all_shapes_of_the_store_are_read_and_nothing_else() {
        let thread_local_g = |code: &[u8]| thread_local_g(code, 0x40_0000);
        let at = |offset| Some(ThreadLocalG::Offset(offset));
        assert_eq!(thread_local_g(&[&STORE[..], &[0xa8, 0xff, 0xff, 0xff]].concat()), at(-88));
        let independent = [&LOAD_OFFSET[..], &[0xf8, 0xff, 0xff, 0xff], &STORE_THERE].concat();
        assert_eq!(thread_local_g(&independent), at(-8));
        assert_eq!(thread_local_g(&independent[..9]), None);
        let of_library = [&LOAD_SLOT[..], &[0x10, 0, 0, 0], &STORE_THERE].concat();
        assert_eq!(thread_local_g(&of_library), Some(ThreadLocalG::Slot(0x40_0017)));
        assert_eq!(thread_local_g(&[0x48, 0x8b, 0x0d, 1, 2, 3, 4]), None);
        assert_eq!(thread_local_g(&[]), None);
    }

    #[test]
    fn other_moves_are_none() {
        const ENTRY: u64 = 0x40_0000;
        assert_eq!(moved_word(ENTRY, &[0x48, 0x8b, 0x0d, 1, 0, 0, 0]), Some(ENTRY + 8));
        assert_eq!(moved_word(ENTRY, &[0x4c, 0x89, 0x3d, 0xff, 0xff, 0xff, 0xff]), Some(ENTRY + 6));
        // Of four bytes; by a register; an address.
        assert_eq!(moved_word(ENTRY, &[0x8b, 0x0d, 1, 0, 0, 0, 0]), None);
        assert_eq!(moved_word(ENTRY, &[0x48, 0x8b, 0x4c, 0x24, 8, 0, 0]), None);
        assert_eq!(moved_word(ENTRY, &[0x48, 0x8d, 0x0d, 1, 0, 0, 0]), None);
        assert_eq!(moved_word(u64::MAX - 2, &[0x48, 0x8b, 0x0d, 1, 0, 0, 0]), None);
    }
}
