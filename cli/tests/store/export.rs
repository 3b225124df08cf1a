//! `export`: what is in the files, read back by the tools that they are for. Traces have [a module of their own](crate::traces).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::cases::{Case, cases};
use crate::fixture::{BLOCKED, EXPORT, Fixture, REGION_OFFSET_NS, region_map};

pub(crate) const ALL: &[Case] = cases![
    a_long_range_has_every_wait_once,
    more_waits_than_speedscope_shows_are_refused,
    go_tool_pprof_reads_a_profile,
    a_profile_counts_each_moment_once_and_short_waits_by_reason,
    a_speedscope_document_has_the_time_of_each_goroutine,
    clickhouse_reads_the_parquet_back,
    an_export_takes_filters,
    an_export_of_nothing_says_so,
    a_wrong_export_leaves_the_file_as_it_was,
    an_export_goes_to_standard_output,
];

pub(crate) const SECOND: i64 = 1_000_000_000;
/// Waits of a service of its own, half an hour before, at one per ms.
const MANY: i64 = 510_000;

/// A goroutine of us-east waits for eu-west over a connection; what ended its wait was sent by goroutine 9 there.
pub(crate) fn rows(base_ns: i64) -> Vec<String> {
    let (near, far) = (("10.0.0.1", 5000), ("10.0.0.2", 80));
    let ends = |local: (&str, u16), peer: (&str, u16)| format!("'{}', {}, '{}', {}", local.0, local.1, peer.0, peer.1);
    let us_off = base_ns - REGION_OFFSET_NS - 100 * SECOND;
    let off = base_ns - 100 * SECOND;
    let minute = base_ns / SECOND / 60 * 60;
    let columns = "local_address, local_port, peer_address, peer_port";
    vec![
        "INSERT INTO nodes (region, node, boot) VALUES ('eu-west', 'eu-1', 1), ('us-east', 'us-1', 2)".to_owned(),
        region_map(base_ns),
        format!(
            "INSERT INTO events (bucket, region, service, node, boot, seq, pid, tid, goid, kind, reason, mono_ns, dur_ns, run_delay_ns, flags, \
             stack_id, al_off, al_end_off, err_ns, err_end_ns, clock_status, {columns}, fd_type) VALUES \
             ({minute} - 60, 'us-east', 'shop', 'us-1', 2, 1, 50, 1, 7, 'goroutine', 'IO wait', 100 * {SECOND}, {SECOND}, 2000, 3, 1, {us_off}, {us_off}, \
             80000, 80000, 'synchronized', {}, 'tcp')",
            ends(near, far),
        ),
        format!(
            "INSERT INTO tcp_sessions (bucket, region, service, node, boot, pid, socket, {columns}, mono_ns, dur_ns, al_off, al_end_off) VALUES \
             ({minute} - 60, 'eu-west', 'stock', 'eu-1', 1, 60, 1, {}, 90 * {SECOND}, 60 * {SECOND}, {off}, {off})",
            ends(far, near),
        ),
        format!(
            "INSERT INTO messages (bucket, region, service, node, boot, pid, goid, direction, {columns}, mark, marks, mark_shift, mono_ns, al_off, \
             err_ns) VALUES ({minute}, 'eu-west', 'stock', 'eu-1', 1, 60, 9, 'send', {}, 4096, 1, 12, 100 * {SECOND} + 999000000, {off}, 70000)",
            ends(far, near),
        ),
        "INSERT INTO stacks (stack_id, build_id, pcs, last_seen) VALUES (1, 3, [11, 21, 31], now())".to_owned(),
        "INSERT INTO symbols (build_id, pc, depth, func, file, line) VALUES (3, 11, 0, 'internal/poll.(*FD).Read', '/go/fd.go', 1), \
         (3, 21, 0, 'main.readFrame', '/shop/frame.go', 6), (3, 21, 1, 'main.fetch', '/shop/fetch.go', 7)"
            .to_owned(),
        "INSERT INTO processes (region, node, boot, pid, build_id, service, executable, seen) VALUES ('us-east', 'us-1', 2, 50, 3, 'shop', \
         '/opt/shop', now())"
            .to_owned(),
        format!(
            "INSERT INTO short_waits (bucket, region, service, node, boot, pid, reason, count, total_ns, kind) VALUES \
             ({minute}, 'us-east', 'shop', 'us-1', 2, 50, 'chan receive', 40, 3000000, 'goroutine'), \
             ({minute}, 'us-east', 'shop', 'us-1', 2, 50, 'GC worker (idle)', 7, 9000000, 'goroutine'), \
             ({minute} - 3600, 'us-east', 'shop', 'us-1', 2, 50, 'chan receive', 5, 1, 'goroutine')"
        ),
        format!(
            "INSERT INTO events (bucket, region, service, node, boot, seq, pid, tid, goid, kind, reason, mono_ns, dur_ns, al_off, al_end_off, err_ns, \
             err_end_ns, clock_status) SELECT intDiv(mono_ns + {long_ago}, 60000000000) * 60, 'eu-west', 'many', 'eu-1', 1, 100 + number, 70, 1, \
             1 + number % 50, 'goroutine', 'select', 1000000 * (number + 1) AS mono_ns, 20000000, {long_ago}, {long_ago}, 9, 9, 'synchronized' \
             FROM numbers({MANY})",
            long_ago = base_ns - 2_000 * SECOND,
        ),
        format!(
            "INSERT INTO losses (bucket, region, node, boot, run_seq, cause, count) VALUES ({minute}, 'us-east', 'us-1', 2, 1, 'ring_buffer_full', 12)"
        ),
    ]
}

/// The two seconds from the base on, of one database.
pub(crate) struct Asked<'a> {
    fixture: &'a Fixture,
    database: &'a str,
}

impl Asked<'_> {
    fn arguments(&self, format: &str, more: &[&str]) -> Vec<String> {
        let times = [self.fixture.base_ns, self.fixture.base_ns + 3 * SECOND].map(|ns| ns.to_string());
        let [from, to] = &times;
        let fixed = ["--database", self.database, "export", "-f", format, "--from", from, "--to", to];
        fixed.iter().chain(more).map(|text| (*text).to_owned()).collect()
    }

    /// What is written, and what is told on standard error.
    pub(crate) fn export(&self, format: &str, more: &[&str]) -> (Vec<u8>, String) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("out");
        let arguments = self.arguments(format, &[more, &["-o", file.to_str().unwrap()]].concat());
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = self.fixture.run(&arguments);
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && output.stdout.is_empty(), "{arguments:?}: {told}");
        (std::fs::read(file).unwrap(), told)
    }

    fn speedscope(&self, more: &[&str]) -> Value {
        serde_json::from_slice(&self.export("speedscope", more).0).unwrap()
    }
}

pub(crate) fn of<'a>(fixture: &'a Fixture, database: &'a str) -> Asked<'a> {
    Asked { fixture, database }
}

pub(crate) fn ms(of: i64) -> i64 {
    of * 1_000_000
}

/// More than one piece of it has.
fn a_long_range_has_every_wait_once(fixture: &Fixture) {
    let times = [fixture.base_ns - 2_000 * SECOND, fixture.base_ns - 1_000 * SECOND].map(|ns| ns.to_string());
    let [from, to] = &times;
    for format in ["perfetto", "parquet", "pprof"] {
        let arguments = ["--database", EXPORT, "export", "-f", format, "--from", from, "--to", to, "-o", "/dev/null"];
        let told = String::from_utf8(fixture.run(&arguments).stderr).unwrap();
        assert!(told.starts_with(&format!("{MANY} waits from ")), "{format}: {told}");
    }
}

fn more_waits_than_speedscope_shows_are_refused(fixture: &Fixture) {
    let times = [fixture.base_ns - 2_000 * SECOND, fixture.base_ns].map(|ns| ns.to_string());
    let [from, to] = &times;
    let arguments = ["--database", EXPORT, "export", "-f", "speedscope", "--from", from, "--to", to, "-o", "/dev/null"];
    let refused = fixture.refusal(&arguments, 2);
    assert!(
        refused.contains("510000 waits are more than the 500000 that speedscope can show: shorten the range"),
        "{refused}"
    );
}

fn go_tool_pprof_reads_a_profile(fixture: &Fixture) {
    let (bytes, told) = of(fixture, EXPORT).export("pprof", &[]);
    assert!(told.contains("below the threshold: 40 waits"), "{told}");
    let top = pprof(&bytes, &["-top", "-nodefraction=0"]);
    let row = |name: &str| -> Vec<String> {
        let line = top.lines().find(|line| line.trim_end().ends_with(name)).unwrap_or_else(|| panic!("{name}: {top}"));
        line.split_whitespace().map(str::to_owned).collect()
    };
    assert!(top.contains("Type: delay") && top.contains("File: shop") && top.contains("Duration: 3s"), "{top}");
    assert_eq!(row("main.readFrame (inline)")[3], "1000ms");
    assert_eq!(row("main.fetch")[3], "1000ms");
    assert_eq!(row("(chan receive below the threshold, where is not known)")[0], "3ms");
    let counts = pprof(&bytes, &["-raw"]);
    assert!(counts.contains("40    3000000") && counts.contains("1 1000000000"), "{counts}");
    let tags = pprof(&bytes, &["-tags"]);
    for tag in ["us-east", "us-1", "shop", "IO wait", "below"] {
        assert!(tags.contains(tag), "{tag}: {tags}");
    }
    assert!(pprof(&bytes, &["-comments"]).contains("lost in these minutes: 12 ring_buffer_full"));
    let without = pprof(&bytes, &["-top", "-tagignore=below"]);
    assert!(!without.contains("threshold"), "{without}");
}

fn a_profile_counts_each_moment_once_and_short_waits_by_reason(fixture: &Fixture) {
    let half_an_hour_before =
        [fixture.base_ns - 1_800 * SECOND, fixture.base_ns - 1_799 * SECOND].map(|ns| ns.to_string());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("out");
    let [from, to] = &half_an_hour_before;
    let arguments =
        ["--database", BLOCKED, "export", "-f", "pprof", "--from", from, "--to", to, "-o", file.to_str().unwrap()];
    let told = String::from_utf8(fixture.run(&arguments).stderr).unwrap();
    // A call of C, a read without one, and a page; what lies in the call, a thread of nobody's and one without a CPU are not.
    assert!(told.starts_with("3 waits") && told.contains("each moment of a goroutine counts once: 1 wait"), "{told}");
    assert!(pprof(&std::fs::read(&file).unwrap(), &["-top"]).contains("Total samples = 150ms"));
}

fn a_speedscope_document_has_the_time_of_each_goroutine(fixture: &Fixture) {
    let document = of(fixture, BLOCKED).speedscope(&[]);
    let frames = document["shared"]["frames"].as_array().unwrap();
    let mut waited: BTreeMap<&str, i64> = BTreeMap::new();
    for profile in document["profiles"].as_array().unwrap() {
        let (samples, weights) = (profile["samples"].as_array().unwrap(), profile["weights"].as_array().unwrap());
        let of_waits = samples.iter().zip(weights).filter(|(sample, _)| !sample.as_array().unwrap().is_empty());
        let sum = of_waits.map(|(_, weight)| weight.as_i64().unwrap()).sum();
        waited.insert(profile["name"].as_str().unwrap(), sum);
        assert_eq!(profile["endValue"], 3 * SECOND);
    }
    let expected = [
        ("eu-west eu-1 cart 4711 g18", ms(520)),
        ("eu-west eu-1 cart 4711 g20", ms(490)),
        ("us-east us-1 cart 5 g3", ms(50)),
        ("us-east us-1 stock 4711 g18", ms(5)),
    ];
    assert_eq!(waited, BTreeMap::from(expected));
    assert!(frames.iter().any(|frame| frame["name"] == "[sync.Mutex.Lock]"));
    assert!(frames.iter().any(|frame| frame["name"] == "main.(*Cart).Add" && frame["line"] == 3));
}

fn clickhouse_reads_the_parquet_back(fixture: &Fixture) {
    let (bytes, told) = of(fixture, "syncline").export("parquet", &[]);
    assert!(told.starts_with("5 waits from ") && told.contains("their times have no bound: 1 wait"), "{told}");
    let columns = format!(
        "goid, kind, reason, dur_ns, err_ns, toUnixTimestamp64Nano(aligned) - {} AS begin_ns, frames[-1] AS outermost",
        fixture.base_ns
    );
    let rows = read_parquet(fixture, &bytes, &columns);
    let lines: Vec<&str> = rows.lines().collect();
    assert_eq!(lines[0], format!("7,\"goroutine\",\"chan receive\",{},110040,{},\"\"", ms(300), ms(100)));
    assert_eq!(lines[2], format!("9,\"goroutine\",\"IO wait\",{},\\N,{},\"\"", ms(50), ms(200)), "no bound is NULL");
    assert_eq!(
        lines[3],
        format!("18,\"goroutine\",\"sync.Mutex.Lock\",{},120000,0,\"main.(*Cart).Add cart.go:3\"", ms(400))
    );
}

fn an_export_takes_filters(fixture: &Fixture) {
    let told = |more: &[&str]| of(fixture, BLOCKED).export("parquet", more).1;
    assert!(told(&["--region", "us-east"]).starts_with("2 waits of region \"us-east\" from "));
    assert!(told(&["--goroutine", "20"]).starts_with("2 waits of goroutine 20 from "));
    assert!(
        told(&["--reason", "MUTEX", "--min-duration", "100ms"])
            .starts_with("2 waits of reason \"MUTEX\", at least 100 ms from ")
    );
    assert!(told(&["--kind", "syscall,off_cpu"]).starts_with("0 waits of syscall or off_cpu from "));
    let (read, _) =
        of(fixture, BLOCKED).export("speedscope", &["--node", "us-1", "--service", "stock", "--pid", "4711"]);
    let document: Value = serde_json::from_slice(&read).unwrap();
    assert_eq!(document["profiles"].as_array().unwrap().len(), 1);
}

fn an_export_of_nothing_says_so(fixture: &Fixture) {
    for format in ["perfetto", "pprof", "speedscope", "parquet"] {
        let (bytes, told) = of(fixture, BLOCKED).export(format, &["--service", "nobody's"]);
        assert!(told.contains("there are no such waits; the newest wait in the store ended at"), "{format}: {told}");
        assert!(!bytes.is_empty(), "{format}: an empty file of its kind");
    }
}

fn a_wrong_export_leaves_the_file_as_it_was(fixture: &Fixture) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("kept");
    std::fs::write(&file, "kept").unwrap();
    let path = file.to_str().unwrap();
    let refused = |arguments: &[&str], code: i32| fixture.refusal(&[&["export", "-o", path], arguments].concat(), code);
    assert!(refused(&["-f", "pprof", "--from", "-1s", "--to", "-2s"], 2).contains("is not before --to"));
    let missing = refused(&["-f", "perfetto", "--database", "not_there"], 1);
    assert!(missing.contains("has no tables of Syncline in database `not_there`"), "{missing}");
    let long = refused(&["-f", "speedscope", "--from", "2026-01-01T00:00:00Z", "--to", "2026-12-01T00:00:00Z"], 2);
    assert!(long.contains("at most 100 days"), "{long}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "kept");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    let nowhere = fixture.refusal(&["export", "-f", "pprof", "-o", "/nowhere/x"], 2);
    assert!(nowhere.contains("there is no directory /nowhere: make it first"), "{nowhere}");
}

fn an_export_goes_to_standard_output(fixture: &Fixture) {
    let asked = of(fixture, BLOCKED);
    let arguments = asked.arguments("speedscope", &["-o", "-"]);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = fixture.run(&arguments);
    assert!(output.status.success());
    assert_eq!(output.stdout, asked.export("speedscope", &[]).0);
}

/// Columns of a file, as CSV in their order.
pub(crate) fn read_parquet(fixture: &Fixture, bytes: &[u8], columns: &str) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    fixture.ask(&format!("SELECT {columns} FROM format(Parquet, unhex('{hex}')) ORDER BY ALL"), "CSV")
}

/// What the tool prints about a profile.
pub(crate) fn pprof(bytes: &[u8], arguments: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file: PathBuf = dir.path().join("block.pb.gz");
    std::fs::write(&file, bytes).unwrap();
    let mut command = Command::new("go");
    command.args(["tool", "pprof"]).args(arguments).arg(&file).env("PPROF_TMPDIR", dir.path()).stdin(Stdio::null());
    let output = command.output().unwrap();
    let (text, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {error}");
    text.into_owned()
}
