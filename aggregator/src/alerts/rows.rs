//! What an evaluation found as rows of the store.

use syncline_alerts::text::said;
use syncline_alerts::{Engine, Kind, Notification, Severity, State, Transition, Unit};
use syncline_store::rows::{AlertState, AlertUnit, IncidentKind, SeverityLevel};
use syncline_store::rows::{AlertStateRows, SkewAlertRows, SkewIncidentRows};
use syncline_store::{Block, LowCardinality, StoreError};

use super::MS;

pub(super) fn state_rows(engine: &Engine, region: &str, at_ms: i64) -> Result<Block, StoreError> {
    let state = engine.snapshot().map_err(|error| StoreError::Protocol { reason: error.to_string() })?;
    AlertStateRows { region: LowCardinality::constant(region, 1), at: vec![at_ms * MS], state: vec![state] }
        .into_block()
}

/// Stamped with `at_ns`, which is in order also where the clock of rounds is not.
pub(super) fn transition_rows(transitions: &[Transition], at_ns: i64) -> SkewAlertRows {
    let mut rows = SkewAlertRows::default();
    for Transition {
        key,
        to,
        since_ns,
        happened_ns,
        value,
        worst,
        against,
        limit,
        severity,
        incident,
        is_silenced,
        ..
    } in transitions
    {
        rows.at.push(at_ns);
        rows.rule.push(key.rule.name());
        rows.subject.push(key.subject.to_string());
        rows.region.push(key.subject.region().unwrap_or_default());
        rows.node.push(key.subject.node().unwrap_or_default());
        rows.state.push(state(*to));
        rows.severity.push(level(*severity));
        rows.since.push(*since_ns);
        rows.low.push(value.low);
        rows.high.push(value.high);
        rows.worst_low.push(worst.low);
        rows.worst_high.push(worst.high);
        rows.limit_value.push(*limit);
        rows.unit.push(if key.rule.unit() == Unit::Ns { AlertUnit::Ns } else { AlertUnit::Ppb });
        rows.incident.push(incident.unwrap_or_default());
        rows.silenced.push(u8::from(*is_silenced));
        rows.text.push(said(key, (*worst, *against), *limit, *happened_ns));
    }
    rows
}

pub(super) fn incident_rows(notifications: &[Notification], at_ns: i64) -> SkewIncidentRows {
    let mut rows = SkewIncidentRows::default();
    for Notification { incident, kind, severity, cause, subjects, text, .. } in notifications {
        rows.at.push(at_ns);
        rows.incident.push(*incident);
        rows.kind.push(if *kind == Kind::Opened { IncidentKind::Opened } else { IncidentKind::Resolved });
        rows.severity.push(level(*severity));
        rows.rule.push(cause.rule.name());
        rows.subject.push(cause.subject.to_string());
        let subjects: Vec<String> = subjects.iter().map(ToString::to_string).collect();
        rows.subjects.push(subjects.join(","));
        rows.text.push(text.clone());
    }
    rows
}

fn state(state: State) -> AlertState {
    match state {
        State::Pending => AlertState::Pending,
        State::Firing => AlertState::Firing,
        State::Resolved => AlertState::Resolved,
    }
}

fn level(severity: Severity) -> SeverityLevel {
    match severity {
        Severity::Info => SeverityLevel::Info,
        Severity::Warning => SeverityLevel::Warning,
        Severity::Critical => SeverityLevel::Critical,
    }
}
