//! The keys of `[alerts]` as a table of the documentation.

use syncline_alerts::{Limits, Policy, Rule, Unit};
use syncline_config::units;

/// Keys that say how alerts are evaluated, with their defaults; the limits by the rules' names.
#[must_use]
pub fn table() -> String {
    let (usual, duration) = (Policy::default(), |ns| units::duration_text(std::time::Duration::from_nanos(ns)));
    let mut rows = vec![
        (
            "alerts.evaluate",
            "true".to_owned(),
            "whether this aggregator evaluates when it is [its turn](alerts.md#several-aggregators); those below tell who is told, and how, in any case",
        ),
        ("alerts.rounds", usual.rounds.to_string(), "rounds of 15 s on end that a rule has to be met in, 1 to 100"),
        (
            "alerts.clear",
            format!("{}%", usual.clear_permille / 10),
            "share of its limit that a value has to be below before an alert ends",
        ),
        ("alerts.quiet", duration(usual.quiet_ns), "how long it has to be so"),
        ("alerts.drift_window", duration(usual.drift_window_ns), "time that drift is measured over, 60s to 24h"),
        (
            "alerts.forget",
            duration(usual.forget_ns),
            "a node that has said nothing for so long is gone, with its alerts; 60s to 30 days, and longer than `alerts.limits.silence`",
        ),
        (
            "alerts.runbook",
            super::RUNBOOK.to_owned(),
            "URL of a page whose headings are the rules' names; `#RULE` is put behind it",
        ),
    ];
    let limits: Vec<(String, String)> = Rule::ALL.into_iter().filter_map(limit).collect();
    rows.extend(
        limits.iter().map(|(key, limit)| (key.as_str(), limit.clone(), "limit of [the rule](alerts.md#rules)")),
    );
    rows.extend(LISTS.map(|(key, meaning)| (key, String::new(), meaning)));
    let rows = rows.into_iter().map(|(key, default, meaning)| {
        let default = if default.is_empty() { "none".to_owned() } else { format!("`{default}`") };
        format!("| `{key}` | {default} | {meaning} |\n")
    });
    format!("| key | default | meaning |\n| --- | --- | --- |\n{}", rows.collect::<String>())
}

const LISTS: [(&str, &str); 19] = [
    ("alerts.limits.off", "rules that are not evaluated, a list"),
    ("alerts.override.region", "regular expression for the whole name of a region"),
    ("alerts.override.node", "likewise for the name of a node; one of the two has to be given"),
    ("alerts.override.limits", "as `alerts.limits`, for those; the last override that fits counts"),
    ("alerts.maintenance.region", "as of an override; without region, node and rules it is for all"),
    ("alerts.maintenance.node", "likewise"),
    ("alerts.maintenance.rules", "the rules that are not told, a list; all unless given"),
    ("alerts.maintenance.from", "since when: date, time and zone, not quoted"),
    ("alerts.maintenance.until", "until when"),
    ("alerts.maintenance.comment", "why, and who says so"),
    ("alerts.alertmanager.url", "an Alertmanager; several are all told"),
    ("alerts.alertmanager.timeout", "how long its answer may take: `10s` unless given, 100ms to 60s"),
    ("alerts.alertmanager.headers", "headers of each request, as `{ Authorization = \"Bearer ...\" }`"),
    ("alerts.webhook.name", "how its deliveries are remembered: another name is another webhook"),
    ("alerts.webhook.url", "where it is posted to"),
    ("alerts.webhook.timeout", "as of an Alertmanager"),
    ("alerts.webhook.headers", "likewise"),
    ("alerts.webhook.template", "the body, in Jinja's language; the whole message as JSON unless given"),
    ("alerts.webhook.content_type", "`application/json` unless given"),
];

fn limit(rule: Rule) -> Option<(String, String)> {
    let limit = Limits::default().of(rule)?;
    let text = match rule.unit() {
        Unit::Ppb => format!("{}ppm", limit / 1_000),
        Unit::Ns => units::duration_text(std::time::Duration::from_nanos(limit)),
    };
    Some((format!("alerts.limits.{rule}"), text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_config::Document;

    /// Every documented limit, as it is documented, is taken and changes nothing.
    #[test]
    fn the_defaults_that_are_told_are_the_defaults() {
        let mut text = String::new();
        for line in table().lines().skip(2) {
            let mut cells = line.split('|').map(str::trim).skip(1).map(|cell| cell.trim_matches('`'));
            let (Some(key), Some(value)) = (cells.next(), cells.next()) else { panic!("{line}") };
            if value != "none" {
                let value = if ["alerts.evaluate", "alerts.rounds"].contains(&key) {
                    value.to_owned()
                } else {
                    format!("{value:?}")
                };
                text.push_str(&format!("{key} = {value}\n"));
            }
        }
        let alerts = super::super::alerts(&Document::parse("t", text.clone(), &[]).unwrap())
            .unwrap_or_else(|e| panic!("{e}: {text}"));
        assert_eq!((alerts.policy, alerts.runbook.as_str()), (Policy::default(), super::super::RUNBOOK));
    }
}
