//! Real Go programs of several versions and link modes, compared with what Go's own tools and runtime say about them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::process::Command;

use support::{
    PLAIN, Variant, data_symbol, fixture, fixture_bytes, functions, go, go_is_here, output_of, runner_of, variants,
    versions,
};
use syncline_gosym::{
    Error, Frame, FrameCache, GoBinary, LayoutSource, Machine, ProbeSite, Release, RuntimeLayout, Symbolizer,
    ThreadLocalG,
};

/// Runs a test on every version and variant.
fn for_each_build(test: impl Fn(&str, Variant, &GoBinary<'_>)) {
    if !go_is_here() {
        return;
    }
    for version in &versions() {
        for variant in variants(version) {
            let bytes = fixture_bytes(version, variant);
            let binary = GoBinary::parse(&bytes).unwrap_or_else(|error| panic!("{version} {variant:?}: {error}"));
            test(version, variant, &binary);
        }
    }
}

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

fn minor(version: &str) -> u16 {
    version.split('.').nth(1).unwrap().parse().unwrap()
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
fn probe_sites_are_the_instructions_that_objdump_shows() {
    for_each_build(|version, variant, binary| {
        let twin = fixture(version, variant.twin());
        let listed = functions(version, &twin);
        let sites = binary.probe_sites().unwrap();
        for (name, site) in [
            ("runtime.gopark", sites.gopark),
            ("runtime.ready", sites.ready),
            ("runtime.execute", sites.execute),
            ("runtime.netpollready", sites.netpollready),
        ] {
            let (_, address, size) = listed.iter().find(|(candidate, _, _)| candidate == name).unwrap();
            assert_eq!(site.function_vaddr, *address, "{version} {variant:?} {name}");
            assert!((*address..address + size).contains(&site.vaddr), "{version} {variant:?} {name}");
            assert_eq!(bytes_in_file(version, variant, site), site.expected);
            let frameless = version.starts_with("1.21.") && name == "runtime.netpollready";
            let probed = probed_in_objdump(version, &twin, name, variant.machine);
            assert_eq!(site.vaddr, if frameless { *address } else { probed.unwrap() }, "{version} {variant:?} {name}");
            if variant.machine == Machine::Amd64 {
                assert_eq!(site.expected[0] == 0x55, !frameless, "{version} {variant:?} {name}");
            }
        }
    });
}

#[test]
fn state_sites_are_the_instructions_that_objdump_shows() {
    for_each_build(|version, variant, binary| {
        let twin = fixture(version, variant.twin());
        let minor = minor(version);
        let sites = binary.probe_sites().unwrap().states.unwrap_or_else(|| panic!("{version} {variant:?}"));
        for (name, site) in [
            (if minor < 22 { "runtime.goexit0" } else { "runtime.gdestroy" }, sites.destroy),
            ("runtime.goschedImpl", sites.yields[0]),
            ("runtime.goyield_m", sites.yields[1]),
            ("runtime.preemptPark", sites.yields[2]),
            (
                if minor < 26 { "runtime.exitsyscallfast_pidle" } else { "runtime.exitsyscallTryGetP" },
                sites.lost_processor,
            ),
            (if minor < 26 { "runtime.exitsyscall0" } else { "runtime.exitsyscallNoP" }, sites.no_processor),
        ] {
            let probed = probed_in_objdump(version, &twin, name, variant.machine);
            assert_eq!(Some(site.vaddr), probed, "{version} {variant:?} {name}");
            assert_eq!(bytes_in_file(version, variant, site), site.expected);
        }
        let switch = sites.coroutine_switch.map(|site| site.vaddr);
        let probed = probed_in_objdump(version, &twin, "runtime.coroswitch_m", variant.machine);
        assert_eq!(switch, probed, "{version} {variant:?}");
        let creates: Vec<u64> = sites.creates.iter().map(|site| site.vaddr).collect();
        let calls = calls_in_objdump(version, &twin, "runtime.newproc1", "CALL runtime.casgstatus(SB)");
        assert_eq!(creates, calls, "{version} {variant:?}");
        assert!(!creates.is_empty());
    });
}

/// The addresses of these instructions of a function.
fn calls_in_objdump(version: &str, path: &Path, name: &str, call: &str) -> Vec<u64> {
    let pattern = format!("^{}$", name.replace('.', "\\."));
    let listing = output_of(go(version).args(["tool", "objdump", "-s", &pattern]).arg(path), "");
    let addresses = listing.lines().filter(|line| line.contains(call)).map(|line| line.split_whitespace().nth(1));
    addresses.map(|address| u64::from_str_radix(address.unwrap().strip_prefix("0x").unwrap(), 16).unwrap()).collect()
}

fn bytes_in_file(version: &str, variant: Variant, site: ProbeSite) -> [u8; 16] {
    let start = usize::try_from(site.file_offset).unwrap();
    fixture_bytes(version, variant)[start..start + 16].try_into().unwrap()
}

/// Of a function for amd64 the first `PUSHQ BP`; for arm64 the branch in front of the first instruction that moves the stack
/// pointer, and where there is none, that one.
fn probed_in_objdump(version: &str, path: &Path, name: &str, machine: Machine) -> Option<u64> {
    let pattern = format!("^{}$", name.replace('.', "\\."));
    let listing = output_of(go(version).args(["tool", "objdump", "-s", &pattern]).arg(path), "");
    let lines: Vec<&str> = listing.lines().collect();
    let push = if machine == Machine::Amd64 { "PUSHQ BP" } else { "MOVD.W R30, -" };
    let push = lines.iter().position(|line| line.contains(push))?;
    let has_guard = machine == Machine::Arm64 && lines[push - 1].contains("\tBLS ");
    let address = lines[push - usize::from(has_guard)].split_whitespace().nth(1)?;
    u64::from_str_radix(address.strip_prefix("0x")?, 16).ok()
}

/// What probes of C code and of its threads need, against what objdump shows.
#[test]
fn calls_of_c_code_are_the_instructions_that_objdump_shows() {
    for_each_build(|version, variant, binary| {
        let sites = binary.probe_sites().unwrap();
        assert_eq!(sites.cgo.is_some(), variant.cgo, "{version} {variant:?}");
        let Some(cgo) = sites.cgo else { return };
        let twin = fixture(version, variant.twin());
        let first_call =
            |caller, callee: &str| calls_in_objdump(version, &twin, caller, &format!("CALL {callee}(SB)"))[0];
        let callback = cgo.callback.unwrap();
        assert_eq!(cgo.enter.vaddr, first_call("runtime.cgocall", "runtime.asmcgocall.abi0"));
        assert_eq!(cgo.exit.vaddr, first_call("runtime.cgocall", "runtime.exitsyscall"));
        assert_eq!(callback.enter.vaddr, first_call("runtime.cgocallbackg", "runtime.exitsyscall"));
        assert_eq!(callback.exit.vaddr, first_call("runtime.cgocallbackg", "runtime.reentersyscall"));
        let drop_m = sites.states.unwrap().drop_m.map(|site| site.vaddr);
        assert_eq!(drop_m, probed_in_objdump(version, &twin, "runtime.dropm", variant.machine));
        for site in [cgo.enter, cgo.exit, callback.enter, callback.exit] {
            assert_eq!(bytes_in_file(version, variant, site), site.expected);
        }
    });
}

/// By convention -8 where the program is the main one of its process, on arm64 the first word behind the thread's control block.
#[test]
fn the_thread_local_g_is_where_the_linker_put_it() {
    for_each_build(|version, variant, binary| {
        let expected = match (variant.machine, variant.cgo) {
            (Machine::Amd64, _) => Some(-8),
            (Machine::Arm64, true) => Some(16),
            (Machine::Arm64, false) => None,
        };
        assert_eq!(binary.thread_local_g(), expected.map(ThreadLocalG::Offset), "{version} {variant:?}");
    });
}

#[test]
fn the_list_of_all_goroutines_is_where_the_symbol_table_has_it() {
    for_each_build(|version, variant, binary| {
        let expected = data_symbol(version, &fixture(version, variant.twin()), "runtime.allgs");
        let found = binary.all_goroutines();
        if variant.stripped {
            // The build info in front of it says so, and is longer.
            assert!(found.is_some_and(|found| found.abs_diff(expected) < 4096), "{version} {variant:?} {found:?}");
        } else {
            assert_eq!(found, Some(expected), "{version} {variant:?}");
        }
    });
}

/// What the tables tell is what the program's own debug information tells, which is read where there is any.
#[test]
fn layouts_are_read_from_the_debug_information() {
    for_each_build(|version, variant, binary| {
        let layout = *binary.layout().unwrap();
        let table = *RuntimeLayout::of_minor(minor(version)).unwrap();
        let source = if variant.stripped { table.source } else { LayoutSource::Dwarf };
        assert_eq!(layout, RuntimeLayout { source, ..table }, "{version} {variant:?}");
    });
}

/// The same program, as if a Go version had built it that nobody knows.
fn of_unknown_version(version: &str, variant: Variant) -> Vec<u8> {
    let mut bytes = fixture_bytes(version, variant);
    let magic = b"\xff Go buildinf:";
    let build_info = bytes.windows(magic.len()).rposition(|window| window == magic).unwrap();
    let text = build_info + 33;
    let unknown = format!("go1.9{}", &version[3..]);
    assert_eq!(&bytes[text..text + unknown.len()], format!("go{version}").as_bytes());
    bytes[text..text + unknown.len()].copy_from_slice(unknown.as_bytes());
    bytes
}

/// Debug information and symbols tell of it what the tables tell of a known version.
#[test]
fn an_unknown_version_with_debug_information_is_read_whole() {
    for_each_build(|version, variant, known| {
        if variant.stripped {
            return;
        }
        let bytes = of_unknown_version(version, variant);
        let binary = GoBinary::parse(&bytes).unwrap();
        let (layout, of_known) = (*binary.layout().unwrap(), *known.layout().unwrap());
        assert_eq!(layout, RuntimeLayout { labels_form: layout.labels_form, ..of_known });
        // A program without a profiler does not tell how labels are kept, and has none.
        assert!(layout.labels_form.is_none_or(|form| Some(form) == of_known.labels_form), "{version} {variant:?}");
        assert_eq!(binary.probe_sites(), known.probe_sites());
        for number in 0..=u8::MAX {
            assert_eq!(binary.wait_reason(number), known.wait_reason(number), "{version} {variant:?}");
        }
        assert_eq!(binary.wait_reason(2), Some("IO wait"));
    });
}

/// Goroutines cannot be probed, but addresses have their names, inlined calls included.
#[test]
fn an_unknown_version_without_debug_information_still_has_its_symbols() {
    for_each_build(|version, variant, known| {
        if !variant.stripped {
            return;
        }
        let bytes = of_unknown_version(version, variant);
        let binary = GoBinary::parse(&bytes).unwrap();
        for error in [binary.layout().unwrap_err(), binary.probe_sites().unwrap_err()] {
            assert!(matches!(error, Error::UnsupportedVersion { .. }), "{error}");
        }
        assert_eq!(binary.wait_reason(2), None);
        assert_eq!(binary.text_segment(), known.text_segment());
        let (ours, theirs) = (binary.symbolizer().unwrap(), known.symbolizer().unwrap());
        let text = known.text_segment();
        let mut inlined = 0;
        for address in (text.vaddr..text.vaddr + text.size).step_by(61) {
            // Which functions are wrappers is said by a number of the version's.
            let comparable = |frames: Vec<_>| -> Vec<_> {
                frames.into_iter().map(|frame| Frame { wrapper: false, ..frame }).collect()
            };
            let frames = comparable(ours.frames(address));
            assert_eq!(frames, comparable(theirs.frames(address)), "{version} {variant:?} {address:#x}");
            inlined += frames.iter().filter(|frame| frame.inlined).count();
        }
        assert!(inlined > 500, "{version} {variant:?}: only {inlined} inlined calls");
    });
}

#[test]
fn layouts_equal_the_debug_information() {
    if !go_is_here() {
        return;
    }
    for (version, machine) in versions_and_machines() {
        let (version, variant) = (&version, Variant { machine, ..PLAIN });
        let output = output_of(Command::new(fixture(version, PLAIN)).arg("layout").arg(fixture(version, variant)), "");
        let mut offsets = HashMap::new();
        for line in output.lines() {
            let parts: Vec<&str> = line.split('\t').collect();
            offsets.insert((parts[0], parts[1]), parts[2].parse::<u16>().unwrap());
        }
        let of = |structure, field| offsets[&(structure, field)];
        let layout = RuntimeLayout::of_minor(minor(version)).unwrap();
        let (stack, sched) = (of("runtime.g", "stack"), of("runtime.g", "sched"));
        for (name, ours, theirs) in [
            ("stack.lo", layout.g_stack_lo, stack + of("runtime.stack", "lo")),
            ("stack.hi", layout.g_stack_hi, stack + of("runtime.stack", "hi")),
            ("g.m", layout.g_m, of("runtime.g", "m")),
            ("sched.sp", layout.g_sched_sp, sched + of("runtime.gobuf", "sp")),
            ("sched.pc", layout.g_sched_pc, sched + of("runtime.gobuf", "pc")),
            ("sched.g", layout.g_sched_g, sched + of("runtime.gobuf", "g")),
            ("sched.bp", layout.g_sched_bp, sched + of("runtime.gobuf", "bp")),
            ("syscallsp", layout.g_syscallsp, of("runtime.g", "syscallsp")),
            ("syscallpc", layout.g_syscallpc, of("runtime.g", "syscallpc")),
            ("atomicstatus", layout.g_atomicstatus, of("runtime.g", "atomicstatus")),
            ("goid", layout.g_goid, of("runtime.g", "goid")),
            ("waitreason", layout.g_waitreason, of("runtime.g", "waitreason")),
            ("labels", layout.g_labels, of("runtime.g", "labels")),
            (
                "coroarg",
                layout.g_coroarg.unwrap_or_default(),
                offsets.get(&("runtime.g", "coroarg")).copied().unwrap_or_default(),
            ),
            ("m.g0", layout.m_g0, of("runtime.m", "g0")),
            ("procid", layout.m_procid, of("runtime.m", "procid")),
            ("curg", layout.m_curg, of("runtime.m", "curg")),
            ("fd", layout.polldesc_fd, of("runtime.pollDesc", "fd")),
            ("rg", layout.polldesc_rg, of("runtime.pollDesc", "rg")),
            ("wg", layout.polldesc_wg, of("runtime.pollDesc", "wg")),
            ("gofunc", layout.moduledata_gofunc, of("runtime.moduledata", "gofunc")),
        ] {
            assert_eq!(ours, theirs, "{version} {machine} {name}");
        }
    }
}

fn versions_and_machines() -> Vec<(String, Machine)> {
    let both = |version: String| [Machine::Amd64, Machine::Arm64].map(|machine| (version.clone(), machine));
    versions().into_iter().flat_map(both).collect()
}

#[test]
fn wait_reasons_equal_the_runtimes_source() {
    if !go_is_here() {
        return;
    }
    for version in &versions() {
        let root = output_of(go(version).args(["env", "GOROOT"]), "");
        let source = std::fs::read_to_string(Path::new(root.trim()).join("src/runtime/runtime2.go")).unwrap();
        let bytes = fixture_bytes(version, PLAIN);
        let binary = GoBinary::parse(&bytes).unwrap();
        let theirs = wait_reasons_in(&source);
        assert!(theirs.len() > 30, "{version}: {theirs:?}");
        let ours: Vec<_> = (0..=u8::MAX).map_while(|number| binary.wait_reason(number)).collect();
        assert_eq!(ours, theirs, "{version}");
    }
}

/// The texts in the order of the constants.
fn wait_reasons_in(source: &str) -> Vec<&str> {
    let constants = source.split_once("waitReasonZero ").unwrap().1.split_once("\n)").unwrap().0;
    let names = constants.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    let texts = source.split_once("waitReasonStrings = [...]string{").unwrap().1.split_once("\n}").unwrap().0;
    let texts: HashMap<&str, &str> = texts
        .lines()
        .filter_map(|line| line.trim().split_once(':'))
        .map(|(name, text)| (name, text.trim().trim_end_matches(',').trim_matches('"')))
        .collect();
    let names = names.filter(|name| name.starts_with("waitReason"));
    std::iter::once("waitReasonZero").chain(names).map(|name| texts[name]).collect()
}

#[test]
fn addresses_of_a_process_become_link_time_addresses() {
    for_each_build(|version, variant, binary| {
        let text = binary.text_segment();
        let site = binary.probe_sites().unwrap().gopark;
        // As the kernel maps it: whole pages, at any address.
        let map_offset = text.file_offset & !0xfff;
        let map_start = 0x7f12_3456_7000;
        let address = map_start + (site.file_offset - map_offset);
        assert_eq!(text.link_vaddr(address, map_start, map_offset), Some(site.vaddr), "{version} {variant:?}");
        assert_eq!(text.link_vaddr(map_start - 1, map_start, map_offset), None);
        assert_eq!(text.link_vaddr(map_start + text.size + 0x2000, map_start, map_offset), None);
    });
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
