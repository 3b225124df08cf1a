//! The evaluation of alerts, at the root, which alone sees all regions.
//!
//! ```text
//! every 15 s   Rounds (what was stored) ──► Engine (crates/alerts) ──► skew_alerts, skew_incidents; its state ──► alert_states
//! ```
//!
//! Rounds end at whole multiples of the database's clock and are made of what is stored, so that aggregators of the root's region that do the same
//! find the same, and what they write is the same row with the same token: stored once. An aggregator that starts goes on from the state that was
//! left.

use std::sync::Arc;
use std::time::Duration;

use syncline_alerts::text::said;
use syncline_alerts::{
    Engine, Kind, Notification, Outcome, Policy, PolicyError, Round, Severity, State, Transition, Unit,
};
use syncline_store::rows::{AlertState, AlertUnit, IncidentKind, SeverityLevel};
use syncline_store::rows::{AlertStateRows, SkewAlertRows, SkewIncidentRows};
use syncline_store::{Block, LowCardinality, Rounds, Store, StoreError};

use crate::stopping::Stopping;

/// From round to round.
const EVERY_MS: i64 = 15_000;
/// What belongs to a round has been inserted so long after it, as a rule; what comes later is of the next.
const ARRIVED_MS: i64 = 2_000;
/// Rounds that are caught up with after a pause.
const CATCH_UP: i64 = 40;
/// The state is saved each so many rounds, and whenever an alert has changed.
const SAVE_EVERY: i64 = 20;
const MS: i64 = 1_000_000;

/// Evaluates until `stopping`.
pub(crate) async fn evaluate(region: Arc<str>, store: Store, stopping: Stopping) {
    let ticking = async {
        let mut is_failing = false;
        let mut evaluating = None;
        loop {
            let outcome = tick(&region, &store, &mut evaluating).await;
            if let Err(error) = &outcome {
                evaluating = None;
                if !is_failing {
                    tracing::warn!(%error, "alerts are not evaluated; it is tried again every {} s", EVERY_MS / 1_000);
                }
            }
            is_failing = outcome.is_err();
            let pause = outcome.unwrap_or(Duration::from_millis(EVERY_MS.unsigned_abs()));
            tokio::time::sleep(pause).await;
        }
    };
    tokio::select! {
        () = ticking => (),
        () = stopping.wanted() => (),
    }
}

/// An engine and where it reads on.
struct Evaluating {
    engine: Engine,
    rounds: Rounds,
    saved_ms: i64,
}

/// Evaluates the rounds that are over; how long until the next is.
async fn tick(region: &str, store: &Store, evaluating: &mut Option<Evaluating>) -> Result<Duration, StoreError> {
    let now_ms = store.now_ms().await?;
    let over_ms = (now_ms - ARRIVED_MS).div_euclid(EVERY_MS) * EVERY_MS;
    let this = match evaluating {
        Some(this) if (over_ms - this.rounds.at_ms()) / EVERY_MS <= CATCH_UP => this,
        _ => evaluating.insert(Evaluating::begin(region, store, over_ms).await?),
    };
    while this.rounds.at_ms() < over_ms {
        for round in this.rounds.next(store, 1).await? {
            this.take(region, store, &round).await?;
        }
    }
    let next_ms = over_ms + EVERY_MS + ARRIVED_MS - now_ms;
    Ok(Duration::from_millis(u64::try_from(next_ms).unwrap_or(0).max(100)))
}

impl Evaluating {
    /// Goes on from what was left, however old: what is over by now ends as it would have, and nothing is told twice.
    async fn begin(region: &str, store: &Store, over_ms: i64) -> Result<Self, StoreError> {
        let left = store.alert_state(region).await?.map(|state| Engine::restore(&state, Policy::default()));
        let engine = match left {
            Some(Ok(engine)) => engine,
            Some(Err(why)) => {
                tracing::warn!(%why, "the state of alerts that was left is of no use");
                anew(store).await?
            }
            None => anew(store).await?,
        };
        let at_ms = engine.at_ns().map_or(over_ms, |at_ns| at_ns / MS).max(over_ms - CATCH_UP * EVERY_MS);
        Ok(Self { rounds: Rounds::begin(store, at_ms, EVERY_MS).await?, saved_ms: at_ms, engine })
    }

    /// A round whose rows cannot be stored is evaluated again from the state that was left, and tells the same.
    async fn take(&mut self, region: &str, store: &Store, round: &Round) -> Result<(), StoreError> {
        let at_ms = round.at_ns / MS;
        let outcome = match self.engine.evaluate(round, &[]) {
            Ok(outcome) => outcome,
            Err(error) => return Err(StoreError::Protocol { reason: error.to_string() }),
        };
        let token = format!("{region}/{at_ms}");
        store.insert(transition_rows(&outcome.transitions).into_block()?, &token).await?;
        store.insert(incident_rows(&outcome.notifications).into_block()?, &token).await?;
        outcome.notifications.iter().for_each(log);
        let is_due = (at_ms - self.saved_ms) / EVERY_MS >= SAVE_EVERY;
        if is_due || outcome != Outcome::default() {
            self.saved_ms = at_ms;
            store.insert(self.state_rows(region, at_ms)?, &token).await?;
        }
        Ok(())
    }

    fn state_rows(&self, region: &str, at_ms: i64) -> Result<Block, StoreError> {
        let state = self.engine.snapshot().map_err(|error| StoreError::Protocol { reason: error.to_string() })?;
        AlertStateRows { region: LowCardinality::constant(region, 1), at: vec![at_ms * MS], state: vec![state] }
            .into_block()
    }
}

async fn anew(store: &Store) -> Result<Engine, StoreError> {
    let engine = Engine::new(Policy::default())
        .map_err(|error: PolicyError| StoreError::Protocol { reason: error.to_string() })?;
    Ok(engine.numbered_after(store.last_incident().await?))
}

fn log(told: &Notification) {
    let Notification { incident, text, .. } = told;
    match told.kind {
        Kind::Opened => tracing::warn!(incident, "{text} (`syncline alerts explain {incident}`)"),
        Kind::Resolved => tracing::info!(incident, "over: {text}"),
    }
}

fn transition_rows(transitions: &[Transition]) -> SkewAlertRows {
    let mut rows = SkewAlertRows::default();
    for Transition { key, to, at_ns, since_ns, value, worst, limit, severity, incident, is_silenced, .. } in transitions
    {
        rows.at.push(*at_ns);
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
        rows.text.push(said(key, *worst, *limit));
    }
    rows
}

fn incident_rows(notifications: &[Notification]) -> SkewIncidentRows {
    let mut rows = SkewIncidentRows::default();
    for Notification { incident, kind, at_ns, severity, cause, subjects, text, .. } in notifications {
        rows.at.push(*at_ns);
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
