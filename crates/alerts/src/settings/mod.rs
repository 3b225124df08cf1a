//! The `[alerts]` of the aggregator's file: by what alerts are evaluated, for the aggregator and for whoever tries its file on history.

mod limits;
mod maintenance;

use serde::Deserialize;
use serde::de::IgnoredAny;
use syncline_config::{Document, DurationText, PercentText, Problem};
use toml::Spanned;

use crate::{Policy, Silence};
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
    let policy = policy(document, text)?.checked().map_err(|error| document.problem(span, error.to_string()))?;
    let silences = text.maintenance.iter().map(|one| {
        let silence = one.get_ref().silence();
        silence.map_err(|why| document.problem(one.span(), why))
    });
    Ok((policy, silences.collect::<Result<_, _>>()?))
}

fn policy<A, W>(document: &Document, text: &AlertsText<A, W>) -> Result<Policy, Problem> {
    let usual = Policy::default();
    let ns = |given: Option<DurationText>, usual: u64| given.map_or(usual, DurationText::ns);
    let mut overrides = Vec::new();
    for one in &text.overrides {
        overrides.extend(one.get_ref().overrides().map_err(|why| document.problem(one.span(), why))?);
    }
    Ok(Policy {
        limits: text.limits.over(usual.limits),
        overrides,
        rounds: text.rounds.unwrap_or(usual.rounds),
        clear_permille: text.clear.map_or(usual.clear_permille, |PercentText(permille)| permille),
        quiet_ns: ns(text.quiet, usual.quiet_ns),
        drift_window_ns: ns(text.drift_window, usual.drift_window_ns),
        forget_ns: ns(text.forget, usual.forget_ns),
    })
}
