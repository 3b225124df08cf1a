//! Alerts in words.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, SecondsFormat};

use crate::alert::{Against, Alert};
use crate::drifts::Drifts;
use crate::incident::Incident;
use crate::rule::Unit;
use crate::{Interval, Key, Rule, Subject};

/// A leap second smeared over 24 hours, and over 20: 1 s / 86,400 s and 1 s / 72,000 s, ppb. What all clocks of a fleet drift by between
/// these, less a tenth and more a tenth, is named for it.
const SMEARED_PPB: std::ops::RangeInclusive<u64> = 10_400..=15_300;

/// What an incident is, in one line.
pub(crate) fn of(incident: &Incident, alerts: &BTreeMap<Key, Alert>, drifts: &Drifts<'_>) -> String {
    let cause = &incident.cause;
    let who = if incident.is_group {
        let nodes: Vec<&str> = incident.subjects.iter().filter_map(Subject::node).collect();
        format!("{} nodes of {} together ({})", nodes.len(), cause.subject.region().unwrap_or("?"), listed(&nodes))
    } else {
        cause.subject.to_string()
    };
    let what = alerts.get(cause).map_or_else(
        || "over".to_owned(),
        |alert| said(cause, (alert.worst, alert.against), alert.limit, alert.happened_ns),
    );
    let is_smear = cause.rule != Rule::Reference && drifts.of_subject(&cause.subject).is_some_and(is_smeared);
    let smear = if is_smear { ": a leap smear, as it seems" } else { "" };
    let others = incident.alerts.iter().filter(|key| key.rule != cause.rule).map(|key| key.rule.name());
    let others: Vec<&str> = others.collect::<BTreeSet<_>>().into_iter().collect();
    if others.is_empty() {
        format!("{who}: {what}{smear}")
    } else {
        format!("{who}: {what}{smear}; also {}", others.join(", "))
    }
}

fn listed(names: &[&str]) -> String {
    match names {
        [first, second, third, rest @ ..] if !rest.is_empty() => {
            format!("{first}, {second}, {third} and {} more", rest.len())
        }
        _ => names.join(", "),
    }
}

/// What an alert says. `happened_ns` is when a step was, ns since 1970.
pub fn said(key: &Key, (value, against): (Interval, Against), limit: u64, happened_ns: Option<i64>) -> String {
    let size = quantity(value.at_least().unsigned_abs(), key.rule.unit());
    let limit = quantity(limit, key.rule.unit());
    let is_ahead = value.at_least() > 0;
    let ahead = if is_ahead { "ahead of" } else { "behind" };
    let who = against;
    let against = if against == Against::Region { "most wall clocks of the region" } else { "UTC" };
    let is_common = matches!(key.subject, Subject::Fleet | Subject::Region(_));
    let clocks = if is_common { "most wall clocks are" } else { "the wall clock is" };
    match key.rule {
        Rule::Reference if matches!(key.subject, Subject::Regions(..)) => {
            format!("one of the two claims UTC falsely, by {size} at least: bounds do not tell which")
        }
        Rule::Reference if who == Against::OtherWords => {
            format!("its claim of UTC is false, by {size} at least, or another's is, which bounds do not tell")
        }
        Rule::Reference => format!("its reference jumped, or its claim of UTC is false, by {size} at least"),
        Rule::Regions if who == Against::OtherRegions => apart(key, ahead, (&size, &limit)),
        Rule::Regions => format!("what they measure of one another cannot be true, by {size} at least"),
        Rule::Pause if is_ahead => format!("its clocks jumped ahead by {size} at least (limit {limit})"),
        Rule::Pause => format!("stood still with all its clocks for {size} at least (limit {limit})"),
        Rule::Step => {
            let at = happened_ns.map_or_else(String::new, |at_ns| format!(" at {}", rfc3339(at_ns)));
            format!("{} set {} by {size}{at} (limit {limit})", clocks_were(is_common), forward(is_ahead))
        }
        Rule::Causality => format!("messages were received before they were sent: a clock is off by {size} at least"),
        Rule::Claim => {
            // With no other region to say so, nothing else tells the two apart.
            let or = if matches!(key.subject, Subject::Region(_)) {
                ", or what its aggregator claims of UTC is false"
            } else {
                ""
            };
            format!("{clocks} {ahead} what is claimed, by {size} more than the claim allows{or}")
        }
        Rule::Frequency => {
            format!("the oscillator is off by {size} (limit {limit} of the 500 ppm that the kernel can steer)")
        }
        Rule::Drift => {
            let smear = if is_common && is_smeared(value.middle()) { ", as in a leap smear" } else { "" };
            format!("{clocks} leaving {against} by {size} (limit {limit}){smear}")
        }
        Rule::Offset => format!("{clocks} {ahead} {against} by {size} at least (limit {limit})"),
        Rule::Bound if value.at_least() == i64::MAX => {
            let whose = if is_common { "most clocks" } else { "the clock" };
            format!("nothing has been known of {whose} for ten minutes: no probe is answered")
        }
        Rule::Bound => {
            format!("the bound is, or becomes, {size} either way (limit {limit}): too wide to tell an offset")
        }
        Rule::Silence => format!("nothing has come for {size} (limit {limit})"),
    }
}

/// Wall clocks of regions, by what links measure.
fn apart(key: &Key, ahead: &str, (size, limit): (&str, &str)) -> String {
    let by = match &key.subject {
        Subject::Regions(region, peer) => {
            format!("most wall clocks of {region} are {ahead} those of {peer} by {size} at least")
        }
        _ => format!("most wall clocks are {ahead} those of other regions, of one by {size} at least"),
    };
    format!("{by} (limit {limit}); nobody claims to know UTC")
}

/// To the second: it is by the clock that rounds are by.
fn rfc3339(ns: i64) -> String {
    DateTime::from_timestamp_nanos(ns).to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn is_smeared(drift_ppb: i64) -> bool {
    SMEARED_PPB.contains(&drift_ppb.unsigned_abs())
}

fn clocks_were(is_common: bool) -> &'static str {
    if is_common { "most wall clocks were" } else { "the wall clock was" }
}

fn forward(is_ahead: bool) -> &'static str {
    if is_ahead { "forward" } else { "back" }
}

/// A size with its unit, as people write it.
pub fn quantity(size: u64, unit: Unit) -> String {
    let scaled = |by: f64, name: &str| {
        let number = size as f64 / by;
        let digits = if number < 10.0 {
            2
        } else if number < 100.0 {
            1
        } else {
            0
        };
        format!("{number:.digits$} {name}")
    };
    match (unit, size) {
        (Unit::Ppb, _) => scaled(1e3, "ppm"),
        (Unit::Ns, ..1_000) => format!("{size} ns"),
        (Unit::Ns, ..1_000_000) => scaled(1e3, "us"),
        (Unit::Ns, ..1_000_000_000) => scaled(1e6, "ms"),
        (Unit::Ns, _) => scaled(1e9, "s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_people_do() {
        let ns = |size| quantity(size, Unit::Ns);
        assert_eq!([ns(7), ns(1_500), ns(61_230_000), ns(2_000_000_000)], ["7 ns", "1.50 us", "61.2 ms", "2.00 s"]);
        assert_eq!(quantity(11_574, Unit::Ppb), "11.6 ppm");
    }

    #[test]
    fn a_fleet_that_drifts_as_a_smeared_second_does_is_named_for_it() {
        let said_of = |subject, ppb| {
            said(&Key { rule: Rule::Drift, subject }, (Interval::around(ppb, 900), Against::Utc), 5_000, None)
        };
        assert!(said_of(Subject::Fleet, -11_574).contains("leap smear"));
        assert!(!said_of(Subject::Fleet, 40_000).contains("smear"));
        assert!(!said_of(Subject::Node("eu".into(), "a".into()), 11_574).contains("smear"));
    }
}
