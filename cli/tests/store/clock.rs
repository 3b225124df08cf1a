//! `clock record` and `clock explain`: what the store has of a node's clock.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::cases::{Case, cases};
use crate::fixture::{Fixture, probes_of_eu_2};

pub(crate) const ALL: &[Case] = cases![
    a_recording_replays_into_answers_that_hold_the_truth,
    clock_explain_says_what_carries_an_estimate,
    clock_explain_speaks_of_the_boot_that_ran_then,
];

/// What a recording is made of, in a database of its own.
const RECORDED: &str = "recorded";
/// A node that was booted again, likewise.
const REBOOTED: &str = "rebooted";
/// REF - MONO of the node is the base less this.
const MONO_AT_BASE_NS: i64 = 100_000_000_000;

/// Waits of eu-2 that last for 200 ms, one each second, and one of another boot.
fn waits_of_eu_2(base_ns: i64) -> String {
    format!(
        "INSERT INTO events (bucket, region, service, node, boot, seq, mono_ns, wall_off, dur_ns, al_off, al_end_off) \
         WITH {MONO_AT_BASE_NS} + 500000000 + number * 1000000000 AS mono, {base_ns} - {MONO_AT_BASE_NS} AS off \
         SELECT toStartOfMinute(toDateTime(intDiv(mono + off, 1000000000))), 'eu-west', 'cart', 'eu-2', if(number = 50, 254, 255), \
         1000 + number, mono, off, 200000000, off, off FROM numbers(51)"
    )
}

/// Answers by id: earliest and latest.
fn answers(text: &str) -> BTreeMap<i64, [i64; 2]> {
    let answer = |line: &str| {
        let numbers: Vec<i64> = line.split(',').map(|number| number.parse().unwrap()).collect();
        (numbers[0], [numbers[2], numbers[3]])
    };
    text.lines().map(answer).collect()
}

fn a_recording_replays_into_answers_that_hold_the_truth(fixture: &Fixture) {
    fixture.fill(RECORDED, &[probes_of_eu_2(fixture.base_ns), waits_of_eu_2(fixture.base_ns)]);
    let store = fixture.hold();
    let record = ["--database", RECORDED, "clock", "record", "eu-2", "--since", "2h"];
    let recorded = fixture.answer(&record);
    assert_eq!((recorded.matches("P,").count(), recorded.matches("K,").count()), (60, 120));
    let stream = fixture.path().join("eu-2.csv");
    std::fs::write(&stream, &recorded).unwrap();
    let answers =
        answers(&fixture.answer(&["clock", "replay", "--stream", stream.to_str().unwrap(), "--answers", "-"]));
    let truth = |mono_ns: i64| fixture.base_ns - MONO_AT_BASE_NS + mono_ns;
    let ids: Vec<i64> = answers.keys().copied().collect();
    assert_eq!(ids, (-60..=-1).chain(1_000..=1_049).collect::<Vec<i64>>(), "each probe, and each wait of this boot");
    for line in recorded.lines().filter(|line| line.starts_with("E,")) {
        let numbers: Vec<i64> = line[2..].split(',').map(|number| number.parse().unwrap()).collect();
        let ([earliest, latest], truth) = (answers[&numbers[0]], truth(numbers[1]));
        assert!(earliest <= truth && truth <= latest, "{line}: [{earliest}, {latest}] has not {truth}");
        // The readings of the clocks are those beside the probes, and in the second between two of them MONO may bend.
        let widest_ns = if numbers[0] < 0 { 100_000 } else { 1_000_000 };
        assert!(latest - earliest < widest_ns, "{line}: [{earliest}, {latest}]");
    }
    let fewer = fixture.answer(&[&record[..], &["--events", "10"]].concat());
    assert_eq!(fewer.matches("E,1").count(), 10, "{fewer}");
    let error = fixture.refusal(&["clock", "record", "nobody"], 2);
    assert!(error.contains("\"nobody\"") && error.contains("syncline skew"), "{error}");
    let error = fixture.refusal(&["clock", "record", "eu-2", "--boot", "1"], 2);
    assert!(error.contains("no probe"), "{error}");
    fixture.release(store);
}

fn clock_explain_says_what_carries_an_estimate(fixture: &Fixture) {
    let store = fixture.hold();
    let at = format!("{}", fixture.base_ns + 51_000_000_000);
    let explain = ["clock", "explain", "eu-2", "--at", &at, "--format", "json"];
    let json: Value = serde_json::from_str(&fixture.answer(&explain)).unwrap();
    assert_eq!((&json["status"], &json["boot"]), (&"synchronized".into(), &"00000000000000ff".into()));
    assert_eq!((&json["carried_by"]["probes"], &json["carried_by"]["by_kernel_stamps"]), (&60.into(), &60.into()));
    for end in ["low_end", "high_end"] {
        assert_eq!(json[end]["round_trip_ns"], 20_000, "{json}");
        assert_eq!(json[end]["at_ns"].as_i64().unwrap(), fixture.base_ns + 50_000_010_500, "{json}");
    }
    let text = fixture.answer(&["clock", "explain", "eu-2", "--at", &at]);
    assert!(text.contains("rests on the probe of") && text.contains("hint"), "{text}");
    let error = fixture.refusal(&["clock", "explain", "eu-2", "--at", "yesterday"], 2);
    assert!(error.contains("is not a time"), "{error}");
    fixture.release(store);
}

fn clock_explain_speaks_of_the_boot_that_ran_then(fixture: &Fixture) {
    let again = "INSERT INTO clock_probes SELECT * REPLACE (boot + 1 AS boot, t2 + 120000000000 AS t2, t3 + 120000000000 AS t3) FROM clock_probes";
    fixture.fill(REBOOTED, &[probes_of_eu_2(fixture.base_ns), again.to_owned()]);
    let store = fixture.hold();
    for (second, boot) in [(51, "00000000000000ff"), (171, "0000000000000100")] {
        let at = format!("{}", fixture.base_ns + second * 1_000_000_000);
        let explain = ["--database", REBOOTED, "clock", "explain", "eu-2", "--at", &at, "--format", "json"];
        let json: Value = serde_json::from_str(&fixture.answer(&explain)).unwrap();
        assert_eq!((&json["boot"], &json["status"]), (&boot.into(), &"synchronized".into()), "at {second} s");
    }
    fixture.release(store);
}
