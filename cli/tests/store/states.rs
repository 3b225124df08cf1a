//! `states`, and the states of `goroutine`, on a database of their own.

use serde_json::Value;

use crate::cases::{Case, cases};
use crate::fixture::{Fixture, REGION_OFFSET_NS, STATES, region_map};

pub(crate) const ALL: &[Case] = cases![
    processes_are_ranked_by_the_share_of_a_state,
    states_json_has_every_reason,
    states_take_filters_and_windows,
    what_only_gos_own_goroutines_wait_for_is_named_if_wanted,
    goroutines_are_ranked_by_the_time_in_a_state,
    what_is_not_known_of_states_is_said_so,
    a_goroutine_that_never_waited_is_known_by_its_states,
    a_goroutine_of_an_agent_that_tells_no_states_is_said_to_be_so,
];

const SECOND: i64 = 1_000_000_000;
const MONO_NS: i64 = 10_000 * SECOND;

/// Region, node, service, pid, from after the base, s, and of ten seconds running, runnable, blocked by select and by reading, ms.
type Interval = (&'static str, &'static str, &'static str, u32, i64, [u64; 4]);

const INTERVALS: [Interval; 4] = [
    ("eu-west", "eu-1", "cart", 4711, 0, [5_000, 1_000, 3_000, 1_000]),
    ("eu-west", "eu-1", "cart", 4711, 10, [5_000, 0, 5_000, 0]),
    ("us-east", "us-1", "stock", 5, 5, [100, 9_000, 0, 900]),
    // Long before.
    ("eu-west", "eu-1", "cart", 4711, -1_800, [1, 9_999, 0, 0]),
];

/// Node, pid, goid, first seen after the base, lived, s, start seen, fate, state, reason, running, runnable, blocked by select, ms.
type Told = (&'static str, u32, u64, i64, i64, u8, &'static str, &'static str, &'static str, [u64; 3]);

const TOLD: [Told; 6] = [
    ("eu-1", 4711, 18, 0, 20, 1, "alive", "blocked", "select", [2_000, 500, 17_500]),
    // Told of before.
    ("eu-1", 4711, 18, 0, 10, 1, "alive", "running", "", [2_000, 8_000, 0]),
    ("eu-1", 4711, 1, -600, 615, 0, "alive", "running", "", [610_000, 5_000, 0]),
    ("eu-2", 7, 30, 2, 3, 1, "finished", "running", "", [100, 2_900, 0]),
    // It was blocked and did nothing since.
    ("eu-1", 4711, 19, -7_300, 100, 1, "alive", "blocked", "select", [1_000, 0, 99_000]),
    ("eu-3", 7, 30, 2, 3, 1, "process_ended", "blocked", "select", [0, 0, 3_000]),
];

pub(crate) fn rows(base_ns: i64) -> Vec<String> {
    let mut statements: Vec<String> = INTERVALS.iter().map(|interval| interval_row(base_ns, interval)).collect();
    statements.extend(TOLD.iter().map(|told| told_row(base_ns, told)));
    statements.push(region_map(base_ns));
    let idler = ("eu-west", "eu-1", "idler", 6, -900, [1_000, 0, 1_000, 8_000]);
    statements.push(interval_row(base_ns, &idler).replace("'IO wait'", "'GC worker (idle)'"));
    // A wait of one whose agent tells no states.
    statements.push(format!(
        "INSERT INTO events (bucket, region, service, node, boot, seq, pid, tid, goid, kind, reason, mono_ns, dur_ns, al_off, al_end_off, err_ns, \
         err_end_ns) VALUES ({}, 'eu-west', 'old', 'eu-4', 1, 1, 900, 1, 5, 'goroutine', 'select', {MONO_NS} + 9 * {SECOND}, {SECOND}, {off}, {off}, 5, 5)",
        base_ns / SECOND / 60 * 60,
        off = base_ns - MONO_NS,
    ));
    statements
}

fn interval_row(base_ns: i64, interval: &Interval) -> String {
    let (region, node, service, pid, from_s, [running, runnable, select, read]) = interval;
    let behind_ns = if *region == "eu-west" { 0 } else { REGION_OFFSET_NS };
    let (mono_ns, off) = (MONO_NS + from_s * SECOND, base_ns - behind_ns - MONO_NS);
    format!(
        "INSERT INTO process_states (bucket, region, service, node, boot, pid, mono_ns, dur_ns, running_ns, runnable_ns, blocked_ns, \
         blocked_by, blocked_times, goroutines, started, ended, runs, handoffs, al_off, al_end_off) \
         VALUES ({bucket}, '{region}', '{service}', '{node}', 1, {pid}, {mono_ns}, 10000000000, {running} * 1000000, {runnable} * 1000000, \
         {select} * 1000000 + {read} * 1000000, map('select', {select} * 1000000, 'IO wait', {read} * 1000000), map('select', 4, 'IO wait', 1), \
         1, 2, 2, 300, 5, {off}, {off})",
        bucket = (mono_ns + off) / 60_000_000_000 * 60,
    )
}

fn told_row(base_ns: i64, told: &Told) -> String {
    let (node, pid, goid, first_s, lived_s, start_seen, fate, state, reason, [running, runnable, select]) = told;
    let (mono_ns, off) = (MONO_NS + first_s * SECOND, base_ns - MONO_NS);
    format!(
        "INSERT INTO goroutine_states (bucket, region, service, node, boot, pid, goid, mono_ns, dur_ns, start_seen, fate, state, reason, state_ns, \
         running_ns, runnable_ns, blocked_ns, blocked_by, blocked_times, runs, handoffs, al_off, al_end_off) \
         VALUES ({bucket}, 'eu-west', 'cart', '{node}', 1, {pid}, {goid}, {mono_ns}, {lived_s} * 1000000000, {start_seen}, '{fate}', '{state}', \
         '{reason}', 1500000, {running} * 1000000, {runnable} * 1000000, {select} * 1000000, map('select', {select} * 1000000), map('select', 3), \
         40, 2, {off}, {off})",
        bucket = (mono_ns + off + lived_s * SECOND) / 60_000_000_000 * 60,
    )
}

fn answer(fixture: &Fixture, arguments: &[&str]) -> String {
    fixture.answer(&[&["--database", STATES], arguments].concat())
}

fn json(fixture: &Fixture, arguments: &[&str]) -> Value {
    serde_json::from_str(&answer(fixture, &[arguments, &["--format", "json"]].concat())).unwrap()
}

/// The cells of the line that contains a text.
fn cells<'t>(text: &'t str, part: &str) -> Vec<&'t str> {
    let line = text.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("{part}: {text}"));
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

fn processes_are_ranked_by_the_share_of_a_state(fixture: &Fixture) {
    let text = answer(fixture, &["states"]);
    assert!(text.contains(": 2 processes, by the share of runnable\n"), "{text}");
    let cart =
        ["eu-west", "eu-1", "cart", "4711", "1", "0.50 (50.0 %)", "0.05 (5.0 %)", "0.00 (0.0 %)", "0.00 (0.0 %)"];
    let rest = ["0.45 (45.0 %)", "30.0", "0.5", "select (89 %)"];
    assert_eq!(cells(&text, "cart"), [&cart[..], &rest].concat(), "{text}");
    assert_eq!(
        cells(&text, "stock")[6..],
        ["0.90 (90.0 %)", "0.00 (0.0 %)", "0.00 (0.0 %)", "0.09 (9.0 %)", "30.0", "0.5", "IO wait (100 %)"]
    );
    let first = |arguments: &[&str]| {
        let text = answer(fixture, arguments);
        text.lines().nth(3).unwrap().split_whitespace().nth(2).unwrap().to_owned()
    };
    assert_eq!(first(&["states"]), "stock");
    assert_eq!(first(&["states", "--by", "running"]), "cart");
    let one = answer(fixture, &["states", "--limit", "1"]);
    assert!(one.contains(": 2 processes") && one.ends_with("and 1 process more (--limit)\n"), "{one}");
}

fn states_json_has_every_reason(fixture: &Fixture) {
    let document = json(fixture, &["states", "--service", "cart"]);
    assert_eq!(document["matched"], 1, "{document}");
    let process = &document["processes"][0];
    assert_eq!(
        (&process["observed_ns"], &process["handoffs"], &process["started"]),
        (&20_000_000_000_u64.into(), &10.into(), &4.into())
    );
    let states = process["states"].as_array().unwrap();
    let find =
        |state: &str, reason: Value| states.iter().find(|s| s["state"] == state && s["reason"] == reason).unwrap();
    let select = find("blocked", "select".into());
    assert_eq!(
        (&select["total_ns"], &select["times"], &select["mean"]),
        (&8_000_000_000_u64.into(), &8.into(), &0.4.into())
    );
    assert_eq!(
        (&find("running", Value::Null)["times"], &find("runnable", Value::Null)["times"]),
        (&600.into(), &Value::Null)
    );
    let shares: f64 = states.iter().map(|state| state["share"].as_f64().unwrap()).sum();
    assert!((shares - 1.0).abs() < 1e-9, "{document}");
}

fn states_take_filters_and_windows(fixture: &Fixture) {
    assert!(answer(fixture, &["states", "--region", "us-east"]).contains(": 1 process of region \"us-east\", by"));
    assert!(answer(fixture, &["states", "--node", "eu-1"]).contains(": 1 process of node \"eu-1\", by"));
    assert!(answer(fixture, &["states", "--pid", "5"]).contains(": 1 process of process 5, by"));
    // The clock of us-east is behind: on the fleet's its interval began at 5 s exactly.
    let at = |s: i64| (fixture.base_ns + s * SECOND).to_string();
    let matched =
        |from: i64, to: i64| json(fixture, &["states", "--from", &at(from), "--to", &at(to)])["matched"].clone();
    assert_eq!((matched(5, 6), matched(0, 5), matched(0, 6), matched(1, 5)), (1.into(), 1.into(), 2.into(), 0.into()));
}

fn what_only_gos_own_goroutines_wait_for_is_named_if_wanted(fixture: &Fixture) {
    let at = |s: i64| (fixture.base_ns + s * SECOND).to_string();
    let window = ["states", "--from", &at(-900), "--to", &at(-800)];
    let text = answer(fixture, &window);
    assert_eq!(cells(&text, "idler")[9..], ["0.90 (90.0 %)", "30.0", "0.5", "select (100 %)"], "{text}");
    let own = answer(fixture, &[&window[..], &["--runtime"]].concat());
    assert_eq!(cells(&own, "idler")[9..], ["0.90 (90.0 %)", "30.0", "0.5", "GC worker (idle) (89 %)"], "{own}");
}

fn goroutines_are_ranked_by_the_time_in_a_state(fixture: &Fixture) {
    let text = answer(fixture, &["states", "--goroutines"]);
    assert!(text.contains(": 4 goroutines, by the time runnable\n"), "{text}");
    let goids: Vec<&str> = text.lines().skip(3).map(|line| line.split_whitespace().nth(4).unwrap()).collect();
    assert_eq!(goids, ["1", "30", "18", "30"], "{text}");
    let goroutine = cells(&text, " 18 ");
    let expected = [
        "eu-west",
        "eu-1",
        "cart",
        "4711",
        "18",
        "20.0 s",
        "2.00 s (10.0 %)",
        "500 ms (2.5 %)",
        "0 ns (0.0 %)",
        "0 ns (0.0 %)",
    ];
    assert_eq!(
        goroutine,
        [&expected[..], &["17.5 s (87.5 %)", "40", "2", "blocked (select) for 1.50 ms"]].concat(),
        "{text}"
    );
    assert!(cells(&text, "running for")[5].starts_with("> "), "it was there before: {text}");
    assert!(
        text.contains("  finished\n") && text.contains("its process ended, it was blocked (select) for 1.50 ms"),
        "{text}"
    );
    let blocked = json(fixture, &["states", "--goroutines", "--by", "blocked", "--limit", "1"]);
    let first = &blocked["goroutines"][0];
    assert_eq!(
        (&first["goid"], &first["blocked_by"]["select"], &first["start_seen"]),
        (&18.into(), &17_500_000_000_u64.into(), &true.into())
    );
    assert_eq!(blocked["matched"], 4, "{blocked}");
}

fn what_is_not_known_of_states_is_said_so(fixture: &Fixture) {
    let text = answer(fixture, &["states", "--service", "nobody"]);
    assert!(
        text.starts_with("no states of processes are known of service \"nobody\", ")
            && text.contains("leave out a filter"),
        "{text}"
    );
    let text = answer(fixture, &["states", "--from", "-1s", "--goroutines"]);
    assert!(
        text.starts_with("no states of goroutines are known, ") && text.contains("the newest in the store is of "),
        "{text}"
    );
    // The usual database has none at all.
    assert!(fixture.answer(&["states"]).contains("the store knows of none at all"));
    let error = fixture.refusal(&["states", "--from", "-1s", "--to", "-2s"], 2);
    assert!(error.contains("is not before --to"), "{error}");
}

fn a_goroutine_that_never_waited_is_known_by_its_states(fixture: &Fixture) {
    let text = answer(fixture, &["goroutine", "4711", "18"]);
    assert!(text.starts_with("goroutine 18 of cart/4711 on eu-1 (eu-west), "), "{text}");
    assert!(text.contains("0 waits, ") && text.contains("; in the 20.0 s until "), "{text}");
    assert!(text.contains(": blocked (select) for 1.50 ms; handoffs: 2\n"), "{text}");
    assert_eq!(cells(&text, "blocked: select"), ["blocked: select", "17.5 s", "87.5 %", "3"], "{text}");
    assert_eq!(cells(&text, "running "), ["running", "2.00 s", "10.0 %", "40"], "{text}");
    assert_eq!(cells(&text, "runnable "), ["runnable", "500 ms", "2.5 %", "-"], "{text}");
    let document = json(fixture, &["goroutine", "4711", "18"]);
    assert_eq!(
        (&document["states"]["lived_ns"], &document["states"]["state"]),
        (&20_000_000_000_u64.into(), &"blocked".into())
    );
    // Told of for the last time two hours before the window.
    assert_eq!(json(fixture, &["goroutine", "4711", "19"])["states"]["lived_ns"], 100_000_000_000_u64);
    let error = fixture.refusal(&["--database", STATES, "goroutine", "7", "30"], 2);
    assert!(error.contains("eu-2 (eu-west, cart), eu-3 (eu-west, cart)") && error.contains("--node"), "{error}");
    assert_eq!(json(fixture, &["goroutine", "7", "30", "--node", "eu-2"])["states"]["fate"], "finished");
}

fn a_goroutine_of_an_agent_that_tells_no_states_is_said_to_be_so(fixture: &Fixture) {
    let text = answer(fixture, &["goroutine", "900", "5"]);
    assert!(
        text.contains("1 wait, 1.00 s in all") && text.contains("by state (running, runnable, ...) is not known"),
        "{text}"
    );
    assert_eq!(json(fixture, &["goroutine", "900", "5"])["states"], Value::Null);
}
