//! Tiny made-up Go programs: what is true of them is found, and each lie in them is refused in so many words, or leads to an
//! "unknown", in bounded time and memory.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;
use support::exercise::exercise;
use support::synthetic::{Places, Synthetic, TINY, UNKNOWN, all, debug, functions};
use syncline_gosym::{Error, GoBinary, LayoutSource, Machine, ThreadLocalG};

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Bytes: some hundred times the files here, but for one.
const MOST_MEMORY: usize = 4 << 20;
/// Far more than any file of this size needs in a slow build on a busy machine.
const DEADLINE: Duration = Duration::from_secs(10);
/// Addresses that are looked up in each file.
const ADDRESSES: u64 = 500;

/// Memory is counted for all threads: while this is held, none but the holder needs much of it.
fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Uses everything that a file offers, and looks at what that takes.
fn bounded(bytes: &[u8]) -> Result<usize, Error> {
    measured(bytes, &alone())
}

fn measured(bytes: &[u8], _alone: &MutexGuard<'static, ()>) -> Result<usize, Error> {
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    let start = Instant::now();
    let result = exercise(bytes, ADDRESSES);
    assert!(start.elapsed() < DEADLINE, "took {:?}", start.elapsed());
    let used = ALLOCATED.peak_usage().saturating_sub(before);
    assert!(used < MOST_MEMORY, "{used} bytes");
    result
}

/// The line that a damaged file is refused with.
fn refused(bytes: &[u8]) -> String {
    let line = bounded(bytes).unwrap_err().to_string();
    assert!(!line.contains('\n') && line.len() < 400, "{line}");
    line
}

fn put_u32(bytes: &mut [u8], at: usize, number: u32) {
    bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
}

fn put_u64(bytes: &mut [u8], at: usize, number: u64) {
    bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
}

/// One of each kind, with a lie in it, which is refused by this.
fn all_are_refused(part: &str, lie: impl Fn(&mut Vec<u8>, &Places)) {
    for kind in all() {
        let (mut bytes, places) = kind.build();
        lie(&mut bytes, &places);
        let line = refused(&bytes);
        assert!(line.contains(part), "{}: {line}", kind.name());
    }
}

/// The frames of `main.main`, which is the last function, at an offset from its begin: names and lines.
fn main_frames(binary: &GoBinary<'_>, offset: u64) -> Vec<(String, u32)> {
    let sites = binary.probe_sites().unwrap();
    let symbolizer = binary.symbolizer().unwrap();
    let mut entries = (sites.gopark.function_vaddr..).step_by(64).map_while(|entry| symbolizer.function_at(entry));
    let main = entries.find(|function| function.name == "main.main").unwrap();
    let frames = symbolizer.frames(main.entry + offset);
    frames.into_iter().map(|frame| (frame.function.into_owned(), frame.line)).collect()
}

/// Debug information is all that tells of a version that nobody knows.
#[test]
fn an_unknown_version_is_what_its_debug_information_says() {
    for kind in all().into_iter().filter(|kind| kind.minor == UNKNOWN) {
        let (bytes, places) = kind.build();
        let binary = GoBinary::parse(&bytes).unwrap();
        let layout = binary.layout().unwrap();
        assert_eq!((layout.source, layout.labels_form), (LayoutSource::Dwarf, None));
        assert_eq!((layout.g_sched_bp, layout.g_goid, layout.g_coroarg), (96, 152, Some(384)));
        assert_eq!((layout.m_curg, layout.polldesc_wg, layout.moduledata_textsectmap), (184, 40, 360));
        // Every way in which it may end too early, or lie in one byte: then nothing is known, or something else.
        for part in [places.debug_info, places.debug_abbreviations] {
            for place in part {
                for lie in [0, 0x7f, 0xff] {
                    let mut bytes = bytes.clone();
                    bytes[place] = lie;
                    bounded(&bytes).ok();
                }
            }
        }
    }
}

/// So many entries would be four thousand million attributes.
#[test]
fn attributes_that_take_no_bytes_take_no_time() {
    let _alone = alone();
    let kind = Synthetic { minor: UNKNOWN, ..TINY };
    let (bytes, _) = kind.build_with(&functions(kind.machine), debug::costly(1 << 18));
    let start = Instant::now();
    let binary = GoBinary::parse(&bytes).unwrap();
    assert!(matches!(binary.layout(), Err(Error::UnsupportedVersion { .. })));
    assert!(start.elapsed() < DEADLINE, "took {:?}", start.elapsed());
}

#[test]
fn a_version_without_its_debug_information_is_refused_by_name() {
    for kind in all().into_iter().filter(|kind| kind.minor == UNKNOWN) {
        let (mut bytes, places) = kind.build();
        bytes[places.debug_info.clone()].fill(0);
        let error = GoBinary::parse(&bytes).unwrap().probe_sites().unwrap_err();
        assert_eq!(error, Error::UnsupportedVersion { version: "go1.99.3".to_owned() });
    }
}

/// A packer makes segments that overlap, of a program in whatever language.
#[test]
fn a_packed_program_that_is_not_go_is_not_called_a_damaged_one() {
    let (mut bytes, places) = TINY.build();
    let end = places.program_headers + 56;
    bytes.copy_within(places.program_headers..end, end);
    assert!(refused(&bytes).contains("overlap"));
    bytes[places.build_info + 1] = b'x';
    assert!(matches!(GoBinary::parse(&bytes), Err(Error::NotGo { .. })));
}

#[test]
fn what_is_true_of_them_is_found() {
    for kind in all() {
        let bytes = kind.bytes();
        assert!(bytes.len() < 8192, "{}: {} bytes", kind.name(), bytes.len());
        let binary = GoBinary::parse(&bytes).unwrap_or_else(|error| panic!("{}: {error}", kind.name()));
        assert_eq!((binary.machine(), binary.version().release.unwrap().minor), (kind.machine, kind.minor));
        assert_eq!(binary.is_position_independent(), kind.pie);
        assert_eq!(binary.module_path(), Some("example.com/tiny"));
        assert_eq!(binary.build_settings().collect::<Vec<_>>(), [("CGO_ENABLED", "1")]);
        let sites = binary.probe_sites().unwrap();
        let probe = if kind.machine == Machine::Amd64 { 6 } else { 8 };
        assert_eq!(sites.gopark.vaddr - sites.gopark.function_vaddr, probe);
        let cgo = sites.cgo.unwrap();
        assert_eq!(cgo.exit.vaddr - cgo.enter.vaddr, 8);
        let callback = cgo.callback.unwrap();
        assert_eq!(callback.exit.vaddr - callback.enter.vaddr, 8);
        let states = sites.states.unwrap();
        assert_eq!((states.creates.len(), states.drop_m.is_some()), (1, true));
        let at = if kind.machine == Machine::Amd64 { -8 } else { 16 };
        assert_eq!(binary.thread_local_g(), Some(ThreadLocalG::Offset(at)));
        assert!(binary.all_goroutines().unwrap() > sites.gopark.vaddr);
        assert_eq!(main_frames(&binary, 0), [("main.main".to_owned(), 7)]);
        let inlined = ["main.inner[...]", "main.outer", "main.main"].map(str::to_owned);
        let lines = [42, 42, 7];
        assert_eq!(main_frames(&binary, 40), inlined.into_iter().zip(lines).collect::<Vec<_>>());
        assert!(bounded(&bytes).unwrap() > 200);
    }
}

#[test]
fn functions_that_are_not_there_are_refused() {
    for count in [1 << 32, u64::MAX, u64::MAX / 8, 1000] {
        all_are_refused("no function table", |bytes, places| put_u64(bytes, places.table + 8, count));
    }
    // Fewer or some more than there are: the module data knows how many.
    for count in [1, 24] {
        all_are_refused("no module data belongs", |bytes, places| put_u64(bytes, places.table + 8, count));
    }
    all_are_refused("no function table", |bytes, places| put_u64(bytes, places.table + 8, 0));
}

#[test]
fn parts_of_the_table_in_the_wrong_order_are_refused() {
    for part in 4..9 {
        for offset in [u64::MAX, 1 << 60, 0x10_0000] {
            all_are_refused("no function table", |bytes, places| put_u64(bytes, places.table + 8 * part, offset));
        }
    }
    all_are_refused("no function table", |bytes, places| put_u64(bytes, places.table + 32, 8));
}

#[test]
fn headers_that_contradict_one_another_are_refused() {
    all_are_refused("another processor", |bytes, _| bytes[18] ^= 62 ^ 183);
    all_are_refused("no function table", |bytes, places| bytes[places.table + 7] = 4);
    all_are_refused("machine type 3", |bytes, _| bytes[18..20].copy_from_slice(&[3, 0]));
    all_are_refused("program headers", |bytes, _| bytes[56..58].copy_from_slice(&[0xfe, 0xff]));
    all_are_refused("program headers", |bytes, _| put_u64(bytes, 32, u64::MAX));
}

#[test]
fn text_in_several_sections_is_refused() {
    let (mut bytes, places) = TINY.build();
    put_u64(&mut bytes, places.module_data + 8 * 46, 2);
    assert!(refused(&bytes).contains("several sections"));
    let old = Synthetic { minor: 21, ..TINY };
    let (mut bytes, places) = old.build();
    put_u64(&mut bytes, places.module_data + 8 * 42, 2);
    assert!(refused(&bytes).contains("several sections"));
}

#[test]
fn segments_that_overlap_or_lie_outside_are_refused() {
    // Of the second segment: place, address, size.
    let field = |places: &Places, offset: usize| places.program_headers + 56 + offset;
    all_are_refused("overlaps", |bytes, places| {
        let first = bytes[places.program_headers + 16..][..8].to_vec();
        bytes[field(places, 16)..][..8].copy_from_slice(&first);
    });
    all_are_refused("overlaps", |bytes, places| put_u64(bytes, field(places, 16), u64::MAX - 16));
    all_are_refused("a load segment needs bytes", |bytes, places| put_u64(bytes, field(places, 32), 1 << 60));
    all_are_refused("a load segment needs bytes", |bytes, places| put_u64(bytes, field(places, 8), u64::MAX));
    all_are_refused("share parts of the file", |bytes, places| {
        let size = u64::try_from(bytes.len()).unwrap();
        put_u64(bytes, field(places, 8), 0);
        put_u64(bytes, field(places, 32), size);
    });
}

#[test]
fn section_headers_past_the_end_are_refused() {
    for start in [u64::MAX, 1 << 60, 0x10_0000] {
        let mut bytes = TINY.bytes();
        put_u64(&mut bytes, 40, start);
        assert!(refused(&bytes).contains("section headers"), "{start:#x}");
    }
    // Their number in the first one's size.
    let (mut bytes, places) = TINY.build();
    bytes[60..62].fill(0);
    put_u64(&mut bytes, places.section_headers + 32, 1 << 40);
    assert!(refused(&bytes).contains("section headers"));
}

#[test]
fn a_section_that_lies_elsewhere_is_looked_for_in_the_segments() {
    for section in 1..=3 {
        for (field, number) in [(16, u64::MAX), (32, 1 << 60), (16, 0)] {
            let (mut bytes, places) = TINY.build();
            put_u64(&mut bytes, places.section_headers + 64 * section + field, number);
            assert_eq!(GoBinary::parse(&bytes).unwrap().module_path(), Some("example.com/tiny"), "{section} {field}");
            assert!(bounded(&bytes).unwrap() > 200);
        }
    }
}

#[test]
fn relocations_past_the_end_are_none() {
    for kind in all().into_iter().filter(|kind| kind.pie) {
        for (field, number) in [(8, 1 << 60), (8, u64::MAX), (24, 1 << 60), (24, u64::MAX)] {
            let (mut bytes, places) = kind.build();
            put_u64(&mut bytes, places.dynamic + field, number);
            assert!(refused(&bytes).contains("no module data"), "{} {field}", kind.name());
        }
    }
}

#[test]
fn functions_in_no_order_lead_to_no_wrong_names() {
    for kind in all() {
        let (mut bytes, places) = kind.build();
        let last = places.functions.records.len() - 1;
        let entry = |index: usize| places.table + places.functions.functions + 8 * index;
        put_u32(&mut bytes, entry(last), u32::MAX);
        assert!(refused(&bytes).contains("outside of the table"), "{}", kind.name());
        let (mut bytes, _) = kind.build();
        put_u32(&mut bytes, entry(2), 0);
        assert!(refused(&bytes).contains("garble"), "{}", kind.name());
        // The records of all lie outside.
        let (mut bytes, _) = kind.build();
        (0..=last).for_each(|index| put_u32(&mut bytes, entry(index) + 4, u32::MAX));
        assert!(refused(&bytes).contains("outside of the table"), "{}", kind.name());
    }
}

/// Every record names the next one as its own parent, or itself.
#[test]
fn inline_trees_that_go_in_circles_end() {
    for kind in all() {
        for parents in [[32, 36], [36, 32], [40, 40]] {
            let (mut bytes, places) = kind.build();
            for (index, parent) in parents.into_iter().enumerate() {
                put_u32(&mut bytes, places.inline_trees + 16 * index + 8, parent);
            }
            let binary = GoBinary::parse(&bytes).unwrap();
            let frames = main_frames(&binary, 40);
            assert!((2..=3).contains(&frames.len()), "{}: {}", kind.name(), frames.len());
            assert_eq!(frames.last().unwrap().0, "main.main");
            bounded(&bytes).unwrap();
        }
        for parent in [u32::MAX, i32::MAX.cast_unsigned(), 1 << 20] {
            let (mut bytes, places) = kind.build();
            put_u32(&mut bytes, places.inline_trees + 16 + 8, parent);
            let binary = GoBinary::parse(&bytes).unwrap();
            assert!((1..=2).contains(&main_frames(&binary, 40).len()), "{}", kind.name());
            bounded(&bytes).unwrap();
        }
    }
}

#[test]
fn records_that_count_beyond_their_end_are_unknown() {
    for kind in all() {
        let (bytes, places) = kind.build();
        let main = places.table + places.functions.records.last().unwrap();
        // Name, stack, file and line programs, number of per-pc tables, unit of files.
        for field in [4, 16, 20, 24, 28, 32] {
            for number in [u32::MAX, i32::MAX.cast_unsigned(), 1 << 24] {
                let mut bytes = bytes.clone();
                put_u32(&mut bytes, main + field, number);
                let binary = GoBinary::parse(&bytes).unwrap();
                let line =
                    binary.symbolizer().unwrap().frames(binary.probe_sites().unwrap().gopark.vaddr).remove(0).line;
                assert_eq!(line, 7, "{}: others are as they were", kind.name());
                if field != 4 && field != 28 {
                    let main = main_frames(&binary, 0);
                    let line = if matches!(field, 16) { 7 } else { 0 };
                    assert_eq!(main, [("main.main".to_owned(), line)], "{} {field} {number:#x}", kind.name());
                }
                bounded(&bytes).unwrap();
            }
        }
    }
}

#[test]
fn names_without_an_end_are_unknown() {
    for kind in all() {
        let (mut bytes, places) = kind.build();
        let [names, files] = [places.functions.names, places.functions.files].map(|part| places.table + part);
        bytes[names..files].iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = b'x');
        let binary = GoBinary::parse(&bytes).unwrap();
        let error = binary.probe_sites().unwrap_err().to_string();
        assert!(error.contains("the function table has no runtime.gopark"), "{}: {error}", kind.name());
        bounded(&bytes).unwrap();
    }
}

/// Programs that never reach their function's end, or count backwards.
#[test]
fn pc_value_programs_without_an_end_are_unknown() {
    for kind in all() {
        let (mut bytes, places) = kind.build();
        let programs = places.table + places.functions.programs;
        let end = places.table + places.functions.functions;
        for filler in [0x80, 0xff, 0x02] {
            bytes[programs..end].fill(filler);
            bounded(&bytes).unwrap();
            let binary = GoBinary::parse(&bytes).unwrap();
            assert!(binary.probe_sites().is_err(), "{}: no push is recorded", kind.name());
        }
    }
}

#[test]
fn build_info_that_is_longer_than_the_file_is_refused() {
    all_are_refused("the Go build info ends too early", |bytes, places| {
        bytes[places.build_info + 32..places.build_info + 41].fill(0xff);
    });
    all_are_refused("the Go build info ends too early", |bytes, places| bytes[places.build_info + 41] = 0xff);
    all_are_refused("no Go build info", |bytes, places| bytes[places.build_info] = 0);
}

/// What is noted of a function does not grow with it.
#[test]
fn a_function_of_nothing_but_calls_takes_no_more_memory() {
    let alone = alone();
    let mut functions = functions(Machine::Amd64);
    let caller = functions.iter_mut().find(|function| function.name == "runtime.newproc1").unwrap();
    caller.code.resize(32 << 20, 0xe8);
    let (bytes, _) = TINY.build_of(&functions);
    assert!(measured(&bytes, &alone).unwrap() > 100);
}

#[test]
fn cut_files_are_refused_or_whole_enough() {
    for kind in all() {
        let bytes = kind.bytes();
        let refusals = (0..bytes.len()).filter(|&end| bounded(&bytes[..end]).is_err()).count();
        assert!(refusals > bytes.len() / 2, "{}", kind.name());
    }
}
