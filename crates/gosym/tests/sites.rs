//! Where real Go programs are to be probed, compared with what Go's own disassembler says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::path::Path;

use support::{Variant, data_symbol, fixture, fixture_bytes, for_each_build, functions, go, minor, output_of};
use syncline_gosym::{Machine, ProbeSite, ThreadLocalG};

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
