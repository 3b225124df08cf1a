//! The `[alerts]` of the aggregator's file: by what alerts are evaluated, for the aggregator and for whoever tries its file on history.

mod limits;
mod maintenance;

use std::ops::Range;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use syncline_config::{Document, DurationText, PercentText, Problem, units};
use toml::Spanned;

use crate::{Policy, PolicyError, Silence};
use limits::{LimitsText, OverrideText};
use maintenance::MaintenanceText;

/// The keys of the file that are read here.
pub const KEYS: &[&str] = &["alerts"];

/// `[alerts]` as it is written. `A` and `W` are Alertmanagers and webhooks, which are no matter of the evaluation.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "A: Deserialize<'de>, W: Deserialize<'de>"))]
pub struct AlertsText<A = IgnoredAny, W = IgnoredAny> {
    /// Whether the aggregator evaluates when it is its turn.
    pub evaluate: Option<bool>,
    rounds: Option<u32>,
    clear: Option<PercentText>,
    quiet: Option<DurationText>,
    drift_window: Option<DurationText>,
    forget: Option<DurationText>,
    /// URL of the page whose headings are the rules' names.
    pub runbook: Option<String>,
    #[serde(default)]
    limits: LimitsText,
    #[serde(default, rename = "override")]
    overrides: Vec<Spanned<OverrideText>>,
    #[serde(default)]
    maintenance: Vec<Spanned<MaintenanceText>>,
    /// Who is told by Alertmanager's API.
    #[serde(default = "Vec::new")]
    pub alertmanager: Vec<Spanned<A>>,
    /// Who is told by a body of its own.
    #[serde(default = "Vec::new")]
    pub webhook: Vec<Spanned<W>>,
}

/// What a file has at its top.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "A: Deserialize<'de>, W: Deserialize<'de>"))]
struct FileText<A, W> {
    alerts: Option<Spanned<AlertsText<A, W>>>,
}

/// `[alerts]` of a file, if it has that.
///
/// # Errors
/// Something of it is not as it should be.
pub fn text<A, W>(document: &Document) -> Result<Option<Spanned<AlertsText<A, W>>>, Problem>
where
    A: for<'de> Deserialize<'de>,
    W: for<'de> Deserialize<'de>,
{
    document.check_tables(&["alerts", "alerts.limits"])?;
    Ok(document.read::<FileText<A, W>>(KEYS)?.alerts)
}

/// By what alerts are evaluated, and what maintenance is declared; None where the file has no `[alerts]`.
///
/// # Errors
/// Something of it is wrong.
pub fn read(document: &Document) -> Result<Option<(Policy, Vec<Silence>)>, Problem> {
    text::<IgnoredAny, IgnoredAny>(document)?.map(|text| evaluation(document, &text)).transpose()
}

/// By what alerts are evaluated, and what maintenance is declared.
///
/// # Errors
/// Something of it is wrong.
pub fn evaluation<A, W>(
    document: &Document,
    text: &Spanned<AlertsText<A, W>>,
) -> Result<(Policy, Vec<Silence>), Problem> {
    let (span, text) = (text.span(), text.get_ref());
    let (policy, places) = policy(document, text)?;
    let policy = policy.checked().map_err(|error| refused(document, (span, &places), error))?;
    let silences =
        text.maintenance.iter().map(|one| one.get_ref().silence().map_err(|(at, why)| document.problem(at, why)));
    Ok((policy, silences.collect::<Result<_, _>>()?))
}

/// Which of the file's overrides one of a policy is of, from 1, and where that stands: a policy has one for each limit.
type Place = (usize, Range<usize>);

/// Tells of a key as the file has it, in its unit: the field `quiet_ns` is `quiet`, and a duration. `head` is where all of it stands.
fn refused(document: &Document, (head, places): (Range<usize>, &[Place]), mut error: PolicyError) -> Problem {
    let mut span = head;
    if let Some(place) = error.place()
        && let Some((number, at)) = places.get(*place - 1)
    {
        (*place, span) = (*number, at.clone());
    }
    match error {
        PolicyError::OutOfRange { field, found, wanted } => {
            let (key, why) = out_of_range(field, found, wanted);
            let keys = [key.to_owned(), format!("alerts.{key}"), format!("alerts.limits.{key}")];
            document.problem(keys.iter().find_map(|path| document.span_of(path)).unwrap_or(span), why)
        }
        PolicyError::OverrideOutOfRange { place, field, found, wanted } => {
            let (_, why) = out_of_range(field, found, wanted);
            document.problem(span, format!("override {place}: {why}"))
        }
        other => document.problem(span, other.to_string()),
    }
}

/// The key of a field, and what is wrong with it, in its unit. A field that is called as its key is a duration.
fn out_of_range<'f>(field: &'f str, found: u64, wanted: &str) -> (&'f str, String) {
    let duration = |ns| units::duration_text(Duration::from_nanos(ns));
    let (key, in_unit): (&str, fn(u64) -> String) = match (field.strip_suffix("_ns"), field.strip_suffix("_permille")) {
        (Some(key), _) => (key, duration),
        (_, Some(key)) => (key, |permille| format!("{}%", permille / 10)),
        _ if field.contains('.') => (field, duration),
        _ => (field, |number| number.to_string()),
    };
    let word = |word: &str| word.parse().map_or_else(|_| word.to_owned(), in_unit);
    let wanted: Vec<String> = wanted.split(' ').map(word).collect();
    (key, format!("{key}: {} is not within {}", in_unit(found), wanted.join(" ")))
}

/// With the place of each override.
fn policy<A, W>(document: &Document, text: &AlertsText<A, W>) -> Result<(Policy, Vec<Place>), Problem> {
    let usual = Policy::default();
    let ns = |given: Option<DurationText>, usual: u64| given.map_or(usual, DurationText::ns);
    let (mut overrides, mut places) = (Vec::new(), Vec::new());
    for (number, one) in text.overrides.iter().enumerate() {
        overrides.extend(one.get_ref().overrides().map_err(|why| document.problem(one.span(), why))?);
        places.resize(overrides.len(), (number + 1, one.span()));
    }
    let policy = Policy {
        limits: text.limits.over(usual.limits),
        overrides,
        rounds: text.rounds.unwrap_or(usual.rounds),
        clear_permille: text.clear.map_or(usual.clear_permille, |PercentText(permille)| permille),
        quiet_ns: ns(text.quiet, usual.quiet_ns),
        drift_window_ns: ns(text.drift_window, usual.drift_window_ns),
        forget_ns: ns(text.forget, usual.forget_ns),
    };
    Ok((policy, places))
}
