//! Files that are no Go programs, damaged ones, and ones made to deceive: an error or an "unknown", in time, without panic.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::cell::Cell;
use std::ops::Range;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use support::{PLAIN, Variant, fixture_bytes, go_is_here, versions};
use syncline_gosym::{Error, FrameCache, GoBinary};

const STRIPPED_PIE: Variant = Variant { pie: true, cgo: false, stripped: true };
const STRIPPED_CGO_PIE: Variant = Variant { pie: true, cgo: true, stripped: true };

/// Far more than any file of this size needs in a slow build on a busy machine.
const DEADLINE: Duration = Duration::from_secs(20);

/// Bytes of a cache that some functions fit in.
const CACHE: usize = 100_000;

/// Uses everything that a file offers; gives how far it came.
fn exercise(bytes: &[u8]) -> Result<usize, Error> {
    let start = Instant::now();
    let result = GoBinary::parse(bytes).map(|binary| {
        let sites = binary.probe_sites();
        let text = binary.text_segment();
        let symbolizer = binary.symbolizer();
        let step = usize::try_from(text.size / 500).unwrap().max(1);
        let sampled = (text.vaddr..text.vaddr.saturating_add(text.size)).step_by(step).take(600);
        let mut cache = FrameCache::new(symbolizer, CACHE);
        let frames = |address| {
            let frames = symbolizer.frames(address);
            assert_eq!(cache.frames(address), frames, "{address:#x}");
            frames.len()
        };
        let frames: usize = sampled.map(frames).sum();
        binary.build_id();
        binary.all_goroutines();
        frames + usize::from(sites.is_ok())
    });
    assert!(start.elapsed() < DEADLINE, "took {:?}", start.elapsed());
    if let Err(error) = &result {
        let line = error.to_string();
        assert!(!line.contains('\n') && line.len() < 400, "{line}");
    }
    result
}

/// A runner whose cases are the same in every run.
fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]))
}

fn find(bytes: &[u8], pattern: &[u8]) -> usize {
    bytes.windows(pattern.len()).position(|window| window == pattern).unwrap()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

#[test]
fn other_files_are_named_for_what_they_are() {
    assert!(matches!(exercise(b""), Err(Error::NotElf { .. })));
    assert!(matches!(exercise(b"#!/bin/sh\n"), Err(Error::NotElf { .. })));
    assert!(matches!(exercise(b"\x7fELF"), Err(Error::Truncated { .. })));
    assert!(matches!(exercise(&std::fs::read("/bin/true").unwrap()), Err(Error::NotGo { .. })));
    assert!(matches!(exercise(&std::fs::read(std::env::current_exe().unwrap()).unwrap()), Err(Error::NotGo { .. })));
}

#[test]
fn elf_files_of_other_machines_are_refused() {
    let own = std::fs::read("/bin/true").unwrap();
    let mut narrow = own.clone();
    narrow[4] = 1;
    assert!(matches!(exercise(&narrow), Err(Error::NotElf { .. })));
    let mut big_endian = own;
    big_endian[5] = 2;
    assert!(matches!(exercise(&big_endian), Err(Error::NotElf { .. })));
    if go_is_here() {
        let mut arm = fixture_bytes("1.27.3", PLAIN);
        arm[18..20].copy_from_slice(&183_u16.to_le_bytes());
        assert_eq!(exercise(&arm), Err(Error::UnsupportedMachine { machine: 183 }));
    }
}

#[test]
fn bytes_after_an_elf_magic_never_panic() {
    let strategy = proptest::collection::vec(any::<u8>(), 0..4096);
    let outcome = runner(500).run(&strategy, |tail| {
        let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        bytes.extend(tail);
        prop_assert!(exercise(&bytes).is_err());
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn a_truncated_file_is_an_error_or_whole_enough() {
    if !go_is_here() {
        return;
    }
    for (version, variant) in [("1.21.13", PLAIN), ("1.24.11", STRIPPED_CGO_PIE), ("1.27.3", STRIPPED_PIE)] {
        let bytes = fixture_bytes(version, variant);
        let ends = (0..5000).step_by(97).chain((5000..bytes.len()).step_by(bytes.len() / 300));
        let mut errors = 0;
        for end in ends {
            let result = exercise(&bytes[..end]);
            if end < bytes.len() / 2 {
                assert!(result.is_err(), "{version} cut at {end}");
            }
            errors += usize::from(result.is_err());
        }
        assert!(errors > 200, "{version}: {errors}");
        assert!(exercise(&bytes).unwrap() > 400);
    }
}

#[test]
fn flipped_bytes_never_panic() {
    if !go_is_here() {
        return;
    }
    for version in &versions() {
        let original = fixture_bytes(version, STRIPPED_PIE);
        let anywhere = proptest::collection::vec((0..original.len(), any::<u8>()), 1..2000);
        let outcome = runner(60).run(&anywhere, |flips| {
            let mut bytes = original.clone();
            flips.into_iter().for_each(|(place, value)| bytes[place] = value);
            let _ = exercise(&bytes);
            Ok(())
        });
        outcome.unwrap();
    }
}

/// Single bytes of the headers that everything hangs on: ELF, function table, module data.
#[test]
fn flipped_bytes_in_headers_never_panic() {
    if !go_is_here() {
        return;
    }
    for version in &versions() {
        let original = fixture_bytes(version, PLAIN);
        let table = function_table(&original);
        let module = words_equal_to(&original, table.vaddr);
        let places = (0..0x400).chain(table.at..table.at + 72).chain(module..module + 352);
        let places: Vec<usize> = places.collect();
        let flips = proptest::collection::vec((proptest::sample::select(places), any::<u8>()), 1..4);
        let outcome = runner(300).run(&flips, |flips| {
            let mut bytes = original.clone();
            flips.into_iter().for_each(|(place, value)| bytes[place] = value);
            let _ = exercise(&bytes);
            Ok(())
        });
        outcome.unwrap();
    }
}

/// Damage to names, files and pc-value programs shows at the symbols only: they must survive it.
#[test]
fn flipped_bytes_in_names_and_programs_never_panic() {
    flip_in_the_function_table(|table| table.at + 72..table.at + table.functions, 5000);
}

/// The array and the records of the functions; some of the damage is found when the file is parsed.
#[test]
fn flipped_bytes_in_function_records_never_panic() {
    flip_in_the_function_table(|table| table.at + table.functions..table.at + table.functions + 200_000, 100);
}

fn flip_in_the_function_table(area: impl Fn(&FunctionTable) -> Range<usize>, most: usize) {
    if !go_is_here() {
        return;
    }
    for version in &versions() {
        let original = fixture_bytes(version, PLAIN);
        let flips = proptest::collection::vec((area(&function_table(&original)), any::<u8>()), 1..most);
        let symbolized = Cell::new(0);
        let outcome = runner(100).run(&flips, |flips| {
            let mut bytes = original.clone();
            flips.into_iter().for_each(|(place, value)| bytes[place] = value);
            symbolized.set(symbolized.get() + exercise(&bytes).unwrap_or(0));
            Ok(())
        });
        outcome.unwrap();
        assert!(symbolized.get() > 10_000, "{version}: few frames came that far: {}", symbolized.get());
    }
}

/// Where things lie in an unstripped, fixed-address fixture.
struct FunctionTable {
    at: usize,
    vaddr: u64,
    functions: usize,
    count: usize,
}

fn function_table(bytes: &[u8]) -> FunctionTable {
    let at = find(bytes, &[0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8]);
    let offset = |index: usize| usize::try_from(u32_at(bytes, at + 8 * index)).unwrap();
    // Fixed-address programs of Go lie at 4 MiB, with the file mapped in one piece up to here.
    let vaddr = u64::try_from(at).unwrap() + 0x40_0000;
    FunctionTable { at, vaddr, functions: offset(8), count: offset(1) }
}

fn words_equal_to(bytes: &[u8], value: u64) -> usize {
    8 * bytes.chunks_exact(8).position(|word| word == value.to_le_bytes()).unwrap()
}

#[test]
fn unknown_versions_are_refused_by_name() {
    if !go_is_here() {
        return;
    }
    for (claimed, expected) in [("go1.99.3", "go1.99.3"), ("go1.20.9", "go1.20.9"), ("go2.27.3", "go2.27.3")] {
        let mut bytes = fixture_bytes("1.27.3", PLAIN);
        let info = find(&bytes, b"\xff Go buildinf:");
        let version = info + find(&bytes[info..], b"go1.27.3");
        bytes[version..version + claimed.len()].copy_from_slice(claimed.as_bytes());
        let error = exercise(&bytes).unwrap_err();
        assert_eq!(error, Error::UnsupportedVersion { version: expected.to_owned() });
        let line = error.to_string();
        assert!(line.contains(expected) && line.contains("go1.21 to go1.27"), "{line}");
    }
}

#[test]
fn build_info_without_text_in_line_is_too_old() {
    if !go_is_here() {
        return;
    }
    let mut bytes = fixture_bytes("1.27.3", PLAIN);
    let info = find(&bytes, b"\xff Go buildinf:");
    bytes[info + 15] = 0;
    assert_eq!(exercise(&bytes), Err(Error::UnsupportedVersion { version: "older than go1.18".to_owned() }));
    bytes[info + 1] = b'x';
    assert!(matches!(exercise(&bytes), Err(Error::NotGo { .. })));
}

/// What garble does: another magic number, encrypted entry offsets, other names.
#[test]
fn obfuscated_tables_are_told_from_damage_elsewhere() {
    if !go_is_here() {
        return;
    }
    for version in &versions() {
        let original = fixture_bytes(version, PLAIN);
        let table = function_table(&original);

        let mut bytes = original.clone();
        bytes[table.at] ^= 0x55;
        assert!(matches!(exercise(&bytes), Err(Error::Garbled { .. })), "{version}");

        let mut bytes = original.clone();
        let functions = table.at + table.functions;
        for index in 0..table.count {
            let record = functions + usize::try_from(u32_at(&bytes, functions + 8 * index + 4)).unwrap();
            bytes[record] ^= 0x5a;
        }
        let error = exercise(&bytes).unwrap_err();
        assert!(error.to_string().contains("garble"), "{version}: {error}");

        let mut bytes = original.clone();
        let name = table.at + find(&bytes[table.at..], b"\0runtime.gopark\0");
        bytes[name + 9..name + 15].copy_from_slice(b"aBcDeF");
        let binary = GoBinary::parse(&bytes).unwrap();
        let error = binary.probe_sites().unwrap_err();
        assert!(matches!(&error, Error::Garbled { what } if what.contains("runtime.gopark")), "{version}: {error}");
    }
}

#[test]
fn a_changed_prologue_is_not_probed() {
    if !go_is_here() {
        return;
    }
    for version in &versions() {
        let original = fixture_bytes(version, PLAIN);
        let site = GoBinary::parse(&original).unwrap().probe_sites().unwrap().gopark;
        let at = usize::try_from(site.file_offset).unwrap();
        for shift in [0, 1, 2, 3] {
            let mut bytes = original.clone();
            bytes[at + shift] = 0x90;
            let error = GoBinary::parse(&bytes).unwrap().probe_sites().unwrap_err();
            assert!(
                matches!(error, Error::UnknownPrologue { function: "runtime.gopark", address, .. } if address == site.function_vaddr),
                "{version}: {error}"
            );
        }
        // A well-formed prologue at a place where the function table has no push.
        let mut bytes = original.clone();
        let entry = at - usize::try_from(site.vaddr - site.function_vaddr).unwrap();
        bytes[entry..entry + 4].copy_from_slice(&[0x55, 0x48, 0x89, 0xe5]);
        let error = GoBinary::parse(&bytes).unwrap().probe_sites().unwrap_err();
        assert!(error.to_string().contains("knows no push"), "{version}: {error}");
    }
}
