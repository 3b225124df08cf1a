//! Settings for tests, and what the kernel says of a process's BPF links.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use syncline_agent::capture::CaptureKind;
use syncline_agent::choice::{Change, Layer, Rule, Rules, Selector};

pub fn service(name: &str) -> Selector {
    Selector { service: Some(name.parse().unwrap()), ..Selector::default() }
}

pub fn threshold(ms: u64) -> Change {
    Change::new(None, Some(Duration::from_millis(ms)), None, (&[], &[])).unwrap()
}

pub fn without(kinds: &[CaptureKind]) -> Change {
    Change::new(None, None, None, (kinds, &[])).unwrap()
}

pub fn with(kinds: &[CaptureKind]) -> Change {
    Change::new(None, None, None, (&[], kinds)).unwrap()
}

pub fn observe(is_observed: bool) -> Change {
    Change::new(Some(is_observed), None, None, (&[], &[])).unwrap()
}

/// As a file has them.
pub fn rules(all: &[(Selector, Change)]) -> Rules {
    let rule = |(who, change): &(Selector, Change)| Rule { who: who.clone(), change: *change, line: Some(1) };
    Rules { file: Layer { all: Change::default(), rules: all.iter().map(rule).collect() }, ..Rules::default() }
}

/// Names of the raw tracepoints to which a process has links, as the kernel tells of them, sorted.
pub fn linked_tracepoints(pid: u32) -> Vec<String> {
    let name =
        |text: &str| text.lines().find_map(|line| line.strip_prefix("tp_name:")).map(|name| name.trim().to_owned());
    let mut names: Vec<String> = descriptors(pid).filter_map(|text| name(&text)).collect();
    names.sort();
    names
}

/// The kernel has links for uprobes: from Linux 6.6 on.
pub fn has_links_for_uprobes() -> bool {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    (numbers.next().unwrap(), numbers.next().unwrap()) >= (6, 6)
}

/// How many links to uprobes a process has, of either kind.
pub fn linked_uprobes(pid: u32) -> usize {
    links(pid, "uprobe_multi") + links(pid, "perf")
}

/// How many links of this type a process has.
pub fn links(pid: u32, of_type: &str) -> usize {
    let is_such = |text: &String| text.lines().any(|line| line.split_whitespace().eq(["link_type:", of_type]));
    descriptors(pid).filter(is_such).count()
}

/// What the kernel tells of a process's open files. One that is closed just now is none.
fn descriptors(pid: u32) -> impl Iterator<Item = String> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap();
    files.filter_map(|file| std::fs::read_to_string(file.ok()?.path()).ok())
}

/// Bytes of the program's code in memory that are not as in its file: one for each probe.
pub fn altered_bytes(pid: u32, program: &Path) -> usize {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let code = maps.lines().find(|line| line.contains(" r-xp ") && line.ends_with(program.to_str().unwrap())).unwrap();
    let hexadecimal = |text: &str| u64::from_str_radix(text, 16).unwrap();
    let mut fields = code.split_whitespace();
    let (start, end) = fields.next().unwrap().split_once('-').unwrap();
    let (start, end, file_offset) = (hexadecimal(start), hexadecimal(end), hexadecimal(fields.nth(1).unwrap()));
    let file = std::fs::read(program).unwrap();
    let expected = &file[file_offset as usize..file.len().min((file_offset + end - start) as usize)];
    let mut found = vec![0; expected.len()];
    std::fs::File::open(format!("/proc/{pid}/mem")).unwrap().read_exact_at(&mut found, start).unwrap();
    found.iter().zip(expected).filter(|(found, expected)| found != expected).count()
}
