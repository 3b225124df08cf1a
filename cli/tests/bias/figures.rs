//! What a report says, in figures.

use serde_json::Value;

/// Of a rate, the summary of the band that begins with this duration.
pub(crate) fn band(document: &Value, rate_ns: u64, from_ns: u64) -> &Value {
    let rates = document["rates"].as_array().unwrap();
    let rate = rates.iter().find(|rate| rate["rate_ns"] == rate_ns).unwrap();
    rate["bands"].as_array().unwrap().iter().find(|band| band["from_ns"] == from_ns).unwrap()
}

/// Whether each rate of a report has a stack by which this band is measured.
pub(crate) fn is_measured(document: &Value, from_ns: u64) -> bool {
    let rates = document["rates"].as_array().unwrap();
    rates.iter().all(|rate| band(document, rate["rate_ns"].as_u64().unwrap(), from_ns)["recorded_share"].is_object())
}

pub(crate) fn median(range: &Value) -> f64 {
    range["median"].as_f64().unwrap_or_else(|| panic!("not measured: {range}"))
}

/// What was captured beside the profile of this rate, in the first run.
pub(crate) fn capture(document: &Value, rate_ns: u64) -> &Value {
    let runs = document["runs"].as_array().unwrap();
    &runs.iter().find(|run| run["rate_ns"] == rate_ns && run["captured"] == true).unwrap()["capture"]
}

/// Of a capture, the part of these reasons' blocks that is reported.
pub(crate) fn reported_of(capture: &Value, reasons: &[&str]) -> f64 {
    let of = |sum: &str| -> f64 { sums(capture, reasons, sum, "blocks") };
    assert!(of("happened") > 0.0, "none of {reasons:?}: {capture}");
    of("reported") / of("happened")
}

pub(crate) fn sums(capture: &Value, reasons: &[&str], sum: &str, unit: &str) -> f64 {
    let all = capture["reasons"].as_array().unwrap().iter();
    let such = all.filter(|reason| reasons.contains(&reason["reason"].as_str().unwrap()));
    such.map(|reason| reason[sum][unit].as_f64().unwrap()).sum()
}
