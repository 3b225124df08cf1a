//! AArch64. The instruction to probe is the conditional branch of the stack guard, and where there is no guard, the one that
//! moves the stack pointer.
//!
//! A prologue is, with N the size of the frame,
//!
//! ```text
//! ldr x16, [x28, #16]      the stack guard of g
//! cmp sp, x16
//! b.ls grow                <- probed
//! str x30, [sp, #-N]!      the return address
//! stur x29, [sp, #-8]      the caller's frame pointer
//! sub x29, sp, #8
//! ```
//!
//! At the branch as at the store, the frame-pointer chain that begins in x29 and the return address in x30 miss no caller, and
//! all arguments are in their registers. But the kernel simulates branches, and single-steps loads, stores and arithmetic
//! (`arm_probe_decode_insn` of arch/arm64/kernel/probes/decode-insn.c), which halves the rate of a probe: 1.86 to 0.91
//! million hits a second on a Kunpeng 916, as the author of the simulated `nop` measured (linux-arm-kernel, 14 August 2024).
//! It does not simulate the store, which is none of the `stp` that C programs begin with either.
//!
//! When the stack has to grow, or the goroutine is asked to yield, the branch is taken, and passed again later: a probe that
//! must see each call once looks at the flags for whether it will be.

use super::{Call, Prologue};

/// Bytes of every instruction.
pub(super) const INSTRUCTION: usize = 4;

/// `ldr x16, [x28, #16]`: the stack guard.
const LOAD_GUARD: u32 = 0xf940_0b90;
/// `ldr x16, [x28, #24]`: that of a function that runs on the scheduling stack only.
const LOAD_SYSTEM_GUARD: u32 = 0xf940_0f90;
/// `cmp sp, x16`.
const COMPARE_STACK: u32 = 0xeb30_63ff;
/// `cmp x17, x16`, after `sub x17, sp, #n`: of a large frame.
const COMPARE_X17: u32 = 0xeb10_023f;
/// `stur x29, [sp, #-8]`.
const SAVE_FRAME: u32 = 0xf81f_83fd;
/// `sub x29, sp, #8`.
const LINK_FRAME: u32 = 0xd100_23fd;
/// `stp x29, x30, [x20, #-8]`, after `sub x20, sp, #n`: of a large frame.
const SAVE_BOTH: u32 = 0xa93f_fa9d;
/// `mov sp, x20`.
const MOVE_STACK: u32 = 0x9100_029f;
/// No prologue of a known shape is longer.
const LONGEST: usize = 8;

/// The shapes that the compiler has made since 1.21.
pub(super) fn prologue(code: &[u8]) -> Option<Prologue> {
    let words: Vec<u32> = instructions(code).take(LONGEST).collect();
    let guard = guard_length(&words);
    let (move_at, size) = stack_move(words.get(guard..)?)?;
    let push = guard + move_at;
    let offset = |index: usize| u64::try_from(index * INSTRUCTION).ok();
    Some(Prologue {
        probe: offset(guard.checked_sub(1).unwrap_or(push))?,
        push: offset(push)?,
        after_push: offset(push + 1)?,
        size,
    })
}

/// Instructions of the stack guard, the last of which is its branch; 0 where there is none.
fn guard_length(words: &[u32]) -> usize {
    match *words {
        [LOAD_GUARD | LOAD_SYSTEM_GUARD, COMPARE_STACK, branch, ..] if is_branch_if_lower_or_same(branch) => 3,
        [LOAD_GUARD | LOAD_SYSTEM_GUARD, lower, COMPARE_X17, branch, ..]
            if is_branch_if_lower_or_same(branch) && subtracted_from_stack(lower, 17).is_some() =>
        {
            4
        }
        _ => 0,
    }
}

/// Which instruction moves the stack pointer, and by how much.
fn stack_move(words: &[u32]) -> Option<(usize, i32)> {
    match *words {
        [store, SAVE_FRAME, LINK_FRAME, ..] => Some((0, pushed(store)?)),
        [lower, SAVE_BOTH, MOVE_STACK, LINK_FRAME, ..] => Some((2, subtracted_from_stack(lower, 20)?)),
        _ => None,
    }
}

/// `b.ls`.
fn is_branch_if_lower_or_same(word: u32) -> bool {
    word & 0xff00_001f == 0x5400_0009
}

/// n of `str x30, [sp, #-n]!`.
fn pushed(word: u32) -> Option<i32> {
    let by = signed(word >> 12, 9);
    (word & 0xffe0_0fff == 0xf800_0ffe && by < 0).then(|| -by)
}

/// n of `sub REGISTER, sp, #n`.
fn subtracted_from_stack(word: u32, register: u32) -> Option<i32> {
    let shift = if word & 1 << 22 == 0 { 0 } else { 12 };
    (word & 0xff80_03ff == 0xd100_03e0 | register).then(|| ((word >> 10 & 0xfff) << shift).cast_signed())
}

/// `bl`.
pub(super) fn calls(code: &[u8]) -> impl Iterator<Item = Call> {
    let calls = (0..).step_by(INSTRUCTION).zip(instructions(code)).filter(|(_, word)| word >> 26 == 0b10_0101);
    calls.map(|(offset, word)| Call { offset, distance: i64::from(signed(word, 26)) * INSTRUCTION as i64 })
}

/// It writes g for C code to find, if there is any; Go code itself has it in x28.
pub(super) const THREAD_LOCAL_FUNCTION: &str = "runtime.save_g";
/// `mrs x0, tpidr_el0`.
const READ_THREAD_POINTER: u32 = 0xd53b_d040;
/// `str x28, [x0, x27]`.
const STORE: u32 = 0xf83b_681c;

/// The offset is in the instructions between reading the thread pointer and the store: in one of a fixed-address program, in
/// two where the linker has put it into a position-independent one. Otherwise the dynamic linker alone knows it.
pub(super) fn thread_local_g(code: &[u8]) -> Option<i32> {
    let words: Vec<u32> = instructions(code).collect();
    let read = words.iter().position(|&word| word == READ_THREAD_POINTER)?;
    let offset = match *words.get(read + 1..)? {
        [low, STORE, ..] => immediate(low, 0xd280_001b)?,
        [high, low, STORE, ..] => immediate(high, 0xd2a0_001b)? << 16 | immediate(low, 0xf280_001b)?,
        _ => return None,
    };
    i32::try_from(offset).ok()
}

/// The 16 bits of a `movz` or `movk`, given with its register.
fn immediate(word: u32, instruction: u32) -> Option<u32> {
    (word & 0xffe0_001f == instruction).then_some(word >> 5 & 0xffff)
}

/// An address is made of the page, by `adrp`, and of the place in it, by the very next instruction: the move, or an addition
/// that the move follows.
pub(super) fn moved_words(code: &[u8], entry: u64) -> impl Iterator<Item = u64> {
    let words: Vec<u32> = instructions(code).collect();
    let addresses = (entry..).step_by(INSTRUCTION);
    let moves: Vec<[Option<u64>; 2]> = addresses
        .zip(words.windows(3))
        .filter_map(|(at, window)| {
            let &[first, second, third] = window else { return None };
            let (register, page) = page(first, at)?;
            match added(second, register) {
                Some(offset) => moved(third, register, page.checked_add(offset)?),
                None => moved(second, register, page),
            }
        })
        .collect();
    moves.into_iter().flatten().flatten()
}

/// Register and value of an `adrp` at this address.
fn page(word: u32, at: u64) -> Option<(u32, u64)> {
    if word & 0x9f00_0000 != 0x9000_0000 {
        return None;
    }
    let pages = signed((word >> 5 & 0x7_ffff) << 2 | word >> 29 & 3, 21);
    Some((word & 31, (at & !0xfff).checked_add_signed(i64::from(pages) << 12)?))
}

/// n of `add REGISTER, REGISTER, #n`.
fn added(word: u32, register: u32) -> Option<u64> {
    (word & 0xffc0_03ff == 0x9100_0000 | register << 5 | register).then_some(u64::from(word >> 10 & 0xfff))
}

/// What `ldr`, `str`, `ldp` or `stp` of 8-byte registers moves, whose base register holds `base`.
fn moved(word: u32, register: u32, base: u64) -> Option<[Option<u64>; 2]> {
    if word >> 5 & 31 != register {
        return None;
    }
    match word & 0xff80_0000 {
        0xf900_0000 => Some([base.checked_add(u64::from(word >> 10 & 0xfff) * 8), None]),
        0xa900_0000 => {
            let first = base.checked_add_signed(i64::from(signed(word >> 15, 7)) * 8)?;
            Some([Some(first), first.checked_add(8)])
        }
        _ => None,
    }
}

fn instructions(code: &[u8]) -> impl Iterator<Item = u32> {
    code.as_chunks::<INSTRUCTION>().0.iter().copied().map(u32::from_le_bytes)
}

/// The lowest `bits` of a word as a signed number.
fn signed(word: u32, bits: u32) -> i32 {
    let unused = u32::BITS - bits;
    (word << unused).cast_signed() >> unused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Offset of the probe, of what moves the stack, and by how much.
    fn shape(words: &[u32]) -> Option<(u64, u64, i32)> {
        let prologue = prologue(&code(words))?;
        assert_eq!(prologue.after_push, prologue.push + 4);
        Some((prologue.probe, prologue.push, prologue.size))
    }

    /// As `go tool objdump` shows them of runtime.gopark, preemptPark, dropm, net.(*sysDialer).dialParallel and others.
    #[test]
    fn the_known_shapes_are_decoded() {
        let push_32 = 0xf81e_0ffe;
        let branch = 0x5400_0709;
        let link = [SAVE_FRAME, LINK_FRAME];
        assert_eq!(shape(&[LOAD_GUARD, COMPARE_STACK, branch, push_32, link[0], link[1]]), Some((8, 12, 32)));
        assert_eq!(
            shape(&[LOAD_SYSTEM_GUARD, COMPARE_STACK, branch, 0xf819_0ffe, link[0], link[1]]),
            Some((8, 12, 112))
        );
        assert_eq!(shape(&[0xf81a_0ffe, link[0], link[1]]), Some((0, 0, 96)));
        let lower = 0xd100_c3f1; // sub x17, sp, #48
        assert_eq!(shape(&[LOAD_GUARD, lower, COMPARE_X17, branch, push_32, link[0], link[1]]), Some((12, 16, 32)));
        let large = [0xd10f_c3f4, SAVE_BOTH, MOVE_STACK, LINK_FRAME]; // sub x20, sp, #1008
        let guarded = [&[LOAD_GUARD, 0xd10d_c3f1, COMPARE_X17, 0x5400_2f09], &large[..]].concat();
        assert_eq!(shape(&guarded), Some((12, 24, 1008)));
        assert_eq!(shape(&large), Some((8, 8, 1008)));
        let pages = [0xd140_0bf4, SAVE_BOTH, MOVE_STACK, LINK_FRAME]; // sub x20, sp, #2, lsl #12
        assert_eq!(shape(&pages), Some((8, 8, 8192)));
    }

    #[test]
    fn other_code_is_refused() {
        let push_32 = 0xf81e_0ffe;
        assert_eq!(shape(&[]), None);
        assert_eq!(shape(&[push_32]), None);
        assert_eq!(shape(&[push_32, SAVE_FRAME]), None);
        assert_eq!(shape(&[0xf802_0ffe, SAVE_FRAME, LINK_FRAME]), None, "str x30, [sp, #32]!");
        assert_eq!(shape(&[0xf81e_0fe0, SAVE_FRAME, LINK_FRAME]), None, "str x0, [sp, #-32]!");
        assert_eq!(shape(&[LOAD_GUARD, COMPARE_STACK, 0x5400_0708, push_32, SAVE_FRAME, LINK_FRAME]), None, "b.hi");
        assert_eq!(shape(&[0xd10f_c3f3, SAVE_BOTH, MOVE_STACK, LINK_FRAME]), None, "sub x19, sp, #1008");
        assert_eq!(prologue(&code(&[push_32, SAVE_FRAME, LINK_FRAME])[..11]), None);
    }

    #[test]
    fn calls_are_decoded_in_both_directions() {
        let found: Vec<_> = calls(&code(&[0xd503_201f, 0x9401_5b60, 0x97ff_33a6, 0x1400_0006])).collect();
        assert_eq!(
            found,
            [Call { offset: 4, distance: 0x1_5b60 * 4 }, Call { offset: 8, distance: -(0x1_0000 - 0x33a6) * 4 }]
        );
    }

    #[test]
    fn the_thread_local_offset_is_read_from_both_shapes() {
        assert_eq!(thread_local_g(&code(&[READ_THREAD_POINTER, 0xd280_021b, STORE])), Some(16));
        let two = [0xb400_00a0, READ_THREAD_POINTER, 0xd2a0_003b, 0xf280_021b, STORE];
        assert_eq!(thread_local_g(&code(&two)), Some(0x1_0010));
        // From the table of the dynamic linker: adrp x27; ldr x27, [x27, #8].
        assert_eq!(thread_local_g(&code(&[READ_THREAD_POINTER, 0xb000_0b5b, 0xf940_077b, STORE])), None);
        assert_eq!(thread_local_g(&code(&[0xd280_021b, STORE])), None);
        assert_eq!(thread_local_g(&code(&[READ_THREAD_POINTER])), None);
    }

    #[test]
    fn moves_are_seen_through_a_page_and_an_offset() {
        let at = 0x5_5650;
        // As in runtime.allgadd of Go 1.27: adrp x27; add x27, x27, #848; ldp x0, x1, [x27].
        let pair: Vec<u64> = moved_words(&code(&[0xd000_0d3b, 0x910d_437b, 0xa940_0760]), at).collect();
        assert_eq!(pair, [0x1f_b350, 0x1f_b358]);
        // adrp x27; str x2, [x27, #864]; nop.
        let one: Vec<u64> = moved_words(&code(&[0xd000_0d3b, 0xf901_b362, 0xd503_201f]), at).collect();
        assert_eq!(one, [0x1f_b360]);
        // Of one byte; by another register; an address that nothing is moved by.
        assert_eq!(moved_words(&code(&[0xd000_0d3b, 0x3957_c362, 0xd503_201f]), at).count(), 0);
        assert_eq!(moved_words(&code(&[0xd000_0d3b, 0xf901_b342, 0xd503_201f]), at).count(), 0);
        assert_eq!(moved_words(&code(&[0xd000_0d20, 0x9102_8000, 0x97ff_4621]), at).count(), 0);
        assert_eq!(moved_words(&code(&[0x9080_0000, 0xf940_0000, 0xd503_201f]), at).count(), 0, "before the address 0");
    }
}
