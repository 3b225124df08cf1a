//! `blockers` and `goroutine` on a database of their own, whose waits are all known.

use serde_json::Value;
use syncline_insight::{FOREIGN_PATTERN, is_foreign};

use crate::cases::{Case, cases};
use crate::fixture::{BLOCKED, Fixture, REGION_OFFSET_NS, region_map};

pub(crate) const ALL: &[Case] = cases![
    blockers_rank_sites_over_nodes_and_regions,
    blockers_json_has_the_stack_of_the_longest_wait,
    blockers_take_filters_orders_and_windows,
    blockers_count_each_moment_of_a_goroutine_once,
    the_timeline_names_the_go_function_where_other_code_waits,
    code_that_is_not_gos_is_told_by_one_pattern,
    blockers_say_what_was_looked_for_where_there_is_nothing,
    a_goroutines_story_is_told_in_order_with_gaps_wakers_and_wakes,
    a_goroutines_story_counts_each_moment_once,
    a_goroutine_of_several_nodes_must_be_chosen,
    a_goroutine_that_is_not_there_is_looked_for_elsewhere,
];

/// Region, node, service, pid, goid, reason, begin after the base and length in ms, stack, waker, flags.
type Wait = (&'static str, &'static str, &'static str, u32, u64, &'static str, i64, i64, u64, u64, u16);

/// Flags: the ready was seen; the poller woke it.
const SEEN: u16 = 1;
const BY_POLLER: u16 = 3;

const WAITS: [Wait; 8] = [
    ("eu-west", "eu-1", "cart", 4711, 18, "sync.Mutex.Lock", 0, 400, 7, 20, SEEN),
    ("eu-west", "eu-1", "cart", 4711, 18, "sync.Mutex.Lock", 1000, 100, 7, 20, SEEN),
    ("us-east", "us-1", "cart", 5, 3, "sync.Mutex.Lock", 200, 50, 7, 9, SEEN),
    ("eu-west", "eu-1", "cart", 4711, 20, "IO wait", 100, 290, 8, 0, BY_POLLER),
    ("eu-west", "eu-1", "cart", 4711, 18, "IO wait", 450, 20, 8, 0, BY_POLLER),
    ("eu-west", "eu-1", "cart", 4711, 20, "chan receive", 600, 200, 0, 18, SEEN),
    ("us-east", "us-1", "stock", 4711, 18, "select", 2000, 5, 0, 0, 0),
    // Go's own.
    ("eu-west", "eu-1", "cart", 4711, 2, "GC sweep wait", 0, 900, 9, 0, SEEN),
];

/// Kinds of waits and the waits, of half an hour before: a call of C, what its C code waited for, the same without a call, and threads
/// that block nobody.
const OF_THREADS: [(&str, Wait); 6] = [
    ("cgo", ("eu-west", "eu-1", "video", 900, 5, "cgo call", HALF_AN_HOUR_BEFORE_MS, 100, 10, 0, 0)),
    ("syscall", ("eu-west", "eu-1", "video", 900, 5, "read", HALF_AN_HOUR_BEFORE_MS + 10, 80, 10, 0, SEEN)),
    ("syscall", ("eu-west", "eu-1", "video", 900, 5, "read", HALF_AN_HOUR_BEFORE_MS + 200, 30, 10, 0, SEEN)),
    ("off_cpu", ("eu-west", "eu-1", "video", 900, 5, "preempted", HALF_AN_HOUR_BEFORE_MS + 300, 40, 10, 0, SEEN)),
    ("off_cpu", ("eu-west", "eu-1", "video", 900, 5, "uninterruptible", HALF_AN_HOUR_BEFORE_MS + 400, 20, 10, 0, SEEN)),
    ("syscall", ("eu-west", "eu-1", "video", 900, 0, "futex", HALF_AN_HOUR_BEFORE_MS, 500, 0, 0, 0)),
];
const HALF_AN_HOUR_BEFORE_MS: i64 = -1_800_000;

const RUN_DELAY_NS: i64 = 1_000;
/// What stacks consist of: address, function, file, line.
const SYMBOLS: [(u64, &str, &str, u32); 12] = [
    (10, "runtime.gopark", "/go/proc.go", 1),
    (20, "sync.(*Mutex).lockSlow", "/go/mutex.go", 2),
    (30, "main.(*Cart).Add", "/shop/cart.go", 3),
    (40, "main.serve", "/shop/serve.go", 9),
    (50, "net.(*conn).Read", "/go/net.go", 5),
    (60, "main.readFrame", "/shop/frame.go", 6),
    (70, "runtime.bgsweep", "/go/mgcsweep.go", 7),
    (80, "main.main", "/shop/main.go", 8),
    (90, "runtime.cgocall", "/go/cgocall.go", 9),
    (100, "main.encode", "/video/encode.go", 10),
    // Code that is not Go's, which only carries a wait.
    (110, "anon_pipe_read (kernel)", "", 0),
    (120, "nap (libvideo.so)", "/src/nap.c", 3),
];

pub(crate) fn rows(base_ns: i64) -> Vec<String> {
    let of_goroutines = WAITS.iter().map(|wait| ("goroutine", wait));
    let all = of_goroutines.chain(OF_THREADS.iter().map(|(kind, wait)| (*kind, wait)));
    let mut statements: Vec<String> = all.zip(1..).map(|((kind, wait), seq)| row(base_ns, kind, wait, seq)).collect();
    let symbols = SYMBOLS.map(|(pc, function, file, line)| format!("(3, {pc}, 0, '{function}', '{file}', {line})"));
    statements.extend([
        "INSERT INTO nodes (region, node, boot) VALUES ('eu-west', 'eu-1', 1), ('us-east', 'us-1', 1)".to_owned(),
        region_map(base_ns),
        "INSERT INTO stacks (stack_id, build_id, pcs, last_seen) VALUES (7, 3, [10, 20, 30, 40, 80], now()), \
         (8, 3, [10, 50, 60, 40], now()), (9, 3, [110, 10, 70], now()), (10, 3, [110, 120, 90, 100], now())"
            .to_owned(),
        format!("INSERT INTO symbols (build_id, pc, depth, func, file, line) VALUES {}", symbols.join(", ")),
    ]);
    statements
}

fn row(base_ns: i64, kind: &str, wait: &Wait, seq: u64) -> String {
    let (region, node, service, pid, goid, reason, begin_ms, length_ms, stack, waker, flags) = wait;
    let behind_ns = if *region == "eu-west" { 0 } else { REGION_OFFSET_NS };
    let boot_ns = 10_000_000_000_000;
    let mono_ns = boot_ns + begin_ms * 1_000_000;
    let off = base_ns - behind_ns - boot_ns;
    format!(
        "INSERT INTO events (bucket, region, service, node, boot, seq, pid, tid, goid, kind, reason, mono_ns, wall_off, dur_ns, \
         run_delay_ns, flags, stack_id, waker_goid, al_off, al_end_off, err_ns, err_end_ns, bound_class, clock_status, epoch, model_rev) \
         VALUES ({bucket}, '{region}', '{service}', '{node}', 1, {seq}, {pid}, 1, {goid}, '{kind}', '{reason}', {mono_ns}, {off}, \
         {length}, {delay}, {flags}, {stack}, {waker}, {off}, {off}, 120000, 130000, 'hard', 'synchronized', 0, 1)",
        bucket = (mono_ns + off) / 60_000_000_000 * 60,
        length = length_ms * 1_000_000,
        delay = if *flags & SEEN == 0 { 0 } else { RUN_DELAY_NS },
    )
}

fn answer(fixture: &Fixture, arguments: &[&str]) -> String {
    fixture.answer(&[&["--database", BLOCKED], arguments].concat())
}

fn json(fixture: &Fixture, arguments: &[&str]) -> Value {
    serde_json::from_str(&answer(fixture, &[arguments, &["--format", "json"]].concat())).unwrap()
}

/// The cells of the line that contains a text.
fn cells<'t>(text: &'t str, part: &str) -> Vec<&'t str> {
    let line = text.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{part}: {text}"));
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

fn blockers_rank_sites_over_nodes_and_regions(fixture: &Fixture) {
    let text = answer(fixture, &["blockers"]);
    let lock = ["550 ms", "51.6 %", "3", "2", "100 ms", "400 ms", "400 ms", "3.00 µs", "cart", "sync.Mutex.Lock"];
    let rest = ["main.(*Cart).Add cart.go:3", "main.serve < main.main"];
    assert_eq!(cells(&text, "(*Cart).Add"), [&lock[..], &rest].concat(), "{text}");
    let reads = ["310 ms", "29.1 %", "2", "1", "20.0 ms", "290 ms", "290 ms", "2.00 µs", "cart", "IO wait"];
    assert_eq!(cells(&text, "readFrame")[..10], reads, "{text}");
    assert!(text.contains("1.06 s of waits: 7 waits at 4 sites, by time"), "{text}");
    assert!(text.ends_with("not listed: 1 wait of Go's own goroutines, 900 ms (--runtime lists them)\n"), "{text}");
    let sites: Vec<&str> = text.lines().skip(3).map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(sites, ["550", "310", "200", "5.00", "not"], "{text}");
    assert_eq!(cells(&text, "stock")[7], "-", "nobody saw the ready: {text}");
    let own = answer(fixture, &["blockers", "--runtime", "--top", "1"]);
    assert_eq!(cells(&own, "bgsweep")[0], "900 ms", "{own}");
    assert!(own.contains("and 4 sites more"), "{own}");
}

fn blockers_json_has_the_stack_of_the_longest_wait(fixture: &Fixture) {
    let document = json(fixture, &["blockers"]);
    assert_eq!((&document["waits"], &document["waited_ns"]), (&7.into(), &1_065_000_000.into()), "{document}");
    assert_eq!((&document["matched"], &document["runtime_waits"]), (&4.into(), &1.into()), "{document}");
    let first = &document["sites"][0];
    assert_eq!(first["site"], "main.(*Cart).Add /shop/cart.go:3");
    assert_eq!((&first["nodes"], &first["processes"], &first["p99_ns"]), (&2.into(), &2.into(), &400_000_000.into()));
    assert_eq!(first["stack"][0], "runtime.gopark /go/proc.go:1");
    assert_eq!(first["stack"].as_array().unwrap().len(), 5);
    let started = chrono_ns(first["longest_start"].as_str().unwrap());
    assert_eq!(started, fixture.base_ns);
    let of_no_stack = document["sites"].as_array().unwrap().iter().filter(|site| site["site"] == "(no stack)").count();
    assert_eq!(of_no_stack, 2);
}

fn chrono_ns(text: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_nanos_opt().unwrap()
}

fn blockers_take_filters_orders_and_windows(fixture: &Fixture) {
    let sites = |arguments: &[&str]| -> Vec<(String, u64)> {
        let document = json(fixture, &[&["blockers"], arguments].concat());
        let site = |site: &Value| (site["reason"].as_str().unwrap().to_owned(), site["waits"].as_u64().unwrap());
        document["sites"].as_array().unwrap().iter().map(site).collect()
    };
    let one = |reason: &str, waits| vec![(reason.to_owned(), waits)];
    assert_eq!(sites(&["--region", "us-east", "--service", "cart"]), one("sync.Mutex.Lock", 1));
    assert_eq!(sites(&["--node", "us-1", "--by", "max"])[0].0, "sync.Mutex.Lock");
    assert_eq!(sites(&["--reason", "MUTEX"]), one("sync.Mutex.Lock", 3));
    assert_eq!(sites(&["--service", "'; DROP TABLE events"]), []);
    assert_eq!(sites(&["--min-duration", "300ms"]), one("sync.Mutex.Lock", 1));
    assert_eq!(sites(&["--by", "count", "--top", "2"]), [("sync.Mutex.Lock".to_owned(), 3), ("IO wait".to_owned(), 2)]);
    let (from, to) = ((fixture.base_ns + 1_000_000_000).to_string(), (fixture.base_ns + 1_500_000_000).to_string());
    assert_eq!(sites(&["--from", &from, "--to", &to]), one("sync.Mutex.Lock", 1));
}

/// The window of [`OF_THREADS`].
fn half_an_hour_before(fixture: &Fixture) -> [String; 4] {
    let from_ns = fixture.base_ns + HALF_AN_HOUR_BEFORE_MS * 1_000_000;
    ["--from".to_owned(), from_ns.to_string(), "--to".to_owned(), (from_ns + 1_000_000_000).to_string()]
}

fn blockers_count_each_moment_of_a_goroutine_once(fixture: &Fixture) {
    let window = half_an_hour_before(fixture);
    let window = window.each_ref().map(String::as_str);
    let document = json(fixture, &[&["blockers"], &window[..]].concat());
    assert_eq!((&document["waits"], &document["waited_ns"]), (&3.into(), &150_000_000.into()), "{document}");
    let site = |site: &Value| {
        assert_eq!(site["share"].is_null(), site["inside"] == true, "{site}");
        assert_eq!(site["site"], "main.encode /video/encode.go:10");
        (site["reason"].as_str().unwrap().to_owned(), site["inside"] == true, site["waited_ns"].as_u64().unwrap())
    };
    let sites: Vec<_> = document["sites"].as_array().unwrap().iter().map(site).collect();
    let expected = [
        ("cgo call", false, 100_000_000),
        ("syscall read", true, 80_000_000),
        ("syscall read", false, 30_000_000),
        ("uninterruptible", false, 20_000_000),
    ];
    assert_eq!(sites, expected.map(|(reason, inside, ns)| (reason.to_owned(), inside, ns)));
    let text = answer(fixture, &[&["blockers"], &window[..]].concat());
    assert_eq!(cells(&text, "80.0 ms")[1], "inside", "{text}");
    // Of those that are asked for, the outermost.
    let reads = json(fixture, &[&["blockers", "--reason", "SYSCALL read"], &window[..]].concat());
    assert_eq!((&reads["waits"], &reads["waited_ns"]), (&2.into(), &110_000_000.into()), "{reads}");
    let one = answer(fixture, &[&["blockers", "--top", "3"], &window[..]].concat());
    assert!(one.contains("at 4 sites") && one.ends_with("and 1 site more (--top)\n"), "{one}");
}

fn a_goroutines_story_counts_each_moment_once(fixture: &Fixture) {
    let window = half_an_hour_before(fixture);
    let window = window.each_ref().map(String::as_str);
    let text = answer(fixture, &[&["goroutine", "900", "5"], &window[..]].concat());
    assert!(text.contains("3 waits, 150 ms in all; wakes of others: 0"), "{text}");
    assert_eq!(cells(&text, "80.0 ms")[2], "-", "a part has no gap: {text}");
    assert_eq!(cells(&text, "80.0 ms")[6], "inside: syscall read in main.encode encode.go:10", "{text}");
    assert_eq!(cells(&text, "preempted")[3], "40.0 ms", "{text}");
    assert!(!text.contains("timer"), "{text}");
    let document = json(fixture, &[&["goroutine", "900", "5"], &window[..]].concat());
    let part = |part: &Value| (part["wait_kind"].as_str().unwrap().to_owned(), part["inside"] == true);
    let parts: Vec<_> = document["story"].as_array().unwrap().iter().map(part).collect();
    let expected = [("cgo", false), ("syscall", true), ("syscall", false), ("off_cpu", false), ("off_cpu", false)];
    assert_eq!(parts, expected.map(|(kind, inside)| (kind.to_owned(), inside)));
}

/// As [`blockers`](blockers_count_each_moment_of_a_goroutine_once), which count those of Go's own goroutines apart also where they wait in
/// the kernel.
fn the_timeline_names_the_go_function_where_other_code_waits(fixture: &Fixture) {
    let window = half_an_hour_before(fixture);
    let window = window.each_ref().map(String::as_str);
    let text = answer(fixture, &[&["timeline"], &window[..]].concat());
    assert!(text.contains("in main.encode") && !text.contains("libvideo") && !text.contains("kernel"), "{text}");
    let own = json(fixture, &["timeline", "--reason", "GC"]);
    assert_eq!((&own["matched"], &own["runtime_waits"]), (&0.into(), &1.into()), "{own}");
}

/// By the views, by questions, and by this program.
fn code_that_is_not_gos_is_told_by_one_pattern(fixture: &Fixture) {
    let views = format!(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND countSubstrings(create_table_query, 'match(y.func, \\'{FOREIGN_PATTERN}\\')') > 0 ORDER BY name"
    );
    let ask = |sql: &str| answer(fixture, &["sql", "--format", "TSV", sql]);
    assert_eq!(ask(&views), "stack_tops\ntimeline\n");
    let parts = ["f", "/", " ", "  ", "(", ")", " (", "(a)", " (a) ", "[]", " /s", ":1"];
    let three = |first| parts.map(|second| parts.map(|third| format!("{first}{second}{third}")));
    let mut frames: Vec<String> = parts.map(three).into_iter().flatten().flatten().collect();
    frames.extend(
        ["main.f[func() (int)]", "ns::operator/(int) (a b.so) /s (1)/f.cc:1", "nap(int) const (shop)"]
            .map(str::to_owned),
    );
    let list = frames.iter().map(|frame| format!("'{frame}'")).collect::<Vec<_>>().join(", ");
    let told = ask(&format!("SELECT match(arrayJoin([{list}]), '{FOREIGN_PATTERN}')"));
    let differ: Vec<_> =
        told.lines().zip(&frames).filter(|(told, frame)| (*told == "1") != is_foreign(frame)).collect();
    assert!(told.lines().count() == frames.len() && told.contains('1') && differ.is_empty(), "{differ:?}");
}

fn blockers_say_what_was_looked_for_where_there_is_nothing(fixture: &Fixture) {
    let text = answer(fixture, &["blockers", "--service", "nobody"]);
    assert!(text.starts_with("no waits of service \"nobody\", ") && text.contains("leave out a filter"), "{text}");
    let text = answer(fixture, &["blockers", "--from", "-1s"]);
    assert!(text.contains("the newest wait in the store ended at ") && text.contains("--from"), "{text}");
}

fn a_goroutines_story_is_told_in_order_with_gaps_wakers_and_wakes(fixture: &Fixture) {
    let document = json(fixture, &["goroutine", "4711", "18", "--node", "eu-1"]);
    assert_eq!(
        (&document["node"], &document["service"], &document["matched"]),
        (&"eu-1".into(), &"cart".into(), &4.into())
    );
    let story = document["story"].as_array().unwrap();
    let kinds: Vec<&str> = story.iter().map(|part| part["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["wait", "wait", "wake", "wait"]);
    let ms = |part: &Value, field: &str| part[field].as_u64().map(|ns| ns / 1_000_000);
    let gaps: Vec<_> = story.iter().map(|part| ms(part, "gap_ns")).collect();
    assert_eq!(gaps, [None, Some(50), None, Some(530)]);
    assert_eq!(story[0]["start_ns"], fixture.base_ns);
    assert_eq!((&story[0]["bound_ns"], &story[0]["end_bound_ns"]), (&120_000.into(), &130_000.into()));
    assert_eq!((&story[0]["waker_goid"], &story[0]["site"]), (&20.into(), &"main.(*Cart).Add /shop/cart.go:3".into()));
    assert_eq!((&story[1]["waker_goid"], &story[1]["by_netpoll"]), (&Value::Null, &true.into()));
    assert_eq!((&story[2]["goid"], ms(&story[2], "waited_ns")), (&20.into(), Some(199)));
    assert_eq!(story[2]["at_ns"], fixture.base_ns + 800_000_000 - RUN_DELAY_NS);
    let text = answer(fixture, &["goroutine", "4711", "18", "--node", "eu-1"]);
    assert!(text.starts_with("goroutine 18 of cart/4711 on eu-1 (eu-west), "), "{text}");
    assert!(text.contains("3 waits, 520 ms in all; wakes of others: 1"), "{text}");
    let last = cells(&text, "530 ms");
    assert_eq!(
        last[1..],
        ["±120 µs", "530 ms", "100 ms", "1.00 µs", "g20", "sync.Mutex.Lock in main.(*Cart).Add cart.go:3"]
    );
    assert!(text.contains("woke g20, which had waited 200 ms for chan receive"), "{text}");
    let cut = answer(fixture, &["goroutine", "4711", "18", "--node", "eu-1", "--limit", "1"]);
    assert!(cut.contains("waits and wakes before, left out: 3") && cut.contains("100 ms"), "{cut}");
}

fn a_goroutine_of_several_nodes_must_be_chosen(fixture: &Fixture) {
    let error = fixture.refusal(&["--database", BLOCKED, "goroutine", "4711", "18"], 2);
    assert!(error.contains("eu-1 (eu-west, cart), us-1 (us-east, stock)") && error.contains("--node"), "{error}");
    let document = json(fixture, &["goroutine", "4711", "18", "--region", "us-east"]);
    assert_eq!((&document["node"], document["story"].as_array().unwrap().len()), (&"us-1".into(), 1));
    // The region's offset is added.
    assert_eq!(document["story"][0]["start_ns"], fixture.base_ns + 2_000_000_000);
    assert_eq!(document["story"][0]["run_delay_ns"], Value::Null);
}

fn a_goroutine_that_is_not_there_is_looked_for_elsewhere(fixture: &Fixture) {
    let text = answer(fixture, &["goroutine", "1", "2", "--node", "eu-1"]);
    assert!(text.starts_with("no waits of goroutine 2 of a process 1 on node \"eu-1\", "), "{text}");
    assert!(text.contains("the newest wait in the store ended at ") && text.contains("syncline timeline"), "{text}");
    let document = json(fixture, &["goroutine", "1", "2"]);
    assert_eq!((document["node"].is_null(), &document["matched"]), (true, &0.into()));
}
