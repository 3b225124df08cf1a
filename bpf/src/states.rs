//! How long goroutines were in which state: the record and map values of `c/state_records.h`, mirrored and decoded.

use std::mem::{offset_of, size_of};

use crate::bytes::{DecodeError, put, read, read_u32, read_u64};

mod layout;

pub use layout::{Config, Ended, Goroutine, STATE_COUNTERS, Short, StateCounter};

/// First word of the record of a goroutine that has ended.
pub const RECORD_GOROUTINE: u32 = 50;
/// Reasons for being blocked that are told apart of one goroutine; the others are in one sum behind theirs.
pub const BLOCKED_REASONS: usize = 6;
/// Numbers of reasons end below.
pub const WAIT_REASONS: usize = 64;

const START_SEEN: u8 = 1 << 0;
const FATE_REPLACED: u32 = 2;

/// What a goroutine is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// It has a processor of Go's scheduler.
    Running,
    /// It could run, and has none.
    Runnable,
    /// It is in a system call.
    Syscall,
    /// It is in C code.
    Cgo,
    /// It is blocked for this reason, a number of the binary's own Go version.
    Blocked(u8),
}

/// A goroutine's time by state, in ns, until it changed its state last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GoroutineTimes {
    /// Its number; None = not known yet: it has not run.
    pub goid: Option<u64>,
    /// When it was first seen, CLOCK_MONOTONIC ns.
    pub first_mono_ns: u64,
    /// The same, CLOCK_REALTIME ns.
    pub first_wall_ns: u64,
    /// It began then; else it was there before.
    pub start_seen: bool,
    /// Since when it is in its state, CLOCK_MONOTONIC ns.
    pub since_mono_ns: u64,
    /// Its state.
    pub state: State,
    /// Running, runnable, in system calls, in C code, ns each.
    pub state_ns: [u64; 4],
    /// The reasons for which it was blocked, as many as `reasons_used`.
    pub reasons: [u8; BLOCKED_REASONS],
    /// How many of them hold something.
    pub reasons_used: u8,
    /// How long it was blocked for each, and for all others, ns.
    pub blocked_ns: [u64; BLOCKED_REASONS + 1],
    /// How often.
    pub blocked_count: [u64; BLOCKED_REASONS + 1],
    /// How often it began to run.
    pub runs: u64,
    /// How often it came back from a call, and its processor had been handed off.
    pub handoffs: u64,
    /// The thread that runs it or ran it last.
    pub tid: u32,
    /// The epoch in which it was first seen.
    pub epoch: u32,
}

/// A goroutine that has ended, or was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndedGoroutine {
    /// Its process.
    pub tgid: u32,
    /// Address of its `runtime.g`.
    pub g: u64,
    /// Index of the binary.
    pub binary: u32,
    /// Its end was not seen, but another goroutine is where it was.
    pub is_replaced: bool,
    /// Its time; `since_mono_ns` is its end.
    pub times: GoroutineTimes,
}

/// Goroutines of a process that lived too shortly for a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShortLives {
    /// How many ended.
    pub goroutines: u64,
    /// How often they began to run.
    pub runs: u64,
    /// How often they came back from a call and their processors had been handed off.
    pub handoffs: u64,
    /// Running, runnable, in system calls, in C code, ns each.
    pub state_ns: [u64; 4],
    /// How long they were blocked, by the number of the reason, ns.
    pub blocked_ns: [u64; WAIT_REASONS],
    /// How often.
    pub blocked_count: [u64; WAIT_REASONS],
}

impl State {
    fn of(number: u8, reason: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Running),
            1 => Some(Self::Runnable),
            2 => Some(Self::Syscall),
            3 => Some(Self::Cgo),
            4 => Some(Self::Blocked(reason)),
            _ => None,
        }
    }

    /// Its number, and that of its reason.
    fn numbers(self) -> (u8, u8) {
        match self {
            Self::Running => (0, 0),
            Self::Runnable => (1, 0),
            Self::Syscall => (2, 0),
            Self::Cgo => (3, 0),
            Self::Blocked(reason) => (4, reason),
        }
    }
}

/// A goroutine that is in this state since before it was followed, as of a moment (CLOCK_MONOTONIC and CLOCK_REALTIME ns).
#[must_use]
pub fn encode_found(
    (goid, tid): (u64, u32),
    state: State,
    (mono_ns, wall_ns): (u64, u64),
    epoch: u32,
) -> [u8; size_of::<Goroutine>()] {
    let (number, reason) = state.numbers();
    let mut bytes = [0; size_of::<Goroutine>()];
    for (offset, value) in [
        (offset_of!(Goroutine, goid), goid),
        (offset_of!(Goroutine, first_mono_ns), mono_ns),
        (offset_of!(Goroutine, first_wall_ns), wall_ns),
        (offset_of!(Goroutine, since_mono_ns), mono_ns),
    ] {
        put(&mut bytes, offset, value.to_ne_bytes());
    }
    put(&mut bytes, offset_of!(Goroutine, tid), tid.to_ne_bytes());
    put(&mut bytes, offset_of!(Goroutine, epoch), epoch.to_ne_bytes());
    put(&mut bytes, offset_of!(Goroutine, state), [number]);
    put(&mut bytes, offset_of!(Goroutine, reason), [reason]);
    bytes
}

impl GoroutineTimes {
    /// Those in these bytes; None for a state that this side does not know, or bytes that are too few.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let at = |offset| read_u64(bytes, offset).ok();
        let byte = |offset| read::<1>(bytes, offset).ok().map(|[byte]| byte);
        let goid = at(offset_of!(Goroutine, goid))?;
        Some(Self {
            goid: (goid != 0).then_some(goid),
            first_mono_ns: at(offset_of!(Goroutine, first_mono_ns))?,
            first_wall_ns: at(offset_of!(Goroutine, first_wall_ns))?,
            start_seen: byte(offset_of!(Goroutine, flags))? & START_SEEN != 0,
            since_mono_ns: at(offset_of!(Goroutine, since_mono_ns))?,
            state: State::of(byte(offset_of!(Goroutine, state))?, byte(offset_of!(Goroutine, reason))?)?,
            state_ns: words(bytes, offset_of!(Goroutine, state_ns))?,
            reasons: read(bytes, offset_of!(Goroutine, reasons)).ok()?,
            reasons_used: byte(offset_of!(Goroutine, reasons_used))?,
            blocked_ns: words(bytes, offset_of!(Goroutine, blocked_ns))?,
            blocked_count: words(bytes, offset_of!(Goroutine, blocked_count))?,
            runs: at(offset_of!(Goroutine, runs))?,
            handoffs: at(offset_of!(Goroutine, handoffs))?,
            tid: read_u32(bytes, offset_of!(Goroutine, tid)).ok()?,
            epoch: read_u32(bytes, offset_of!(Goroutine, epoch)).ok()?,
        })
    }
}

/// Decodes the record of a goroutine that has ended.
pub(crate) fn decode_ended(bytes: &[u8]) -> Result<EndedGoroutine, DecodeError> {
    let times = bytes.get(offset_of!(Ended, goroutine)..).and_then(GoroutineTimes::decode);
    Ok(EndedGoroutine {
        tgid: read_u32(bytes, offset_of!(Ended, tgid))?,
        g: read_u64(bytes, offset_of!(Ended, g))?,
        binary: read_u32(bytes, offset_of!(Ended, binary))?,
        is_replaced: read_u32(bytes, offset_of!(Ended, fate))? == FATE_REPLACED,
        times: times.ok_or(DecodeError::TooShort { needed: size_of::<Ended>(), got: bytes.len() })?,
    })
}

impl ShortLives {
    /// None at all.
    pub const NONE: Self = Self {
        goroutines: 0,
        runs: 0,
        handoffs: 0,
        state_ns: [0; 4],
        blocked_ns: [0; WAIT_REASONS],
        blocked_count: [0; WAIT_REASONS],
    };

    /// Those of one CPU's bytes; none for too few.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let at = |offset| read_u64(bytes, offset).unwrap_or_default();
        Self {
            goroutines: at(offset_of!(Short, goroutines)),
            runs: at(offset_of!(Short, runs)),
            handoffs: at(offset_of!(Short, handoffs)),
            state_ns: words(bytes, offset_of!(Short, state_ns)).unwrap_or_default(),
            blocked_ns: words(bytes, offset_of!(Short, blocked_ns)).unwrap_or([0; WAIT_REASONS]),
            blocked_count: words(bytes, offset_of!(Short, blocked_count)).unwrap_or([0; WAIT_REASONS]),
        }
    }

    /// Applies an operation to each pair of numbers: to add up, or to subtract what is known.
    #[must_use]
    pub fn each(self, other: &Self, operation: impl Fn(u64, u64) -> u64) -> Self {
        fn pairs<const N: usize>(a: [u64; N], b: &[u64; N], operation: impl Fn(u64, u64) -> u64) -> [u64; N] {
            std::array::from_fn(|i| operation(a[i], b[i]))
        }
        Self {
            goroutines: operation(self.goroutines, other.goroutines),
            runs: operation(self.runs, other.runs),
            handoffs: operation(self.handoffs, other.handoffs),
            state_ns: pairs(self.state_ns, &other.state_ns, &operation),
            blocked_ns: pairs(self.blocked_ns, &other.blocked_ns, &operation),
            blocked_count: pairs(self.blocked_count, &other.blocked_count, &operation),
        }
    }
}

/// The map's value for an epoch.
#[must_use]
pub fn encode_epoch(epoch: u32) -> [u8; size_of::<Config>()] {
    let mut bytes = [0; size_of::<Config>()];
    put(&mut bytes, offset_of!(Config, epoch), epoch.to_ne_bytes());
    bytes
}

fn words<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u64; N]> {
    let mut words = [0; N];
    for (i, word) in words.iter_mut().enumerate() {
        *word = read_u64(bytes, offset + 8 * i).ok()?;
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Record, decode};

    fn ended_bytes() -> [u8; size_of::<Ended>()] {
        let mut bytes = [0; size_of::<Ended>()];
        let in_goroutine = |offset| offset_of!(Ended, goroutine) + offset;
        put(&mut bytes, 0, RECORD_GOROUTINE.to_ne_bytes());
        put(&mut bytes, offset_of!(Ended, tgid), 7_u32.to_ne_bytes());
        put(&mut bytes, offset_of!(Ended, fate), 1_u32.to_ne_bytes());
        put(&mut bytes, in_goroutine(offset_of!(Goroutine, goid)), 42_u64.to_ne_bytes());
        put(&mut bytes, in_goroutine(offset_of!(Goroutine, state_ns) + 8), 5_u64.to_ne_bytes());
        put(&mut bytes, in_goroutine(offset_of!(Goroutine, blocked_ns) + 48), 6_u64.to_ne_bytes());
        put(&mut bytes, in_goroutine(offset_of!(Goroutine, state)), [4]);
        put(&mut bytes, in_goroutine(offset_of!(Goroutine, reason)), [14]);
        put(&mut bytes, in_goroutine(offset_of!(Goroutine, flags)), [START_SEEN]);
        bytes
    }

    #[test]
    fn one_that_was_found_is_what_it_was_found_as() {
        for state in [State::Running, State::Runnable, State::Syscall, State::Cgo, State::Blocked(7)] {
            let times = GoroutineTimes::decode(&encode_found((5, 6), state, (70, 80), 9)).unwrap();
            assert_eq!((times.goid, times.tid, times.state, times.epoch), (Some(5), 6, state, 9));
            assert_eq!((times.first_mono_ns, times.first_wall_ns, times.since_mono_ns), (70, 80, 70));
            assert!(!times.start_seen && times.runs == 0 && times.blocked_ns == [0; BLOCKED_REASONS + 1]);
        }
    }

    #[test]
    fn an_ended_goroutine_keeps_its_times() {
        let Ok(Record::Goroutine(ended)) = decode(&ended_bytes()) else { panic!("not a goroutine") };
        assert_eq!((ended.tgid, ended.is_replaced, ended.times.goid), (7, false, Some(42)));
        assert_eq!((ended.times.state, ended.times.start_seen), (State::Blocked(14), true));
        assert_eq!((ended.times.state_ns[1], ended.times.blocked_ns[6]), (5, 6));
    }

    #[test]
    fn every_truncation_and_an_unknown_state_are_errors() {
        let mut bytes = ended_bytes();
        for len in 0..bytes.len() - 6 {
            assert!(decode(&bytes[..len]).is_err(), "length {len}");
        }
        put(&mut bytes, offset_of!(Ended, goroutine) + offset_of!(Goroutine, state), [5]);
        assert!(decode(&bytes).is_err());
    }
}
