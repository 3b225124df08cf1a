//! What an inspection found, for people to read.

use std::fmt::Write as _;

use super::{Inspection, Probe};

/// Fields in a line.
const FIELDS: usize = 6;

/// All of it.
#[must_use]
pub fn text(found: &Inspection) -> String {
    let mut text = format!("{}\n", found.executable.display());
    let module = found.module.as_deref().unwrap_or("(no module)");
    let place = if found.position_independent { "position-independent" } else { "at a fixed address" };
    let symbols = if found.stripped { "stripped" } else { "with symbols" };
    let _ = writeln!(text, "  {}, {}, {module}, {place}, {symbols}", found.go_version, found.machine);
    let _ = writeln!(text, "  build id {} in events", found.build_id);
    let settings: Vec<String> = found.settings.iter().map(|of| format!("{}={}", of.name, of.value)).collect();
    if !settings.is_empty() {
        let _ = writeln!(text, "  built with {}", settings.join(" "));
    }
    text.push_str("\ncaptured\n");
    for of in &found.kinds {
        let why = of.why.as_ref().map_or_else(|| "yes".to_owned(), |why| format!("no: {why}"));
        let _ = writeln!(text, "  {:13} {why}", of.kind.name());
    }
    if let Some(why) = &found.limited {
        let _ = writeln!(text, "\ngoroutines are not observed, so that waits of threads are of none: {why}");
    }
    if let Some(why) = &found.nameless {
        let _ = writeln!(text, "\nstacks have addresses without names: {why}");
    }
    text.push_str(&probes(&found.probes));
    if let Some(from) = &found.offsets_from {
        let _ = writeln!(text, "\nfields of Go's runtime, by {from}");
    }
    for fields in found.offsets.chunks(FIELDS) {
        let line: Vec<String> = fields.iter().map(|field| format!("{} {}", field.name, field.offset)).collect();
        let _ = writeln!(text, "  {}", line.join("  "));
    }
    text
}

fn probes(all: &[Probe]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let width = all.iter().map(|probe| probe.function.chars().count()).max().unwrap_or(0);
    let mut text = "\nprobes: for what, where, offset in the file, and the bytes that must be there\n".to_owned();
    for Probe { part, function, vaddr, file_offset, bytes } in all {
        let _ = writeln!(text, "  {part:8} {function:width$}  {vaddr:#x}  {file_offset:#x}  {bytes}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::{Captured, Field, Setting};
    use crate::kinds::CaptureKind;

    #[test]
    fn everything_is_said() {
        let found = Inspection {
            executable: "/opt/shop/cart".into(),
            machine: "amd64",
            go_version: "go1.27.3".to_owned(),
            module: Some("shop/cart".to_owned()),
            build_id: 7,
            position_independent: true,
            stripped: true,
            settings: vec![Setting { name: "CGO_ENABLED".to_owned(), value: "0".to_owned() }],
            limited: None,
            nameless: None,
            kinds: vec![
                Captured { kind: CaptureKind::Park, captured: true, why: None },
                Captured { kind: CaptureKind::Cgo, captured: false, why: Some("it calls no C code".to_owned()) },
            ],
            probes: vec![Probe {
                part: "park",
                function: "runtime.gopark".to_owned(),
                vaddr: 0x40_1000,
                file_offset: 0x1000,
                bytes: "55 48 89 e5".to_owned(),
            }],
            offsets: vec![Field { name: "g.goid", offset: 152 }],
            offsets_from: Some("the table of Go 1.27, measured on go1.27.3".to_owned()),
        };
        assert_eq!(
            text(&found),
            "/opt/shop/cart\n  go1.27.3, amd64, shop/cart, position-independent, stripped\n  build id 7 in events\n  \
             built with CGO_ENABLED=0\n\ncaptured\n  park          yes\n  cgo           no: it calls no C code\n\n\
             probes: for what, where, offset in the file, and the bytes that must be there\n  \
             park     runtime.gopark  0x401000  0x1000  55 48 89 e5\n\n\
             fields of Go's runtime, by the table of Go 1.27, measured on go1.27.3\n  g.goid 152\n"
        );
        let limited = Inspection {
            limited: Some("the build info hides it".to_owned()),
            nameless: Some("there is no table".to_owned()),
            probes: Vec::new(),
            offsets: Vec::new(),
            offsets_from: None,
            ..found
        };
        let text = text(&limited);
        assert!(text.contains(
            "\ngoroutines are not observed, so that waits of threads are of none: the build info hides it\n"
        ));
        assert!(text.ends_with("\nstacks have addresses without names: there is no table\n"), "{text}");
    }
}
