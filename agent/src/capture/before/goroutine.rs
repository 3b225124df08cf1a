//! One `runtime.g`, as it lies in the memory of its process.

use syncline_gosym::RuntimeLayout;

/// States of a goroutine (`runtime/runtime2.go`), and the bit that says that the garbage collector looks at it.
const RUNNABLE: u32 = 1;
const IN_CALL: u32 = 3;
const WAITING: u32 = 4;
const COPYING_STACK: u32 = 8;
const UNUSED: [u32; 2] = [5, 7];
const LAST: u32 = 11;
const SCANNED: u32 = 0x1000;

/// What is read of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Goroutine {
    pub(super) goid: u64,
    /// Where it goes on.
    pub(super) pc: u64,
    /// Where it came from into the call that it is in.
    pub(super) call_pc: u64,
    /// Why it waits, by the number of the Go version.
    pub(super) reason: u8,
    state: u32,
    /// Its thread's `runtime.m`; 0 = none has it.
    m: u64,
    /// Its own address, once it has been made ready to run for the first time.
    own: u64,
    stack: (u64, u64),
}

impl Goroutine {
    /// How many bytes of it are read.
    pub(super) fn bytes(layout: &RuntimeLayout) -> usize {
        [layout.g_waitreason, layout.g_atomicstatus, layout.g_goid, layout.g_sched_g, layout.g_m]
            .map(|offset| usize::from(offset) + 8)
            .into_iter()
            .fold(0, usize::max)
    }

    /// None of too few bytes.
    pub(super) fn read(bytes: &[u8], layout: &RuntimeLayout) -> Option<Self> {
        let word = |offset: u16| Some(u64::from_ne_bytes(*bytes.get(usize::from(offset)..)?.first_chunk()?));
        let half = |offset: u16| Some(u32::from_ne_bytes(*bytes.get(usize::from(offset)..)?.first_chunk()?));
        Some(Self {
            goid: word(layout.g_goid)?,
            pc: word(layout.g_sched_pc)?,
            call_pc: word(layout.g_syscallpc)?,
            reason: *bytes.get(usize::from(layout.g_waitreason))?,
            state: half(layout.g_atomicstatus)? & !SCANNED,
            m: word(layout.g_m)?,
            own: word(layout.g_sched_g)?,
            stack: (word(layout.g_stack_lo)?, word(layout.g_stack_hi)?),
        })
    }

    /// Whether this can be a goroutine at this address: nothing else holds its own address there, but one that never ran holds none.
    pub(super) fn is_one_at(&self, address: u64) -> bool {
        let (lo, hi) = self.stack;
        let is_named = self.own == address || (self.own == 0 && self.state != WAITING);
        let has_stack = lo < hi || (lo, hi) == (0, 0);
        is_named && has_stack && self.state <= LAST && !UNUSED.contains(&self.state)
    }

    /// Whether the scheduler has parked it: a goroutine that only says that it waits, so that its stack may be looked at while it runs
    /// on another, keeps its thread.
    pub(super) fn is_parked(&self) -> bool {
        self.state == WAITING && self.m == 0 && self.goid != 0
    }

    /// Of one in a call, of the kernel or of C code, its thread's `runtime.m`.
    pub(super) fn calling_thread(&self) -> Option<u64> {
        (self.state == IN_CALL && self.m != 0 && self.goid != 0).then_some(self.m)
    }

    /// Whether it has not run since it was parked, if it goes on at the same place as then: it may have been made ready.
    pub(super) fn has_not_run(&self) -> bool {
        matches!(self.state, RUNNABLE | WAITING | COPYING_STACK) && self.m == 0
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// As it is in the memory of a program of Go 1.27.
    pub(in super::super) fn goroutine(address: u64, goid: u64, state: u32) -> (Vec<u8>, &'static RuntimeLayout) {
        let layout = RuntimeLayout::of_minor(27).unwrap();
        let mut bytes = vec![0; Goroutine::bytes(layout)];
        let mut put = |offset: u16, value: u64| {
            bytes[usize::from(offset)..usize::from(offset) + 8].copy_from_slice(&value.to_ne_bytes());
        };
        put(layout.g_stack_lo, 0x1000);
        put(layout.g_stack_hi, 0x3000);
        put(layout.g_sched_pc, 0x40_1000);
        put(layout.g_sched_g, address);
        put(layout.g_goid, goid);
        bytes[usize::from(layout.g_atomicstatus)..][..4].copy_from_slice(&state.to_ne_bytes());
        bytes[usize::from(layout.g_waitreason)] = 13;
        (bytes, layout)
    }

    fn read((bytes, layout): (Vec<u8>, &RuntimeLayout)) -> Goroutine {
        Goroutine::read(&bytes, layout).unwrap()
    }

    #[test]
    fn a_parked_one_is_known_by_its_own_address() {
        let parked = read(goroutine(0xc000, 7, WAITING | SCANNED));
        assert_eq!((parked.goid, parked.pc, parked.reason), (7, 0x40_1000, 13));
        assert!(parked.is_one_at(0xc000) && !parked.is_one_at(0xc008) && parked.is_parked());
        assert!(!Goroutine { own: 0, ..parked }.is_one_at(0xc000));
        // Made a moment ago.
        assert!(Goroutine { own: 0, state: 6, stack: (0, 0), ..parked }.is_one_at(0xc000));
        assert!(!Goroutine { stack: (2, 1), ..parked }.is_one_at(0xc000));
        for state in [5, 7, LAST + 1, 1 << 13] {
            assert!(!Goroutine { state, ..parked }.is_one_at(0xc000), "{state}");
        }
    }

    #[test]
    fn one_with_a_thread_or_without_a_number_is_not_parked() {
        let parked = read(goroutine(0xc000, 7, WAITING));
        assert!(!Goroutine { m: 0x5000, ..parked }.is_parked(), "its thread runs it on another stack");
        assert_eq!((Goroutine { m: 0x5000, state: 3, ..parked }).calling_thread(), Some(0x5000));
        assert_eq!((Goroutine { m: 0x5000, ..parked }).calling_thread(), None);
        assert!(!Goroutine { goid: 0, ..parked }.is_parked() && !Goroutine { state: 2, ..parked }.is_parked());
        let (bytes, layout) = goroutine(0xc000, 7, WAITING);
        (0..bytes.len() - 8).for_each(|length| assert_eq!(Goroutine::read(&bytes[..length], layout), None));
    }
}
