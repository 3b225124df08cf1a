//! The wait reasons of each Go minor version: the text Go itself prints for the number that `runtime.gopark` is given.
//!
//! Go numbers its reasons anew when it adds or sorts them (1.22 to 1.26 all did), so a number means nothing without the
//! version. The tables are the `waitReasonStrings` of runtime/runtime2.go in the releases named below; the tests compare
//! them with the source of every Go release that is installed.

use crate::elf::Image;
use crate::layout::SUPPORTED_MINORS;

/// What a program without a table of its version keeps them in, if it has symbols.
const STRINGS: &str = "runtime.waitReasonStrings";
/// Bytes of a reason: real ones have up to 30.
const LONGEST: usize = 64;
/// A pointer and a length.
const STRING_BYTES: u64 = 16;

/// The texts of a program's wait reasons, by number: those of its Go version, else its own as far as it has symbols.
///
/// Number 0 is Go's "no reason", whose text is empty.
pub(crate) fn wait_reasons<'data>(image: &Image<'data>, minor: Option<u16>) -> Vec<&'data str> {
    minor.and_then(of_version).map_or_else(|| of_program(image).unwrap_or_default(), <[_]>::to_vec)
}

fn of_program<'data>(image: &Image<'data>) -> Option<Vec<&'data str>> {
    let (strings, size) = image.symbol(STRINGS)?;
    let count = usize::try_from(size / STRING_BYTES).ok()?.min(usize::from(u8::MAX) + 1);
    let mut words = vec![0; 2 * count];
    image.read_relocated(strings, &mut words)?;
    words.chunks_exact(2).map(|words| string(image, *words.first()?, *words.last()?)).collect()
}

fn string<'data>(image: &Image<'data>, text: u64, length: u64) -> Option<&'data str> {
    if length == 0 {
        return Some("");
    }
    let length = usize::try_from(length).ok().filter(|length| *length <= LONGEST)?;
    std::str::from_utf8(image.bytes_at(text)?.get(..length)?).ok()
}

/// The text of a wait reason as one that lives as long as the program, if it is one of a known version.
pub fn known_wait_reason(text: &str) -> Option<&'static str> {
    let tables = (SUPPORTED_MINORS.0..=SUPPORTED_MINORS.1).filter_map(of_version);
    tables.flatten().copied().find(|known| *known == text)
}

fn of_version(minor: u16) -> Option<&'static [&'static str]> {
    let table: &[&'static str] = match minor {
        21 => &GO_1_21,
        22 => &GO_1_22,
        23 => &GO_1_23,
        24 => &GO_1_24,
        25 => &GO_1_25,
        26 | 27 => &GO_1_26,
        _ => return None,
    };
    Some(table)
}

/// Go 1.21, taken from 1.21.13.
const GO_1_21: [&str; 32] = [
    "",
    "GC assist marking",
    "IO wait",
    "chan receive (nil chan)",
    "chan send (nil chan)",
    "dumping heap",
    "garbage collection",
    "garbage collection scan",
    "panicwait",
    "select",
    "select (no cases)",
    "GC assist wait",
    "GC sweep wait",
    "GC scavenge wait",
    "chan receive",
    "chan send",
    "finalizer wait",
    "force gc (idle)",
    "semacquire",
    "sleep",
    "sync.Cond.Wait",
    "sync.Mutex.Lock",
    "sync.RWMutex.RLock",
    "sync.RWMutex.Lock",
    "trace reader (blocked)",
    "wait for GC cycle",
    "GC worker (idle)",
    "GC worker (active)",
    "preempted",
    "debug call",
    "GC mark termination",
    "stopping the world",
];

/// Go 1.22, taken from 1.22.10.
const GO_1_22: [&str; 37] = [
    "",
    "GC assist marking",
    "IO wait",
    "chan receive (nil chan)",
    "chan send (nil chan)",
    "dumping heap",
    "garbage collection",
    "garbage collection scan",
    "panicwait",
    "select",
    "select (no cases)",
    "GC assist wait",
    "GC sweep wait",
    "GC scavenge wait",
    "chan receive",
    "chan send",
    "finalizer wait",
    "force gc (idle)",
    "semacquire",
    "sleep",
    "sync.Cond.Wait",
    "sync.Mutex.Lock",
    "sync.RWMutex.RLock",
    "sync.RWMutex.Lock",
    "trace reader (blocked)",
    "wait for GC cycle",
    "GC worker (idle)",
    "GC worker (active)",
    "preempted",
    "debug call",
    "GC mark termination",
    "stopping the world",
    "flushing proc caches",
    "trace goroutine status",
    "trace proc status",
    "page trace flush",
    "coroutine",
];

/// Go 1.23, taken from 1.23.9.
const GO_1_23: [&str; 38] = [
    "",
    "GC assist marking",
    "IO wait",
    "chan receive (nil chan)",
    "chan send (nil chan)",
    "dumping heap",
    "garbage collection",
    "garbage collection scan",
    "panicwait",
    "select",
    "select (no cases)",
    "GC assist wait",
    "GC sweep wait",
    "GC scavenge wait",
    "chan receive",
    "chan send",
    "finalizer wait",
    "force gc (idle)",
    "semacquire",
    "sleep",
    "sync.Cond.Wait",
    "sync.Mutex.Lock",
    "sync.RWMutex.RLock",
    "sync.RWMutex.Lock",
    "trace reader (blocked)",
    "wait for GC cycle",
    "GC worker (idle)",
    "GC worker (active)",
    "preempted",
    "debug call",
    "GC mark termination",
    "stopping the world",
    "flushing proc caches",
    "trace goroutine status",
    "trace proc status",
    "page trace flush",
    "coroutine",
    "GC weak to strong wait",
];

/// Go 1.24, taken from 1.24.11.
const GO_1_24: [&str; 44] = [
    "",
    "GC assist marking",
    "IO wait",
    "chan receive (nil chan)",
    "chan send (nil chan)",
    "dumping heap",
    "garbage collection",
    "garbage collection scan",
    "panicwait",
    "select",
    "select (no cases)",
    "GC assist wait",
    "GC sweep wait",
    "GC scavenge wait",
    "chan receive",
    "chan send",
    "finalizer wait",
    "force gc (idle)",
    "semacquire",
    "sleep",
    "sync.Cond.Wait",
    "sync.Mutex.Lock",
    "sync.RWMutex.RLock",
    "sync.RWMutex.Lock",
    "sync.WaitGroup.Wait",
    "trace reader (blocked)",
    "wait for GC cycle",
    "GC worker (idle)",
    "GC worker (active)",
    "preempted",
    "debug call",
    "GC mark termination",
    "stopping the world",
    "flushing proc caches",
    "trace goroutine status",
    "trace proc status",
    "page trace flush",
    "coroutine",
    "GC weak to strong wait",
    "synctest.Run",
    "synctest.Wait",
    "chan receive (synctest)",
    "chan send (synctest)",
    "select (synctest)",
];

/// Go 1.25, taken from 1.25.5.
const GO_1_25: [&str; 47] = [
    "",
    "GC assist marking",
    "IO wait",
    "chan receive (nil chan)",
    "chan send (nil chan)",
    "dumping heap",
    "garbage collection",
    "garbage collection scan",
    "panicwait",
    "select",
    "select (no cases)",
    "GC assist wait",
    "GC sweep wait",
    "GC scavenge wait",
    "chan receive",
    "chan send",
    "finalizer wait",
    "force gc (idle)",
    "GOMAXPROCS updater (idle)",
    "semacquire",
    "sleep",
    "sync.Cond.Wait",
    "sync.Mutex.Lock",
    "sync.RWMutex.RLock",
    "sync.RWMutex.Lock",
    "sync.WaitGroup.Wait",
    "trace reader (blocked)",
    "wait for GC cycle",
    "GC worker (idle)",
    "GC worker (active)",
    "preempted",
    "debug call",
    "GC mark termination",
    "stopping the world",
    "flushing proc caches",
    "trace goroutine status",
    "trace proc status",
    "page trace flush",
    "coroutine",
    "GC weak to strong wait",
    "synctest.Run",
    "synctest.Wait",
    "chan receive (durable)",
    "chan send (durable)",
    "select (durable)",
    "sync.WaitGroup.Wait (durable)",
    "cleanup wait",
];

/// Go 1.26, taken from 1.26.6 (1.27.3 is the same).
const GO_1_26: [&str; 47] = [
    "",
    "GC assist marking",
    "IO wait",
    "dumping heap",
    "garbage collection",
    "garbage collection scan",
    "panicwait",
    "GC assist wait",
    "GC sweep wait",
    "GC scavenge wait",
    "finalizer wait",
    "force gc (idle)",
    "GOMAXPROCS updater (idle)",
    "semacquire",
    "sleep",
    "chan receive (nil chan)",
    "chan send (nil chan)",
    "select (no cases)",
    "select",
    "chan receive",
    "chan send",
    "sync.Cond.Wait",
    "sync.Mutex.Lock",
    "sync.RWMutex.RLock",
    "sync.RWMutex.Lock",
    "sync.WaitGroup.Wait",
    "trace reader (blocked)",
    "wait for GC cycle",
    "GC worker (idle)",
    "GC worker (active)",
    "preempted",
    "debug call",
    "GC mark termination",
    "stopping the world",
    "flushing proc caches",
    "trace goroutine status",
    "trace proc status",
    "page trace flush",
    "coroutine",
    "GC weak to strong wait",
    "synctest.Run",
    "synctest.Wait",
    "chan receive (durable)",
    "chan send (durable)",
    "select (durable)",
    "sync.WaitGroup.Wait (durable)",
    "cleanup wait",
];
