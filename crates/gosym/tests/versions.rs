//! What differs between Go versions: offsets, reasons of waits; and programs of versions that nobody knows.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use support::{PLAIN, Variant, fixture, fixture_bytes, for_each_build, go, go_is_here, minor, output_of, versions};
use syncline_gosym::{Error, Frame, GoBinary, LayoutSource, Machine, RuntimeLayout};

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
