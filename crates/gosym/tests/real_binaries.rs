//! Build info and symbols of real Go programs of several versions and link modes, compared with what Go's own tools and runtime say.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::collections::BTreeMap;
use std::collections::HashMap;

use support::{fixture, fixture_bytes, for_each_build, functions, go, minor, output_of, runner_of};
use syncline_gosym::{Frame, FrameCache, GoBinary, Release, Symbolizer};

#[test]
fn build_info_is_read() {
    for_each_build(|version, variant, binary| {
        assert_eq!(binary.version().text, format!("go{version}"));
        let Release { major, minor, patch } = binary.version().release.unwrap();
        assert_eq!(format!("{major}.{minor}.{patch}"), version);
        assert_eq!(binary.module_path(), Some("example.com/gosym/fixture"));
        assert_eq!(binary.wait_reason(2), Some("IO wait"));
        assert_eq!(binary.machine(), variant.machine);
    });
}

#[test]
fn each_build_has_an_id_of_its_own() {
    let ids = std::cell::RefCell::new(BTreeMap::new());
    for_each_build(|version, variant, binary| {
        let build = format!("{version} {variant:?}");
        assert_eq!(binary.build_id(), GoBinary::parse(&fixture_bytes(version, variant)).unwrap().build_id());
        assert_eq!(ids.borrow_mut().insert(binary.build_id(), build.clone()), None, "{build}");
    });
}

/// Without a Go build id of cmd/go, the content tells builds apart.
#[test]
fn builds_without_a_build_id_differ_by_content() {
    for_each_build(|version, variant, binary| {
        let mut bytes = fixture_bytes(version, variant);
        let header = b"\x04\0\0\0\x53\0\0\0\x04\0\0\0Go\0\0";
        let note = 12 + bytes.windows(header.len()).position(|window| window == header).unwrap();
        bytes[note + 4..note + 4 + 0x53].fill(b'x');
        let id = GoBinary::parse(&bytes).unwrap().build_id();
        assert_ne!(id, binary.build_id());
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert_ne!(GoBinary::parse(&bytes).unwrap().build_id(), id, "{version} {variant:?}");
        assert_eq!(GoBinary::parse(&bytes.clone()).unwrap().build_id(), GoBinary::parse(&bytes).unwrap().build_id());
    });
}

/// Every 61st byte of the Go code: all functions, all places within instructions.
fn sample_addresses(functions: &[(String, u64, u64)]) -> Vec<u64> {
    let go_functions = || functions.iter().filter(|(name, _, size)| name.contains('.') && *size > 0);
    let mut addresses: Vec<u64> =
        go_functions().flat_map(|&(_, address, size)| (address..address + size).step_by(61)).collect();
    addresses.sort_unstable();
    addresses.dedup();
    assert!(addresses.len() > 5000, "{}", addresses.len());
    addresses
}

#[test]
fn functions_files_and_lines_equal_addr2line() {
    for_each_build(|version, variant, binary| {
        let twin = fixture(version, variant.twin());
        let symbolizer = binary.symbolizer().unwrap();
        let addresses = sample_addresses(&functions(version, &twin));
        let input: String = addresses.iter().map(|address| format!("{address:#x}\n")).collect();
        let output = output_of(go(version).args(["tool", "addr2line"]).arg(&twin), &input);
        let lines: Vec<&str> = output.lines().collect();
        let mut known = 0;
        for (address, lines) in addresses.iter().zip(lines.chunks_exact(2)) {
            // C functions: addr2line takes them for the last Go function before them.
            let Some(function) = symbolizer.function_at(*address) else { continue };
            let frames = symbolizer.frames(*address);
            // addr2line names the physical function, with the position of the innermost inlined call.
            let position = format!("{}:{}", frames[0].file, frames[0].line);
            assert_eq!(
                (function.name.as_str(), position.as_str()),
                (lines[0], lines[1]),
                "{version} {variant:?} {address:#x}"
            );
            known += 1;
        }
        assert_eq!(lines.len(), 2 * addresses.len());
        assert!(known > 5000, "{version} {variant:?}: only {known} addresses");
        println!("{version} {variant:?}: {known} addresses agree with go tool addr2line");
    });
}

/// Some packers and `sstrip` drop the section headers, which the kernel does not need. Nor do we.
#[test]
fn section_headers_are_not_needed() {
    for_each_build(|version, variant, binary| {
        let mut bytes = fixture_bytes(version, variant);
        bytes[40..48].fill(0); // e_shoff
        bytes[60..64].fill(0); // e_shnum, e_shstrndx
        let bare = GoBinary::parse(&bytes).unwrap_or_else(|error| panic!("{version} {variant:?}: {error}"));
        assert_eq!((bare.version(), bare.build_id()), (binary.version(), binary.build_id()));
        let sites = binary.probe_sites().unwrap();
        assert_eq!(bare.probe_sites().unwrap(), sites);
        for site in [sites.gopark, sites.ready, sites.execute, sites.netpollready] {
            assert_eq!(bare.symbolizer().unwrap().frames(site.vaddr), binary.symbolizer().unwrap().frames(site.vaddr));
        }
    });
}

/// (pc, function, file, line) of one frame as the fixture prints it.
type Reported<'a> = (u64, &'a str, &'a str, u32);

fn reported_stacks(output: &str) -> Vec<Vec<Reported<'_>>> {
    output.split_terminator("\n\n").map(|stack| stack.lines().map(reported_frame).collect()).collect()
}

fn reported_frame(line: &str) -> Reported<'_> {
    let parts: Vec<&str> = line.split('\t').collect();
    (u64::from_str_radix(parts[0], 16).unwrap(), parts[1], parts[2], parts[3].parse().unwrap())
}

fn address_of(functions: &[(String, u64, u64)], name: &str) -> u64 {
    functions.iter().find(|(candidate, _, _)| candidate == name).unwrap().1
}

/// runtime.Callers gives one address for each call, the inlined ones too: the first of a physical frame yields them all.
#[test]
fn inlined_chains_equal_the_programs_own_stacks() {
    for_each_build(|version, variant, binary| {
        let Some(mut program) = runner_of(&fixture(version, variant), variant.machine) else { return };
        let symbolizer = binary.symbolizer().unwrap();
        let output = output_of(program.arg("callers"), "");
        let (entry, stacks) = output.split_once('\n').unwrap();
        let link_entry = address_of(&functions(version, &fixture(version, variant.twin())), "main.main");
        let bias = u64::from_str_radix(entry, 16).unwrap().wrapping_sub(link_entry);
        let mut inlined = 0;
        let stacks = reported_stacks(stacks);
        assert!(stacks.len() > 10);
        for mut rest in stacks.iter().map(Vec::as_slice) {
            while let Some(&(pc, ..)) = rest.first() {
                let frames = symbolizer.frames(pc.wrapping_sub(bias) - 1);
                assert!(is_well_formed(&frames), "{version} {variant:?} {frames:?}");
                let frames: Vec<&Frame<'_>> = frames.iter().filter(|frame| !frame.wrapper).collect();
                assert!(!frames.is_empty());
                let (reported, after) = rest.split_at(frames.len());
                for (frame, &(_, function, file, line)) in frames.iter().zip(reported) {
                    assert_eq!(
                        (&*frame.function, &*frame.file, frame.line),
                        (function, file, line),
                        "{version} {variant:?}"
                    );
                }
                inlined += frames.len() - 1;
                rest = after;
            }
        }
        assert!(inlined >= 10, "{version} {variant:?}: only {inlined} inlined calls");
    });
}

/// Inlined calls, then one physical function.
fn is_well_formed(frames: &[Frame<'_>]) -> bool {
    frames.split_last().is_some_and(|(last, inlined)| !last.inlined && inlined.iter().all(|frame| frame.inlined))
}

/// Go 1.23 and later expand any address; that covers inlined calls in all of the standard library.
#[test]
fn inlined_chains_equal_callers_frames_everywhere() {
    for_each_build(|version, variant, binary| {
        if minor(version) < 23 {
            return;
        }
        let Some(mut program) = runner_of(&fixture(version, variant), variant.machine) else { return };
        let symbolizer = binary.symbolizer().unwrap();
        let listed = functions(version, &fixture(version, variant.twin()));
        let link_entry = address_of(&listed, "main.main");
        let addresses: Vec<u64> =
            sample_addresses(&listed).into_iter().filter(|&address| is_within_function(&symbolizer, address)).collect();
        let input: String =
            addresses.iter().map(|address| format!("{}\n", address.wrapping_sub(link_entry).cast_signed())).collect();
        let output = output_of(program.arg("expand"), &input);
        let stacks = reported_stacks(&output);
        assert_eq!(stacks.len(), addresses.len());
        let (mut inlined, mut nameless) = (0, 0);
        for (&address, stack) in addresses.iter().zip(&stacks) {
            // The runtime cannot print the name at the very start of the name table.
            if stack.iter().any(|(_, function, ..)| function.is_empty()) {
                nameless += 1;
                continue;
            }
            let frames = symbolizer.frames(address);
            assert!(is_well_formed(&frames), "{version} {variant:?} {frames:?}");
            inlined += frames.len() - 1;
            // The runtime leaves wrappers out, unless they are the innermost.
            let told = frames.iter().enumerate().filter(|(depth, frame)| *depth == 0 || !frame.wrapper);
            let ours: Vec<_> = told.map(|(_, frame)| (&*frame.function, &*frame.file, frame.line)).collect();
            let theirs: Vec<_> = stack.iter().map(|&(_, function, file, line)| (function, file, line)).collect();
            assert_eq!(ours, theirs, "{version} {variant:?} {address:#x}");
        }
        assert!(inlined > 1000, "{version} {variant:?}: only {inlined} inlined calls");
        assert!(nameless < 50, "{version} {variant:?}: {nameless} functions without a name");
        println!(
            "{version} {variant:?}: {} addresses, {inlined} inlined calls agree with runtime.CallersFrames",
            stacks.len()
        );
    });
}

/// Kept or not, in any order: what is said of an address stays the same.
#[test]
fn a_cache_of_any_size_says_the_same() {
    for_each_build(|version, variant, binary| {
        let symbolizer = binary.symbolizer().unwrap();
        let mut addresses = sample_addresses(&functions(version, &fixture(version, variant.twin())));
        let expected: HashMap<u64, Vec<Frame<'_>>> =
            addresses.iter().map(|&address| (address, symbolizer.frames(address))).collect();
        for max_size in [0, 50_000, 100_000_000] {
            let mut cache = FrameCache::new(symbolizer, max_size);
            for order in ["up", "down", "far from one another"] {
                match order {
                    "down" => addresses.reverse(),
                    "far from one another" => {
                        addresses.sort_unstable_by_key(|address| address.wrapping_mul(0x9e37_79b9));
                    }
                    _ => addresses.sort_unstable(),
                }
                for address in &addresses {
                    assert_eq!(cache.frames(*address), expected[address], "{version} {variant:?} {order} {address:#x}");
                }
            }
        }
    });
}

/// As Go's own stacks have them: what `callers` prints is compared name by name elsewhere.
#[test]
fn names_of_closures_and_generic_functions_are_readable() {
    for_each_build(|version, variant, binary| {
        let symbolizer = binary.symbolizer().unwrap();
        let listed = functions(version, &fixture(version, variant.twin()));
        let printed: Vec<_> =
            listed.iter().flat_map(|&(_, address, _)| symbolizer.frames(address)).map(|frame| frame.function).collect();
        let minor = minor(version);
        // Go 1.21 names what a go or defer statement wraps like any other closure.
        let [spawned, deferred] = if minor < 22 {
            ["main.spawn.func2", "main.closures.func3"]
        } else {
            ["main.spawn.gowrap1", "main.closures.deferwrap1"]
        };
        for name in [
            "main.closures.func1",
            "main.closures.func1.1",
            "main.generic[...]",
            "main.(*list[...]).add.func1",
            "main.(*list[...]).add",
            "main.(*square).area",
            "main.square.area-fm",
            "main.(*list[...]).add-fm",
            spawned,
            deferred,
        ] {
            assert!(printed.iter().any(|it| it == name), "{version} {variant:?} {name}");
        }
        assert!(!printed.iter().any(|name| name.contains("go.shape")), "{version} {variant:?}");
    });
}

fn is_within_function(symbolizer: &Symbolizer<'_>, address: u64) -> bool {
    let here = symbolizer.function_at(address);
    here.is_some() && here == symbolizer.function_at(address + 1)
}

#[test]
fn addresses_outside_of_the_code_have_no_frames() {
    for_each_build(|_, _, binary| {
        let symbolizer = binary.symbolizer().unwrap();
        for address in [0, 1, binary.text_segment().vaddr.wrapping_sub(1), u64::MAX, u64::MAX / 2] {
            assert_eq!(symbolizer.frames(address), []);
            assert_eq!(symbolizer.function_at(address), None);
        }
    });
}
