//! What waits were for, who woke, and what goes on still: `goroutine`, `timeline` and `blockers` on a database of their own.

use serde_json::Value;

use crate::cases::{Case, cases};
use crate::fixture::{Fixture, STORY};

pub(crate) const ALL: &[Case] = cases![
    a_goroutines_story_says_what_it_waited_for_and_where_its_waker_was,
    a_goroutines_json_has_what_it_waited_for,
    the_timeline_says_what_was_waited_for,
    blockers_say_what_most_waits_at_a_site_were_for,
    a_goroutine_that_still_waits_has_a_story,
    a_wait_that_never_ended_is_told_of,
    a_wait_that_is_not_heard_of_any_more_is_said_to_be_so,
    the_json_of_a_goroutine_has_its_open_waits,
    a_process_is_chosen_by_its_id,
    the_timeline_leaves_out_gos_own_goroutines_and_counts_them,
    the_timeline_tells_of_goroutines_that_still_wait,
];

/// Process, goroutine, kind, reason, begin after the base and length, ms, stack, and more columns with their values.
type Wait = (u32, u64, &'static str, &'static str, i64, i64, u64, &'static [(&'static str, &'static str)]);

pub(crate) const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

const WAITS: [Wait; 7] = [
    (
        42,
        5,
        "goroutine",
        "IO wait",
        0,
        100,
        8,
        &[
            ("fd", "7"),
            ("fd_type", "'tcp'"),
            ("peer_address", "'10.0.0.9'"),
            ("peer_port", "443"),
            ("flags", "3"),
            ("trace_id", "unhex('4bf92f3577b34da6a3ce929d0e0e4736')"),
            ("span_id", "171"),
        ],
    ),
    (
        42,
        5,
        "goroutine",
        "sync.Mutex.Lock",
        200,
        50,
        7,
        &[("address", "0xc000012340"), ("flags", "1"), ("waker_goid", "6"), ("waker_stack_id", "10")],
    ),
    (
        42,
        5,
        "syscall",
        "read",
        300,
        20,
        8,
        &[
            ("result", "-104"),
            ("fd_type", "'tcp'"),
            ("fd", "8"),
            ("peer_address", "'2001:db8::1'"),
            ("peer_port", "80"),
        ],
    ),
    (42, 6, "goroutine", "IO wait", 0, 30, 8, &[("fd_type", "'pipe'"), ("fd", "3")]),
    (42, 6, "goroutine", "IO wait", 50, 30, 8, &[("fd_type", "'pipe'"), ("fd", "3")]),
    (43, 1, "goroutine", "chan receive", 400, 10, 0, &[("address", "0xc000abcdef")]),
    // Go's own.
    (42, 2, "goroutine", "GC sweep wait", 0, 900, 9, &[]),
];

/// Process, goroutine, reason, age when it was looked at, how long ago that was, s, flags, stack.
type Told = (u32, u64, &'static str, i64, i64, u16, u64);

const TOLD: [Told; 6] = [
    // It was there before its agent, and was told of twice.
    (42, 1, "select", 9_000, 1, 128, 8),
    (42, 1, "select", 2_250, 6_751, 128, 8),
    (42, 5, "chan receive", 9_000, 1, 0, 8),
    // Ended with its process; not heard of any more; Go's own.
    (44, 7, "select", 20, 1, 64, 8),
    (42, 9, "select", 20, 1_000, 0, 8),
    (42, 2, "GC sweep wait", 9_500, 2, 0, 9),
];

/// Stacks and the addresses they consist of, innermost first.
const STACKS: &str = "(7, 3, [10, 20, 30, 40], now()), (8, 3, [10, 60, 40], now()), (9, 3, [10, 70], now()), (10, 3, [15, 25, 30, 40], now())";
const SYMBOLS: &str = "(3, 10, 0, 'runtime.gopark', '/go/proc.go', 1), (3, 15, 0, 'runtime.goready', '/go/proc.go', 5), \
    (3, 20, 0, 'sync.(*Mutex).Lock', '/go/mutex.go', 2), (3, 25, 0, 'sync.(*Mutex).Unlock', '/go/mutex.go', 3), \
    (3, 30, 0, 'main.(*Cart).Add', '/shop/cart.go', 3), (3, 40, 0, 'main.serve', '/shop/serve.go', 9), \
    (3, 60, 0, 'main.readFrame', '/shop/frame.go', 6), (3, 70, 0, 'runtime.bgsweep', '/go/mgcsweep.go', 7)";

pub(crate) fn rows(base_ns: i64) -> Vec<String> {
    let mut statements: Vec<String> = WAITS.iter().zip(1..).map(|(wait, seq)| row(base_ns, wait, seq)).collect();
    statements.extend(TOLD.iter().map(told_row));
    statements.extend([
        "INSERT INTO nodes (region, node, boot) VALUES ('eu-west', 'eu-1', 1)".to_owned(),
        format!("INSERT INTO stacks (stack_id, build_id, pcs, last_seen) VALUES {STACKS}"),
        format!("INSERT INTO symbols (build_id, pc, depth, func, file, line) VALUES {SYMBOLS}"),
    ]);
    statements
}

fn row(base_ns: i64, wait: &Wait, seq: u64) -> String {
    let (pid, goid, kind, reason, begin_ms, length_ms, stack, more) = wait;
    let (mono_ns, off) = (10_000_000_000_000 + begin_ms * 1_000_000, base_ns - 10_000_000_000_000);
    let names: String = more.iter().map(|(name, _)| format!(", {name}")).collect();
    let values: String = more.iter().map(|(_, value)| format!(", {value}")).collect();
    format!(
        "INSERT INTO events (bucket, region, service, node, boot, seq, pid, tid, goid, kind, reason, mono_ns, dur_ns, stack_id, al_off, al_end_off, \
         err_ns, err_end_ns{names}) VALUES ({bucket}, 'eu-west', 'cart', 'eu-1', 1, {seq}, {pid}, 1, {goid}, '{kind}', '{reason}', {mono_ns}, \
         {length_ms} * 1000000, {stack}, {off}, {off}, 5, 5{values})",
        bucket = (mono_ns + off) / 60_000_000_000 * 60,
    )
}

fn told_row(told: &Told) -> String {
    let (pid, goid, reason, age_s, ago_s, flags, stack) = told;
    let (age_ns, ago_ns) = (age_s * 1_000_000_000, ago_s * 1_000_000_000);
    // The begin on the node's clock is the same however often it is told of.
    let mono_ns = 20_000_000_000_000 - age_ns - ago_ns;
    format!(
        "INSERT INTO open_waits (bucket, region, service, node, boot, pid, tid, goid, kind, reason, mono_ns, dur_ns, flags, stack_id, fd, \
         address, al_off, al_end_off) \
         WITH toUnixTimestamp64Nano(now64(9)) AS now_ns, now_ns - 20000000000000 AS off \
         SELECT toDateTime(intDiv(now_ns - {ago_ns}, 60000000000) * 60), 'eu-west', 'cart', 'eu-1', 1, {pid}, 1, {goid}, 'goroutine', '{reason}', \
         {mono_ns}, {age_ns}, {flags}, {stack}, -1, 0xc000012340, off, off"
    )
}

/// On the window of the waits.
fn ask(fixture: &Fixture, arguments: &[&str]) -> String {
    let (from, to) = (fixture.base_ns.to_string(), (fixture.base_ns + 1_000_000_000).to_string());
    fixture.answer(&[&["--database", STORY], arguments, &["--from", &from, "--to", &to]].concat())
}

fn json(fixture: &Fixture, arguments: &[&str]) -> Value {
    serde_json::from_str(&ask(fixture, &[arguments, &["--format", "json"]].concat())).unwrap()
}

/// The cells of the line that contains a text.
fn cells<'t>(text: &'t str, part: &str) -> Vec<&'t str> {
    let line = text.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{part}: {text}"));
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

fn a_goroutines_story_says_what_it_waited_for_and_where_its_waker_was(fixture: &Fixture) {
    let text = ask(fixture, &["goroutine", "42", "5"]);
    assert_eq!(
        cells(&text, "IO wait")[5..],
        ["poller", "IO wait in main.readFrame frame.go:6 for tcp 10.0.0.9:443"],
        "{text}"
    );
    assert_eq!(
        cells(&text, "Mutex")[5..],
        ["g6 in main.(*Cart).Add cart.go:3", "sync.Mutex.Lock in main.(*Cart).Add cart.go:3 on 0xc000012340"],
        "{text}"
    );
    let failed = "syscall read in main.readFrame frame.go:6 for tcp [2001:db8::1]:80, failed: ECONNRESET";
    assert_eq!(cells(&text, "syscall")[5..], ["-", failed], "{text}");
}

fn a_goroutines_json_has_what_it_waited_for(fixture: &Fixture) {
    let document = json(fixture, &["goroutine", "42", "5"]);
    let [io, lock, read] = [0, 1, 2].map(|at| &document["story"][at]);
    assert_eq!((&io["fd"], &io["fd_type"], &io["peer"]), (&7.into(), &"tcp".into(), &"10.0.0.9:443".into()));
    assert_eq!((&io["trace_id"], &io["span_id"]), (&TRACE.into(), &"00000000000000ab".into()));
    assert_eq!((&io["address"], &io["result"], &io["waker_site"]), (&Value::Null, &Value::Null, &Value::Null));
    assert_eq!((&lock["address"], &lock["waker_goid"]), (&"0xc000012340".into(), &6.into()));
    assert_eq!((&lock["waker_site"], &lock["fd"]), (&"main.(*Cart).Add /shop/cart.go:3".into(), &Value::Null));
    assert_eq!((&read["result"], &read["error"]), (&(-104).into(), &"ECONNRESET".into()));
    // The same wait in the story of the one that ended it.
    let wakes = json(fixture, &["goroutine", "42", "6"])["story"].as_array().unwrap().clone();
    let wake = wakes.iter().find(|part| part["kind"] == "wake").unwrap();
    assert_eq!((&wake["goid"], &wake["waker_site"]), (&5.into(), &"main.(*Cart).Add /shop/cart.go:3".into()));
}

fn the_timeline_says_what_was_waited_for(fixture: &Fixture) {
    let text = ask(fixture, &["timeline"]);
    assert!(text.contains("  IO wait in main.readFrame for tcp 10.0.0.9:443\n"), "{text}");
    assert!(text.contains("  syscall read in main.readFrame for tcp [2001:db8::1]:80, failed: ECONNRESET\n"), "{text}");
    let document = json(fixture, &["timeline"]);
    let of = |reason: &str| document["events"].as_array().unwrap().iter().find(|event| event["reason"] == reason);
    let (lock, channel) = (of("sync.Mutex.Lock").unwrap(), of("chan receive").unwrap());
    assert_eq!(
        (&lock["waker_goid"], &lock["waker_site"]),
        (&6.into(), &"main.(*Cart).Add /shop/cart.go:3".into()),
        "{lock}"
    );
    assert_eq!((&channel["address"], &channel["trace_id"]), (&"0xc000abcdef".into(), &Value::Null), "{channel}");
    assert_eq!(of("syscall read").unwrap()["error"], "ECONNRESET");
}

fn blockers_say_what_most_waits_at_a_site_were_for(fixture: &Fixture) {
    let text = ask(fixture, &["blockers"]);
    assert_eq!(cells(&text, "IO wait").last(), Some(&"pipe"), "{text}");
    assert_eq!(cells(&text, "syscall read").last(), Some(&"tcp [2001:db8::1]:80"), "{text}");
    let document = json(fixture, &["blockers", "--reason", "Mutex"]);
    assert_eq!(document["sites"][0]["target"], Value::Null, "{document}");
}

fn a_goroutine_that_still_waits_has_a_story(fixture: &Fixture) {
    let text = fixture.answer(&["--database", STORY, "goroutine", "42", "1"]);
    assert!(text.starts_with("goroutine 1 of cart/42 on eu-1 (eu-west), ") && text.contains("\n0 waits, "), "{text}");
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("still waits, for at least 9") && last.contains(" s, seen "), "{text}");
    assert!(last.ends_with(" ago: select in main.readFrame frame.go:6"), "{text}");
    assert_eq!(text.matches("still waits").count(), 1, "it was told of twice: {text}");
    // Beside what it waited for before; and not in a window before it began.
    let from = (fixture.base_ns - 60_000_000_000).to_string();
    let both = fixture.answer(&["--database", STORY, "goroutine", "42", "5", "--from", &from]);
    assert!(both.ends_with("chan receive in main.readFrame frame.go:6 on 0xc000012340\n"), "{both}");
    assert!(both.contains("sync.Mutex.Lock in main") && both.contains("\nstill waits, for 9"), "{both}");
    let (from, to) = (fixture.base_ns - 20_000_000_000_000, fixture.base_ns - 19_000_000_000_000);
    let window = ["--from", &from.to_string(), "--to", &to.to_string()];
    let before = fixture.answer(&[&["--database", STORY, "goroutine", "42", "1"], &window[..]].concat());
    assert!(before.starts_with("no waits of goroutine 1 ") && before.contains("or went on then"), "{before}");
}

fn a_wait_that_never_ended_is_told_of(fixture: &Fixture) {
    let text = fixture.answer(&["--database", STORY, "goroutine", "44", "7"]);
    let last = text.lines().last().unwrap();
    assert!(
        last.starts_with("never ended: its process did, ") && last.contains(", after 20.0 s: select in "),
        "{text}"
    );
}

fn a_wait_that_is_not_heard_of_any_more_is_said_to_be_so(fixture: &Fixture) {
    let text = fixture.answer(&["--database", STORY, "goroutine", "42", "9", "--from", "-1h"]);
    assert!(text.lines().last().unwrap().starts_with("waited, for 20.0 s, when it was seen last, 1"), "{text}");
    let text = fixture.answer(&["--database", STORY, "goroutine", "42", "9"]);
    assert!(text.starts_with("no waits of goroutine 9 "), "{text}");
}

fn the_json_of_a_goroutine_has_its_open_waits(fixture: &Fixture) {
    let answer = fixture.answer(&["--database", STORY, "goroutine", "42", "1", "--format", "json"]);
    let document: Value = serde_json::from_str(&answer).unwrap();
    let open = &document["open"][0];
    assert_eq!((&open["fate"], &open["began_before"]), (&"goes_on".into(), &true.into()), "{document}");
    assert_eq!((&open["address"], &open["site"]), (&"0xc000012340".into(), &"main.readFrame /shop/frame.go:6".into()));
    assert!(open["duration_ns"].as_u64().unwrap() >= 9_001_000_000_000, "{document}");
    assert_eq!((&document["node"], document["story"].as_array().unwrap().len()), (&"eu-1".into(), 0), "{document}");
}

fn a_process_is_chosen_by_its_id(fixture: &Fixture) {
    for (command, list) in [("timeline", "events"), ("blockers", "sites")] {
        let document = json(fixture, &[command, "--pid", "43"]);
        let found = document[list].as_array().unwrap();
        assert_eq!((found.len(), &found[0]["reason"]), (1, &"chan receive".into()), "{document}");
    }
    let stuck = fixture.answer(&["--database", STORY, "stuck", "--pid", "43"]);
    assert_eq!(stuck, "no goroutine is known to be stuck\n");
    assert!(ask(fixture, &["blockers", "--pid", "7"]).starts_with("no waits of process 7, "));
}

fn the_timeline_leaves_out_gos_own_goroutines_and_counts_them(fixture: &Fixture) {
    let text = ask(fixture, &["timeline"]);
    assert!(text.contains("not shown: 1 wait of Go's own goroutines, 900 ms (--runtime shows them)\n"), "{text}");
    assert!(!text.contains("GC sweep wait"), "{text}");
    let own = ask(fixture, &["timeline", "--runtime"]);
    assert!(own.contains("GC sweep wait in runtime.bgsweep") && !own.contains("Go's own"), "{own}");
    let counts = |document: &Value| {
        let count = |name: &str| document[name].as_u64().unwrap();
        [
            count("matched"),
            count("runtime_waits"),
            count("runtime_waited_ns"),
            document["events"].as_array().unwrap().len() as u64,
        ]
    };
    assert_eq!(counts(&json(fixture, &["timeline"])), [6, 1, 900_000_000, 6]);
    assert_eq!(counts(&json(fixture, &["timeline", "--runtime"])), [7, 0, 0, 7]);
    assert_eq!(counts(&json(fixture, &["timeline", "--limit", "2"])), [6, 1, 900_000_000, 2]);
    assert_eq!(counts(&json(fixture, &["timeline", "--reason", "GC"])), [0, 1, 900_000_000, 0]);
}

fn the_timeline_tells_of_goroutines_that_still_wait(fixture: &Fixture) {
    let text = ask(fixture, &["timeline"]);
    let last = "not shown: 2 goroutines that wait since then or before, and still do (`syncline stuck` lists them)";
    assert_eq!(text.lines().last(), Some(last), "{text}");
    let still = |arguments: &[&str]| json(fixture, &[&["timeline"], arguments].concat())["still_waiting"].clone();
    assert_eq!(
        (still(&["--runtime"]), still(&["--reason", "chan"]), still(&["--pid", "43"])),
        (3.into(), 1.into(), 0.into())
    );
    let answer = |window: &[&str]| fixture.answer(&[&["--database", STORY, "timeline"], window].concat());
    assert!(answer(&[]).ends_with(&format!("{last}\n")), "the newest waits");
    let [from, to] = [-20_000, -19_000].map(|s: i64| (fixture.base_ns + s * 1_000_000_000).to_string());
    assert!(!answer(&["--from", &from, "--to", &to]).contains("still do"), "they began later");
}
