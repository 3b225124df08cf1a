//! `alerts` on a database of its own: a step of one of four nodes, as it is stored, and what an aggregator found of it.

use serde_json::Value;

use crate::cases::{Case, cases};
use crate::fixture::{ALERTS, Fixture};

pub(crate) const ALL: &[Case] = cases![
    alerts_are_listed_and_what_is_over_only_if_asked_for,
    an_incident_is_explained_by_what_was_stored,
    history_is_evaluated_anew,
    what_is_no_incident_and_no_time_is_refused,
    maintenance_is_declared_listed_and_ended,
];

const MS: i64 = 1_000_000;
const EVERY_MS: i64 = 15_000;
/// The round in which `eu-1` is set.
const STEPPED: i64 = 50;

/// Half an hour of batches, one a node and round, that began at `base_ns`; the alerts of the step, one of them over.
pub(crate) fn rows(base_ns: i64) -> Vec<String> {
    let base_ms = base_ns / MS;
    let mut rows = vec![
        "INSERT INTO clock_segments_log (region, node, boot, ref_run, epoch, mono_from, mono_to, ref_off, ref_off_to, rate_ppb, err_from_ns, \
         err_to_ns, bound_class, wall_off, status, rev, created) VALUES"
            .to_owned(),
    ];
    for round in 0..120 {
        for node in 1..=4 {
            let created = base_ms + round * EVERY_MS + 4_000;
            let (mono, wall_ms) = (created - base_ms + 9_000_000, if node == 1 && round >= STEPPED { 400 } else { 0 });
            let off = (base_ms - 9_000_000) * MS;
            rows[0] += &format!(
                " ('eu', 'eu-{node}', 7, 9, 0, {}, {}, {off}, {off}, 0, 90000, 90000, 'hard', {}, 'synchronized', 1, \
                 fromUnixTimestamp64Milli({created}, 'UTC'))",
                (mono - EVERY_MS) * MS,
                mono * MS,
                off + wall_ms * MS,
            );
        }
    }
    let mut probes =
        "INSERT INTO clock_probes (region, node, boot, t1, t2, t3, t4, rtt_ns, kind, used, received) VALUES".to_owned();
    for round in 0..120 {
        let received = base_ms + round * EVERY_MS + 3_000;
        let t1 = (received - base_ms + 9_000_000) * MS;
        let t2 = t1 + (base_ms - 9_000_000) * MS + 120_000;
        probes += &format!(
            " ('eu', 'eu-1', 7, {t1}, {t2}, {t2}, {}, 240000, 'udp', 1, fromUnixTimestamp64Milli({received}, 'UTC'))",
            t1 + 240_000
        );
    }
    rows.push(probes);
    let stepped_ms = base_ms + STEPPED * EVERY_MS + 2_000;
    rows.push(format!(
        "INSERT INTO clock_steps (region, node, boot, mono_ns, at, size_ns, scale) VALUES ('eu', 'eu-1', 7, {}, \
         fromUnixTimestamp64Milli({stepped_ms}, 'UTC'), 400000000, 'wall')",
        (stepped_ms - base_ms + 9_000_000) * MS,
    ));
    let at = |round: i64| format!("fromUnixTimestamp64Milli({}, 'UTC')", base_ms + round * EVERY_MS);
    let alert = |round: i64, rule: &str, state: &str, severity: &str, incident: u64| {
        format!(
            " ({}, '{rule}', 'eu/eu-1', 'eu', 'eu-1', '{state}', '{severity}', {}, 400000000, 400000000, 400000000, 400000000, {}, 'ns', \
             {incident}, 0, 'the wall clock was set forward')",
            at(round),
            at(STEPPED + 1),
            // An override has another limit than the usual one.
            if rule == "offset" { 25_000_000 } else { 10_000_000 },
        )
    };
    rows.push(
        "INSERT INTO skew_alerts (at, rule, subject, region, node, state, severity, since, low, high, worst_low, worst_high, limit_value, unit, \
         incident, silenced, text) VALUES"
            .to_owned()
            + &alert(STEPPED + 1, "step", "pending", "warning", 0)
            + &alert(STEPPED + 2, "step", "firing", "warning", 3)
            + &alert(STEPPED + 2, "offset", "firing", "warning", 3)
            + &alert(STEPPED + 60, "step", "resolved", "warning", 3),
    );
    rows.push(format!(
        "INSERT INTO skew_incidents (at, incident, kind, severity, rule, subject, subjects, text) VALUES ({}, 3, 'opened', 'warning', 'step', \
         'eu/eu-1', 'eu/eu-1', 'eu/eu-1: the wall clock was set forward')",
        at(STEPPED + 2)
    ));
    rows.push("INSERT INTO alert_states (region, at, state) VALUES ('eu', now64(9), '{}')".to_owned());
    rows
}

fn ask(fixture: &Fixture, arguments: &[&str]) -> String {
    fixture.answer(&[&["--database", ALERTS, "alerts"], arguments].concat())
}

fn alerts_are_listed_and_what_is_over_only_if_asked_for(fixture: &Fixture) {
    let listed = |arguments: &[&str]| {
        let rows: Vec<Value> = serde_json::from_str(&ask(fixture, arguments)).unwrap();
        rows.iter().map(|row| format!("{} {} {}", row["incident"], row["rule"], row["state"])).collect::<Vec<_>>()
    };
    assert_eq!(listed(&["--format", "json"]), [r#"3 "offset" "firing""#]);
    assert_eq!(listed(&["--all", "--format", "json"]), [r#"3 "offset" "firing""#, r#"3 "step" "resolved""#]);
    let text = ask(fixture, &[]);
    assert!(text.starts_with("INCIDENT  STATE") && text.contains("eu/eu-1"), "{text}");
    let elsewhere = fixture.answer(&["alerts"]);
    assert!(elsewhere.starts_with("nobody has evaluated alerts on this store yet"), "{elsewhere}");
}

fn an_incident_is_explained_by_what_was_stored(fixture: &Fixture) {
    let text = ask(fixture, &["explain", "3"]);
    let probes = text.split("The best probe of each").nth(1).unwrap();
    assert_eq!(probes.lines().filter(|line| line.ends_with("udp")).count(), 16, "{text}");
    for part in [
        "incident 3 opened",
        "firing    offset of eu/eu-1",
        "the wall clock was set by +400 ms",
        "Bound: +-90.0 us at best",
        "- the limit of the offset's alert, 25.0 ms",
        "ROUND TRIP  OFFSET FROM REF",
        "+400 ms  120 us  udp",
        "FREQUENCY",
        "nobody claims to know UTC",
    ] {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
    let drawn = text.lines().filter(|line| line.contains("ooo")).count();
    assert_eq!(drawn, 2, "before the step and after it:\n{text}");
}

fn history_is_evaluated_anew(fixture: &Fixture) {
    let (from, to) = (fixture.base_ns / 1_000_000_000, fixture.base_ns / 1_000_000_000 + 1_800);
    let (from, to) = (from.to_string(), to.to_string());
    let text = ask(fixture, &["test", "--from", &from, "--to", &to]);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains("opened     warning  eu/eu-1: the wall clock was set forward by 400 ms"), "{text}");
    assert!(
        lines[1].ends_with("120 rounds, up to 4 nodes, 0 declared silences applied, 2 alerts fired, 1 told"),
        "{text}"
    );
    // From two minutes after the step on: what was so before is not told as new.
    let later = (fixture.base_ns / 1_000_000_000 + (STEPPED + 8) * 15).to_string();
    let text = ask(fixture, &["test", "--from", &later, "--to", &to]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains("lasts      warning  eu/eu-1: the wall clock was set forward"), "{text}");
    assert!(lines.last().unwrap().ends_with("0 alerts fired, 0 told"), "{text}");
    let quiet = ask(fixture, &["test", "--from", &from, "--to", &to, "--limit", "step=1s", "--limit", "offset=off"]);
    assert!(quiet.trim_end().ends_with("0 alerts fired, 0 told"), "{quiet}");
    let file = tempfile::NamedTempFile::new().unwrap();
    let by_file = |text: &str, more: &[&str]| {
        std::fs::write(file.path(), text).unwrap();
        let config = file.path().to_str().unwrap();
        ask(fixture, &[&["test", "--from", &from, "--to", &to, "--config", config], more].concat())
    };
    let limits = "region = \"eu\"\n[alerts.limits]\nstep = \"1s\"\noff = [\"offset\"]\n";
    assert!(by_file(limits, &[]).trim_end().ends_with("0 alerts fired, 0 told"));
    assert!(by_file(limits, &["--limit", "step=10ms"]).trim_end().ends_with("1 alerts fired, 1 told"));
    let group = "[[alerts.override]]\nnode = \"eu-[0-9]\"\nlimits = { step = \"1s\", offset = \"1s\" }\n";
    assert!(by_file(group, &[]).trim_end().ends_with("0 alerts fired, 0 told"));
    let others = group.replace("eu-[0-9]", "db-.*");
    assert!(by_file(&others, &[]).trim_end().ends_with("2 alerts fired, 1 told"));
    let work = "[[alerts.maintenance]]\nnode = \"eu-1\"\nfrom = 2020-01-01T00:00:00Z\nuntil = 2120-01-01T00:00:00Z\ncomment = \"x\"\n";
    assert!(by_file(work, &[]).trim_end().ends_with("2 alerts fired, 0 told"));
    std::fs::write(file.path(), "[alerts]\nround = 2").unwrap();
    let wrong = ["--database", ALERTS, "alerts", "test", "--config", file.path().to_str().unwrap()];
    assert!(fixture.refusal(&wrong, 2).contains("did you mean `rounds`?"));
    // What people declared is applied, and said.
    let times = ["--from", "2020-01-01T00:00:00Z", "--until", "2120-01-01T00:00:00Z"];
    let told = ask(fixture, &[&["silence", "--node", "eu-1", "--comment", "x"], &times[..]].concat());
    let silenced = ask(fixture, &["test", "--from", &from, "--to", &to]);
    assert!(silenced.trim_end().ends_with("1 declared silences applied, 2 alerts fired, 0 told"), "{silenced}");
    let all = ask(fixture, &["test", "--from", &from, "--to", &to, "--no-silences"]);
    assert!(all.trim_end().ends_with("declared silences left out, 2 alerts fired, 1 told"), "{all}");
    ask(fixture, &["unsilence", told.split_whitespace().nth(1).unwrap()]);
    let json = ["test", "--no-silences", "--from", &from, "--to", &to, "--format", "json"];
    let json: Value = serde_json::from_str(&ask(fixture, &json)).unwrap();
    assert_eq!(json["notifications"][0]["cause"]["rule"], "step");
}

fn what_is_no_incident_and_no_time_is_refused(fixture: &Fixture) {
    let refused = |arguments: &[&str], words: &str| {
        let error = fixture.refusal(&[&["--database", ALERTS, "alerts"], arguments].concat(), 2);
        assert!(error.contains(words), "{error}");
    };
    refused(&["explain", "99"], "no incident 99");
    refused(&["explain", "3", "--node", "eu-2"], "not about it");
    refused(&["explain", "3", "--node", "elsewhere"], "no such node is known");
    refused(&["test", "--from", "soon"], "is not a time");
    refused(&["test", "--from", "-1m", "--to", "-2m"], "not a round of 15 s or more before");
}

fn maintenance_is_declared_listed_and_ended(fixture: &Fixture) {
    let refused = |arguments: &[&str], words: &str| {
        let error = fixture.refusal(&[&["--database", ALERTS, "alerts"], arguments].concat(), 2);
        assert!(error.contains(words), "{error}");
    };
    refused(&["silence", "--node", "(", "--for", "1h", "--comment", "x"], "regular expression");
    refused(&["silence", "--rule", "steps", "--for", "1h", "--comment", "x"], "there is no rule \"steps\"");
    refused(&["silence", "--for", "long", "--comment", "x"], "--for");
    refused(&["silence", "--for", "-2h", "--comment", "x"], "--for: \"-2h\" is no time");
    refused(&["silence", "--from", "-2h", "--until", "-1h", "--comment", "x"], "over already");
    refused(&["silence", "--from", "now", "--until", "-1h", "--comment", "x"], "before it begins");
    refused(&["unsilence", "4"], "no silence 4");

    let listed = || -> Vec<Value> { serde_json::from_str(&ask(fixture, &["silences", "--format", "json"])).unwrap() };
    assert!(ask(fixture, &["silences"]).starts_with("no silences"));
    let told = ask(
        fixture,
        &["silence", "--node", "eu-.*", "--rule", "step,pause", "--for", "2h", "--comment", "new 'disks'"],
    );
    let silences = listed();
    let number = silences[0]["number"].to_string();
    assert!(told.starts_with(&format!("silence {number} until ")), "{told}");
    let expected = ["", "eu-.*", "step,pause", "new 'disks'"];
    assert_eq!(["region", "node", "rules", "comment"].map(|key| silences[0][key].as_str().unwrap()), expected);
    assert!(ask(fixture, &["silences"]).contains("new 'disks'"));
    assert_eq!(ask(fixture, &["unsilence", &number]), format!("silence {number} is over\n"));
    assert!(listed().is_empty());
}
