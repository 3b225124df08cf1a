//! `observed` on a database of its own, and what weights do to the views that sum.

use serde_json::Value;

use crate::cases::{Case, cases};
use crate::export;
use crate::fixture::{Fixture, OBSERVED};

pub(crate) const ALL: &[Case] = cases![
    each_stage_of_a_process_is_a_row,
    observed_json_has_all_numbers,
    where_nothing_is_governed_it_is_said_so,
    what_is_seen_in_windows_counts_by_its_weight,
    exports_count_by_weight_or_say_it,
    of_how_many_processes_states_are_not_known_is_said
];

/// Pid, its begin (s), length (s), seen (ms), windows, stage, reason, cost and CPU time (ms).
const OBSERVATIONS: [&str; 3] = [
    "42, 5 * 1000000000, 10000000000, 10000000000, 0, 'full', 'began', 900 * 1000000, 10000 * 1000000",
    "42, 15 * 1000000000, 10000000000, 200000000, 10, 'windows', 'over_budget', 90 * 1000000, 10000 * 1000000",
    "42, 25 * 1000000000, 10000000000, 200000000, 10, 'windows', 'over_budget', 110 * 1000000, 10000 * 1000000",
];

pub(crate) fn rows(base_ns: i64) -> Vec<String> {
    let bucket = base_ns / 1_000_000_000;
    let whose = format!("{bucket}, 'eu', 'cart', 'eu-1', 1");
    let observation = |values: &str| {
        format!(
            "INSERT INTO observations (bucket, region, service, node, boot, al_off, threshold_ns, without, budget_ppm, pid, mono_ns, dur_ns, \
             observed_ns, windows, stage, reason, cost_ns, cpu_ns) SELECT {whose}, {base_ns}, 1000000, 'states', 10000, {values}"
        )
    };
    let event = |seq: u32, dur_ns: u32, flags: u32, weight_milli: u32| {
        format!(
            "INSERT INTO events (bucket, region, service, node, boot, seq, pid, goid, kind, reason, mono_ns, dur_ns, flags, al_off, al_end_off, \
             weight_milli) SELECT {whose}, {seq}, 42, 7, 'goroutine', 'sync.Mutex.Lock', {seq} * 1000000000, {dur_ns}, {flags}, {base_ns}, {base_ns}, \
             {weight_milli}"
        )
    };
    let short = |count: u32, total_ns: u32, weight_milli: u32, is_parts: u32| {
        format!(
            "INSERT INTO short_waits (bucket, region, service, node, boot, pid, kind, reason, count, total_ns, weight_milli, is_parts) \
             SELECT {whose}, 42, 'goroutine', 'sync.Mutex.Lock', {count}, {total_ns}, {weight_milli}, {is_parts}"
        )
    };
    let waits = [
        event(1, 2_000_000, 1, 1_000),
        event(2, 3_000_000, 1, 50_000),
        event(3, 4_000_000, 129, 50_000),
        short(10, 1_000_000, 1_000, 0),
        short(4, 2_000_000, 50_000, 0),
        short(1, 5_000_000, 50_000, 1),
    ];
    OBSERVATIONS.into_iter().map(observation).chain(waits).collect()
}

fn ask(fixture: &Fixture, arguments: &[&str]) -> String {
    fixture.answer(&[&["--database", OBSERVED], arguments].concat())
}

fn each_stage_of_a_process_is_a_row(fixture: &Fixture) {
    let answer = ask(fixture, &["observed", "--from", "-3h"]);
    let rows: Vec<Vec<&str>> = answer.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    let but_since = |row: &[&str]| [&row[..5], &row[6..]].concat().join(" ");
    assert_eq!(
        rows.iter().map(|row| but_since(row)).collect::<Vec<_>>(),
        [
            "eu/cart eu-1 42 full began 10.0 s 100.00% - 9.00% 1.00% 1.00 ms states",
            "eu/cart eu-1 42 windows over_budget 20.0 s 2.00% 20 1.00% 1.00% 1.00 ms states",
        ],
        "{answer}"
    );
    assert_eq!(ask(fixture, &["observed", "--from", "-3h", "--pid", "42", "--service", "cart"]), answer);
}

fn observed_json_has_all_numbers(fixture: &Fixture) {
    let answer = ask(fixture, &["observed", "--from", "-3h", "--format", "json"]);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let numbers = ["duration_ns", "observed_ns", "windows", "cost_ns", "cpu_ns", "budget_ppm"];
    let numbers: Vec<u64> = numbers.iter().map(|name| answer[1][*name].as_u64().unwrap()).collect();
    assert_eq!(numbers, [20_000_000_000, 400_000_000, 20, 200_000_000, 20_000_000_000, 10_000]);
}

fn where_nothing_is_governed_it_is_said_so(fixture: &Fixture) {
    for arguments in [&["--service", "nobody", "--from", "-3h"][..], &["--to", "-2h"]] {
        let said = ask(fixture, &[&["observed"], arguments].concat());
        assert!(said.starts_with("no process with a budget was observed then"), "{said}");
    }
    let wrong = fixture.refusal(&["--database", OBSERVED, "observed", "--from", "yesterday"], 2);
    assert!(wrong.contains("yesterday"), "{wrong}");
}

fn what_is_seen_in_windows_counts_by_its_weight(fixture: &Fixture) {
    let sql = |sql: &str| ask(fixture, &["sql", "--format", "TSV", sql]);
    let window = "t0 = now64(9) - 7200, t1 = now64(9)";
    let sums = sql(&format!("SELECT waits, blocked_ns, seen_ns FROM blocked_time({window})"));
    let (waits, ms) = (1 + 50 + 10 + 4 * 50 + 50, 2 + 3 * 50 + 4 * 50 + 1 + 2 * 50 + 5 * 50);
    assert_eq!(sums.trim(), format!("{waits}\t{}\t17000000", ms * 1_000_000));
    let hours = sql("SELECT sum(waits), sum(blocked_ns), sum(seen_ns) FROM wait_hours WHERE hour >= now() - 7200");
    assert_eq!(hours, sums);
    let sites = sql(&format!("SELECT contentions, waited_ns, p50_ns, max_ns FROM lock_sites({window})"));
    assert_eq!(sites.trim(), "101\t352000000\t3000000\t4000000");
    let blockers = ask(fixture, &["blockers", "--from", "-3h", "--format", "json"]);
    let blockers: Value = serde_json::from_str(&blockers).unwrap();
    assert!(blockers.to_string().contains("352000000"), "{blockers}");
}

/// Two waits are in it, of 2 ms and of 3 ms, and the second stands for 50.
fn exports_count_by_weight_or_say_it(fixture: &Fixture) {
    let asked = export::of(fixture, OBSERVED);
    let (profile, told) = asked.export("pprof", &[]);
    assert!(told.starts_with("51 waits from ") && told.contains("below the threshold: 260 waits"), "{told}");
    let raw = export::pprof(&profile, &["-raw"]);
    assert!(raw.contains("51  152000000") && raw.contains("260  351000000"), "{raw}");

    let (document, told) = asked.export("speedscope", &[]);
    assert!(told.starts_with("2 waits from "), "{told}");
    let document: Value = serde_json::from_slice(&document).unwrap();
    let weights: Vec<u64> =
        document["profiles"][0]["weights"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
    assert_eq!(weights, [1_000_000_000, 2_000_000, 998_000_000, 3_000_000], "what was seen");

    let (rows, _) = asked.export("parquet", &[]);
    let sums = export::read_parquet(fixture, &rows, "count(), sum(weight), sum(dur_ns * weight)");
    assert_eq!(sums.trim(), "2,51,152000000");
}

fn of_how_many_processes_states_are_not_known_is_said(fixture: &Fixture) {
    let note = "not known: states of 1 process, at times, for a budget (syncline observed)\n";
    for arguments in [&["states", "--from", "-3h"][..], &["states", "--from", "-3h", "--goroutines"]] {
        assert!(ask(fixture, arguments).ends_with(note), "{arguments:?}");
        let json = ask(fixture, &[arguments, &["--format", "json"]].concat());
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["processes_without"], 1, "{json}");
    }
    assert!(!ask(fixture, &["states", "--from", "-3h", "--service", "stock"]).contains("not known: states"));
    let [within, behind] =
        [[26, 29], [36, 39]].map(|window| window.map(|s| (fixture.base_ns + s * 1_000_000_000).to_string()));
    let says_so = |[from, to]: &[String; 2]| ask(fixture, &["states", "--from", from, "--to", to]).ends_with(note);
    assert!(says_so(&within) && !says_so(&behind), "also where no row begins");
}
