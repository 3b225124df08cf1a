//! The keys of `[alerts]` as a table of the documentation.

use std::time::Duration;

use syncline_alerts::{Limits, Policy, Rule, Unit};
use syncline_config::units;

use super::targets::TIMEOUT;

/// A key: what its values are, its default, and what it means.
struct Row {
    key: String,
    values: &'static str,
    /// As it is told: a value in backquotes, or words.
    default: String,
    meaning: String,
}

/// All keys with their variables, values, defaults and meanings.
#[must_use]
pub fn table() -> String {
    let rows = [evaluation(), limits(), lists()].into_iter().flatten();
    let line = |Row { key, values, default, meaning }: Row| {
        let has_variable = super::BELOW.iter().any(|(path, _)| *path == key);
        let variable =
            if has_variable { format!("`{}`", crate::cli::OPTIONS.variable_below(&key)) } else { String::new() };
        format!("| `{key}` | {variable} | {values} | {default} | {meaning} |\n")
    };
    let lines: String = rows.map(line).collect();
    format!("| key | variable | values | default | meaning |\n| --- | --- | --- | --- | --- |\n{lines}")
}

fn duration(ns: u64) -> String {
    units::duration_text(Duration::from_nanos(ns))
}

/// How alerts are evaluated, and what is told of all.
fn evaluation() -> Vec<Row> {
    let usual = Policy::default();
    let row = |key: &str, values, default: String, meaning: &str| Row {
        key: format!("alerts.{key}"),
        values,
        default: format!("`{default}`"),
        meaning: meaning.to_owned(),
    };
    vec![
        row(
            "evaluate",
            "`true`, `false`",
            "true".to_owned(),
            "whether this aggregator evaluates when it is [its turn](alerts.md#several-aggregators); those below tell who is told, and how, in any case",
        ),
        row(
            "rounds",
            "count",
            usual.rounds.to_string(),
            "rounds of 15 s on end that a rule has to be met in, 1 to 100",
        ),
        row(
            "clear",
            "percent",
            format!("{}%", usual.clear_permille / 10),
            "share of its limit that a value has to be below before an alert ends",
        ),
        row("quiet", "duration", duration(usual.quiet_ns), "how long it has to be so"),
        row(
            "drift_window",
            "duration",
            duration(usual.drift_window_ns),
            "time that drift is measured over, 60s to 24h",
        ),
        row(
            "forget",
            "duration",
            duration(usual.forget_ns),
            "a node that has said nothing for so long is gone, with its alerts; 60s to 30 days, and longer than `alerts.limits.silence`",
        ),
        row(
            "runbook",
            "url",
            super::RUNBOOK.to_owned(),
            "a page whose headings are the rules' names; `#RULE` is put behind it",
        ),
    ]
}

/// Each rule's limit, and which are off.
fn limits() -> Vec<Row> {
    let row = |rule: Rule| {
        let limit = Limits::default().of(rule)?;
        let (values, default) = match rule.unit() {
            Unit::Ppb => ("ppm", format!("{}ppm", limit / 1_000)),
            Unit::Ns => ("duration", duration(limit)),
        };
        let meaning = format!("{} ([`{rule}`](alerts.md#rules))", of_limit(rule));
        Some(Row { key: format!("alerts.limits.{rule}"), values, default: format!("`{default}`"), meaning })
    };
    let off = Row {
        key: "alerts.limits.off".to_owned(),
        values: "names of rules, a list",
        default: "empty".to_owned(),
        meaning: "rules that are not evaluated".to_owned(),
    };
    Rule::ALL.into_iter().filter_map(row).chain([off]).collect()
}

fn of_limit(rule: Rule) -> &'static str {
    match rule {
        Rule::Offset => "most that a wall clock may be off from UTC",
        Rule::Drift => "fastest that a wall clock may move away from UTC",
        Rule::Step => "most that a wall clock may be set by",
        Rule::Pause => "longest that a machine may stand still, or its clocks jump by",
        Rule::Reference => "most that a region's reference may jump by, or its claim of UTC be false by",
        Rule::Bound => "widest that half the bound of an offset may be",
        Rule::Silence => "longest that nothing may come of a node, 1s to less than 24h and than `alerts.forget`",
        Rule::Frequency => "most that an oscillator may be off",
        Rule::Claim => "most that a claim of a wall clock may be false by",
        Rule::Regions => "most that what regions measure of one another may be false by",
        Rule::Causality => "most that messages may be received before they were sent",
    }
}

const GIVEN: &str = "must be given";
/// Keys of lists of tables, which have no variables.
const LISTS: [(&str, &str, &str, &str); 20] = [
    (
        "override.region",
        "pattern",
        "any",
        "regular expression for the whole name of a region; what is about two regions, or nodes, has the wider limit of the two",
    ),
    (
        "override.node",
        "pattern",
        "any",
        "likewise for the name of a node, not with limits of `reference` and `regions`; one of the two has to be given",
    ),
    (
        "override.limits",
        "as `alerts.limits`",
        GIVEN,
        "the limits of those, in the same ranges; the last override that fits counts",
    ),
    ("override.limits.off", "names of rules, a list", "empty", "rules that are not evaluated for those"),
    (
        "maintenance.region",
        "pattern",
        "any",
        "as of an override, and of two regions or nodes either is enough; without region, node and rules it is for all",
    ),
    ("maintenance.node", "pattern", "any", "likewise"),
    ("maintenance.rules", "names of rules, a list", "all", "the rules that are not told"),
    ("maintenance.from", "date, time and zone, not quoted", GIVEN, "since when"),
    ("maintenance.until", "date, time and zone, not quoted", GIVEN, "until when"),
    ("maintenance.comment", "text", GIVEN, "why, and who says so"),
    ("alertmanager.name", "text", "host and port of its URL", "how it is called in metrics and the log"),
    (
        "alertmanager.url",
        "url, or a [secret](#secrets)",
        GIVEN,
        "an Alertmanager, `http://HOST:PORT` or with the prefix of its paths; several are all told",
    ),
    ("alertmanager.timeout", "duration", "TIMEOUT", "how long its answer may take, 100ms to 60s"),
    (
        "alertmanager.headers",
        "texts or [secrets](#secrets) by name",
        "none",
        "headers of each request, as `{ Authorization = \"Bearer ...\" }`",
    ),
    ("webhook.name", "text", GIVEN, "how its deliveries are remembered: another name is another webhook"),
    ("webhook.url", "url, or a [secret](#secrets)", GIVEN, "where it is posted to"),
    ("webhook.timeout", "duration", "TIMEOUT", "as of an Alertmanager"),
    ("webhook.headers", "texts or [secrets](#secrets) by name", "none", "likewise"),
    ("webhook.template", "text", "the whole message as JSON", "the body, in Jinja's language"),
    ("webhook.content_type", "text", "`application/json`", "what the body is"),
];

fn lists() -> Vec<Row> {
    let timeout = format!("`{}`", units::duration_text(TIMEOUT));
    let row = |(key, values, default, meaning): (&str, &'static str, &str, &str)| Row {
        key: format!("alerts.{key}"),
        values,
        default: default.replace("TIMEOUT", &timeout),
        meaning: meaning.to_owned(),
    };
    LISTS.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_config::{Document, Kind};

    /// Every documented default, as it is documented, is taken in the file and by its variable, and changes nothing.
    #[test]
    fn the_defaults_that_are_told_are_the_defaults() {
        let (mut text, mut set) = (String::new(), Vec::new());
        for line in table().lines().skip(2) {
            let cells: Vec<&str> = line.split('|').map(str::trim).skip(1).collect();
            let (key, variable, default) = (cells[0].trim_matches('`'), cells[1].trim_matches('`'), cells[3]);
            assert!(!cells[2].is_empty() && !default.is_empty() && !cells[4].is_empty(), "{line}");
            let Some((_, kind)) = super::super::BELOW.iter().find(|(path, _)| *path == key) else { continue };
            let Some(value) = default.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) else { continue };
            let written =
                if matches!(kind, Kind::Flag | Kind::Number) { value.to_owned() } else { format!("{value:?}") };
            text.push_str(&format!("{key} = {written}\n"));
            set.push((variable.to_owned(), value.to_owned()));
        }
        assert_eq!(set.len(), super::super::BELOW.len() - 1, "all but the list of rules that are off");
        let file = Document::parse("t", text.clone(), &[]).unwrap();
        let environment = |name: &str| set.iter().find(|(known, _)| known == name).map(|(_, value)| value.into());
        for document in [file, crate::cli::OPTIONS.laid(None, &environment).unwrap()] {
            let alerts = super::super::alerts(&document, &|_| None).unwrap_or_else(|e| panic!("{e}: {text}"));
            assert_eq!((alerts.policy, alerts.runbook.as_str()), (Policy::default(), super::super::RUNBOOK));
        }
    }

    #[test]
    fn each_limit_has_a_variable_and_a_meaning_of_its_own() {
        let rows = limits();
        let meanings: std::collections::BTreeSet<&str> = rows.iter().map(|row| row.meaning.as_str()).collect();
        assert_eq!(meanings.len(), rows.len());
        for row in &rows {
            assert!(super::super::BELOW.iter().any(|(path, _)| *path == row.key), "{}", row.key);
        }
    }
}
