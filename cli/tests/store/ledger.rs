//! `loss` and `audit` on a database of its own: node `whole` adds up, `gaps` lacks batches, `old` is of an agent that does not tell.

use serde_json::Value;

use crate::cases::{Case, cases};
use crate::fixture::{Fixture, LEDGER};

pub(crate) const ALL: &[Case] = cases![
    loss_is_shown_by_node_and_by_cause,
    an_audit_that_adds_up_ends_with_0,
    an_audit_names_gaps_and_batches_that_are_not_whole,
    an_audit_of_an_old_agent_cannot_tell,
    an_audit_of_nothing_is_a_failure
];

pub(crate) fn rows(base_ns: i64) -> Vec<String> {
    let bucket = base_ns / 1_000_000_000;
    let ledger = |node: &str, number: u64, first_seq: u64, counts: [u64; 3], account: &str| {
        let [events, short, lost] = counts;
        format!(
            "INSERT INTO ingest_ledger (bucket, region, node, boot, run_seq, batch, first_seq, events, first_bucket, short_waits, losses, \
             has_account, captured, left_out, waiting, open) VALUES ({bucket}, 'eu', '{node}', 1, 10, {number}, {first_seq}, {events}, {bucket}, \
             {short}, {lost}, {account})"
        )
    };
    let events = |node: &str, first: u64, count: u64| {
        format!(
            "INSERT INTO events (bucket, region, node, boot, seq) SELECT {bucket}, 'eu', '{node}', 1, {first} + number FROM numbers({count})"
        )
    };
    let lost = |node: &str, number: u64, cause: &str, count: u64| {
        format!(
            "INSERT INTO losses (bucket, region, node, boot, run_seq, cause, count, batch) VALUES ({bucket}, 'eu', '{node}', 1, 10, '{cause}', {count}, {number})"
        )
    };
    vec![
        ledger("whole", 10, 10, [5, 7, 3], "1, 20, 1, 4, -1"),
        events("whole", 10, 5),
        format!(
            "INSERT INTO short_waits (bucket, region, node, boot, count, batch) VALUES ({bucket}, 'eu', 'whole', 1, 7, 10)"
        ),
        lost("whole", 10, "ring_buffer_full", 3),
        ledger("whole", 12, 19, [1, 0, 0], "1, 25, 1, 4, 4"),
        events("whole", 19, 1),
        format!("INSERT INTO dropped_batches VALUES ({bucket}, 'eu', 'whole', 1, 10, 11, 'queue_full', 4, 0)"),
        lost("whole", 11, "queue_full", 4),
        ledger("gaps", 10, 10, [3, 0, 0], "1, 3, 0, 0, -1"),
        events("gaps", 10, 2),
        events("gaps", 11, 2),
        ledger("gaps", 14, 20, [1, 0, 0], "1, 11, 0, 0, -1"),
        ledger("gaps", 16, 22, [0, 0, 0], "1, 12, 0, 0, -1"),
        format!(
            "INSERT INTO process_states (bucket, region, node, boot, pid, mono_ns) SELECT {bucket}, 'eu', 'gaps', 1, 7, 5 FROM numbers(3)"
        ),
        ledger("old", 10, 10, [1, 0, 0], "0, 0, 0, 0, -1"),
        events("old", 10, 1),
    ]
}

const HOURS: [&str; 2] = ["--from", "-3h"];

fn squeezed(text: &str) -> Vec<String> {
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

/// What an audit of a node says, and its exit code.
fn audit(fixture: &Fixture, node: &str, more: &[&str]) -> (Vec<String>, Option<i32>) {
    let arguments = [&["--database", LEDGER, "audit", "--node", node][..], &HOURS, more].concat();
    let output = fixture.run(&arguments);
    (squeezed(&String::from_utf8_lossy(&output.stdout)), output.status.code())
}

fn loss_is_shown_by_node_and_by_cause(fixture: &Fixture) {
    let text = fixture.answer(&[&["--database", LEDGER, "loss"][..], &HOURS].concat());
    let expected = [
        "NODE CAPTURED EVENTS SHORT LOST LEFT OUT WAITING UNEXPLAINED",
        "eu/gaps 12 4 0 0 0 0 8",
        "eu/old not told 1 0 0 not told not told not told",
        "eu/whole 25 6 7 7 1 4 0",
        "",
        "NODE LOST TO WAITS",
        "eu/whole queue_full 4",
        "eu/whole ring_buffer_full 3",
    ];
    assert_eq!(squeezed(&text), expected, "{text}");
    let of_none = fixture.answer(&[&["--database", LEDGER, "loss", "--region", "us"][..], &HOURS].concat());
    assert!(of_none.starts_with("no batches were sealed then"), "{of_none}");
    let json =
        fixture.answer(&[&["--database", LEDGER, "loss", "--node", "whole", "--format", "json"][..], &HOURS].concat());
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["nodes"][0]["captured"], &json["causes"][1]["count"]), (&25.into(), &3.into()));
}

fn an_audit_that_adds_up_ends_with_0(fixture: &Fixture) {
    let (lines, code) = audit(fixture, "whole", &[]);
    assert_eq!(code, Some(0), "{lines:?}");
    assert_eq!(lines[1], "eu/whole 10 2 25 6 7 7 1 4 adds up");
    assert_eq!(lines.last().unwrap(), "1 runs, 2 batches: adds up");
}

fn an_audit_names_gaps_and_batches_that_are_not_whole(fixture: &Fixture) {
    let (lines, code) = audit(fixture, "gaps", &[]);
    assert_eq!(code, Some(3), "{lines:?}");
    assert_eq!(lines[1], "eu/gaps 10 3 12 4 0 0 0 0 4 batches missing, 8 waits missing");
    let expected = [
        "eu/gaps, boot 0000000000000001: batches 11 to 13: neither stored nor given up",
        "eu/gaps, boot 0000000000000001: batch 15: neither stored nor given up",
        "eu/gaps, boot 0000000000000001, batch 10: 1 of its events are there more than once",
        "eu/gaps, boot 0000000000000001, batch 14: 1 of its 1 events (from 20 on) are missing",
        "eu/gaps, boot 0000000000000001: 2 rows of process_states are there more than once",
        "1 runs, 3 batches: does not add up",
    ];
    assert_eq!(lines[3..], expected);
    let (lines, _) = audit(fixture, "gaps", &["--top", "1"]);
    assert!(lines.contains(&"and 1 more gaps (--top)".to_owned()), "{lines:?}");
    let (_, code) = audit(fixture, "gaps", &["--format", "json"]);
    assert_eq!(code, Some(3));
}

fn an_audit_of_an_old_agent_cannot_tell(fixture: &Fixture) {
    let (lines, code) = audit(fixture, "old", &[]);
    assert_eq!(code, Some(4), "{lines:?}");
    assert!(lines[1].ends_with("its agent does not tell what it captured"), "{lines:?}");
}

fn an_audit_of_nothing_is_a_failure(fixture: &Fixture) {
    let error = fixture.refusal(&["--database", LEDGER, "audit", "--node", "nobody"], 1);
    assert!(error.contains("nothing to audit"), "{error}");
}
