//! `sends` on a database of its own.

use serde_json::Value;

use crate::cases::{Case, cases};
use crate::fixture::{Fixture, SENDS};

pub(crate) const ALL: &[Case] =
    cases![sends_are_listed_the_slowest_first, sends_json_has_all_numbers, where_nothing_was_sent_it_is_said_so];

/// Service, who opened it, the ends, and sends: number, sum, longest, histogram, not measured, not acknowledged.
const SESSIONS: [&str; 3] = [
    "'cart', 'local', '10.0.0.1', 50001, '10.0.0.9', 443, 3, 4000000, 2000000, arrayResize([0], 20, 0) || [1, 2], 5, 6",
    "'cart', 'remote', 'fd00::1', 80, 'fd00::2', 50002, 1, 9000000, 9000000, arrayResize([0], 23, 0) || [1], 0, 0",
    "'stock', 'local', 'fd00::1', 50003, 'fd00::3', 443, 0, 0, 0, [], 0, 7",
];

pub(crate) fn rows(base_ns: i64) -> Vec<String> {
    let row = |(session, socket): (&str, u64)| {
        format!(
            "INSERT INTO tcp_sessions (bucket, region, node, boot, pid, socket, mono_ns, dur_ns, ended, al_off, al_end_off, sends_watched, \
             service, opener, local_address, local_port, peer_address, peer_port, sends, send_total_ns, send_max_ns, send_hist, \
             sends_unmeasured, sends_unacknowledged) \
             SELECT {}, 'eu-west', 'eu-1', 1, 42, {socket}, 5, 1000000000, 1, {base_ns}, {base_ns}, 1, {session}",
            base_ns / 1_000_000_000,
        )
    };
    SESSIONS.into_iter().zip(1..).map(row).collect()
}

fn ask(fixture: &Fixture, arguments: &[&str]) -> String {
    fixture.answer(&[&["--database", SENDS, "sends", "--from", "-3h"], arguments].concat())
}

fn sends_are_listed_the_slowest_first(fixture: &Fixture) {
    let answer = ask(fixture, &[]);
    let rows: Vec<String> = answer.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let expected = [
        "SERVICE TO OPENED SESSIONS SENDS P50 P90 P99 MAX UNMEASURED UNACKED",
        "eu-west/cart fd00::2 (to :80) remote 1 1 9.00 ms 9.00 ms 9.00 ms 9.00 ms 0 0",
        "eu-west/cart 10.0.0.9:443 local 1 3 2.00 ms 2.00 ms 2.00 ms 2.00 ms 5 6",
        "eu-west/stock [fd00::3]:443 local 1 0 - - - - 0 7",
    ];
    assert_eq!(rows, expected, "{answer}");
    assert_eq!(ask(fixture, &["--top", "1"]).lines().skip(2).collect::<Vec<_>>(), ["and 2 more (--top)"]);
    assert_eq!(ask(fixture, &["--service", "stock", "--region", "eu-west"]).lines().count(), 2);
}

fn sends_json_has_all_numbers(fixture: &Fixture) {
    let answer: Value = serde_json::from_str(&ask(fixture, &["--service", "cart", "--format", "json"])).unwrap();
    let local = &answer[1];
    let numbers = ["sends", "p50_ns", "max_ns", "avg_ns", "unmeasured", "unacknowledged", "port"];
    let numbers: Vec<u64> = numbers.iter().map(|name| local[*name].as_u64().unwrap()).collect();
    assert_eq!(numbers, [3, 2_000_000, 2_000_000, 1_333_333, 5, 6, 443]);
    assert_eq!((&local["peer_address"], &local["opener"]), (&"10.0.0.9".into(), &"local".into()));
}

fn where_nothing_was_sent_it_is_said_so(fixture: &Fixture) {
    let said = ask(fixture, &["--service", "nobody"]);
    assert!(said.starts_with("no sends: were there") && said.contains("--without tcp"), "{said}");
    assert!(ask(fixture, &["--to", "-2h"]).starts_with("no sends"), "a window before");
}
