//! The evaluation of alerts, on what all regions stored.
//!
//! ```text
//! every 15 s   Rounds (what was stored) ──► Engine (crates/alerts) ──► skew_alerts, skew_incidents; its state ──► alert_states
//! ```
//!
//! Rounds end at whole multiples of the database's clock and are made of what is stored. Of all aggregators on a store one at a time evaluates
//! (`lease`): the root's, or another one while there is none. The next one goes on from the state that was left, of which there is one for the whole
//! store, under the root's name. What two would write of a round is the same row with the same token: stored once.

mod gauges;
mod rows;
mod turn;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use syncline_alerts::{Engine, Kind, Notification, Outcome, Policy, PolicyError, Round, Silence};
use syncline_store::{DeclaredSilence, RememberedAlerts, Rounds, Store, StoreError};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::counters::{add, count};
use crate::delivery::{self, Deliveries};
use crate::lease::{self, Lease};
use crate::settings::Alerts;
use crate::stopping::Stopping;
pub(crate) use gauges::AlertGauges;
use rows::{incident_rows, state_rows, transition_rows};
use turn::Turn;

/// From round to round.
const EVERY_MS: i64 = 15_000;
const EVERY: Duration = Duration::from_millis(EVERY_MS.unsigned_abs());
/// What belongs to a round has been inserted so long after it, as a rule; what comes later is of the next.
const ARRIVED_MS: i64 = 2_000;
/// Rounds that are caught up with after a pause.
const CATCH_UP: i64 = 40;
/// What happened so long ago may come only now: silences of then count, ms.
const COMES_LATE_MS: i64 = 86_400_000;
/// The state is saved each so many rounds, and whenever an alert has changed.
const SAVE_EVERY: i64 = 20;
/// What is not over is written again so often, if need be, ms: it would else be forgotten 90 days after it began.
const KEEP_EVERY_MS: i64 = 86_400_000;
const MS: i64 = 1_000_000;

/// Evaluates, unless that is left to others, and tells until `stopping`.
pub(crate) fn spawn(
    (region, is_root): (&Arc<str>, bool),
    alerts: Alerts,
    store: &Store,
    stopping: &Stopping,
) -> Running {
    let holder = lease::holder();
    let (told, news) = watch::channel(0);
    let Alerts { evaluate, policy, silences, targets, runbook } = alerts;
    let (deliveries, mut tasks) = delivery::spawn((targets, region, &runbook), store, &news, &holder, stopping);
    let gauges = if evaluate {
        let gauges = Arc::new(AlertGauges::begun());
        let turn = Turn::wanted(is_root, store, &holder);
        let (region, store, watched) = (Arc::clone(region), store.clone(), Arc::clone(&gauges));
        let evaluator = Evaluator { region, store, policy, silences, told, gauges: watched };
        tasks.push(tokio::spawn(evaluator.evaluate(turn, stopping.clone())));
        Some(gauges)
    } else {
        // Those who are told end when nobody can give them news any more.
        let stopping = stopping.clone();
        tasks.push(tokio::spawn(async move {
            stopping.wanted().await;
            drop(told);
        }));
        None
    };
    Running { gauges, deliveries, tasks }
}

/// The evaluation and those who are told of it.
pub(crate) struct Running {
    /// Of an evaluation that is not left to others.
    pub(crate) gauges: Option<Arc<AlertGauges>>,
    pub(crate) deliveries: Deliveries,
    /// They end by themselves when it is time to stop.
    pub(crate) tasks: Vec<JoinHandle<()>>,
}

/// What rounds are evaluated by, and what is done about them.
struct Evaluator {
    region: Arc<str>,
    store: Store,
    policy: Policy,
    silences: Vec<Silence>,
    /// Changes when there is something new to tell.
    told: watch::Sender<u64>,
    gauges: Arc<AlertGauges>,
}

/// An engine and where it reads on.
struct Evaluating {
    engine: Engine,
    /// The region that tells: of what is stored under its name two who evaluate the same round store it once.
    root: String,
    rounds: Rounds,
    /// Of the newest rows that were told, by which they are in order; later than the round where the database's clock was set back since.
    stamped_ms: i64,
    saved_ms: i64,
    /// When what lasts was last kept; none before the first time.
    kept_ms: Option<i64>,
}

impl Evaluator {
    async fn evaluate(self, mut turn: Turn, stopping: Stopping) {
        tokio::select! {
            () = self.tick_on(&mut turn.evaluation) => (),
            () = stopping.wanted() => (),
        }
        turn.give_back().await;
    }

    async fn tick_on(&self, lease: &mut Lease) {
        let mut is_failing = false;
        // Of the term that it was begun in.
        let mut evaluating = None;
        loop {
            let Some(term) = lease.term(Duration::ZERO) else {
                evaluating = None;
                self.gauges.evaluates.store(0, Ordering::Relaxed);
                if lease.is_anothers() {
                    self.gauges.stand_by();
                    is_failing = false;
                }
                tokio::select! {
                    () = lease.changed() => (),
                    () = tokio::time::sleep(EVERY) => is_failing = self.is_nobodys(lease, is_failing),
                }
                continue;
            };
            if evaluating.as_ref().is_some_and(|(begun, _)| *begun != term) {
                evaluating = None;
            }
            let mut this = evaluating.take().map(|(_, this)| this);
            let outcome = self.tick(&mut this, || lease.term(Duration::ZERO) == Some(term)).await;
            if let Err(error) = &outcome {
                this = None;
                count(&self.gauges.failures);
                if !is_failing {
                    tracing::warn!(%error, "alerts are not evaluated; it is tried again every {} s", EVERY.as_secs());
                }
            }
            is_failing = outcome.is_err();
            evaluating = this.map(|this| (term, this));
            tokio::time::sleep(outcome.unwrap_or(EVERY)).await;
        }
    }

    /// Whether it is neither this one's turn nor known to be another's, which is told: as far as anybody here knows nobody evaluates.
    fn is_nobodys(&self, lease: &Lease, was_failing: bool) -> bool {
        if lease.is_anothers() || lease.term(Duration::ZERO).is_some() {
            return false;
        }
        count(&self.gauges.failures);
        if !was_failing {
            tracing::warn!("alerts are not evaluated: the store does not say whose turn it is");
        }
        true
    }

    /// Evaluates the rounds that are over; how long until the next is.
    async fn tick(
        &self,
        evaluating: &mut Option<Evaluating>,
        is_ours: impl Fn() -> bool,
    ) -> Result<Duration, StoreError> {
        let now_ms = self.store.now_ms().await?;
        let over_ms = (now_ms - ARRIVED_MS).div_euclid(EVERY_MS) * EVERY_MS;
        let this = match evaluating {
            Some(this) if (over_ms - this.rounds.at_ms()) / EVERY_MS <= CATCH_UP => this,
            _ => evaluating.insert(self.begin(over_ms).await?),
        };
        let back_ms = this.rounds.at_ms() - over_ms;
        if back_ms > EVERY_MS {
            self.note_set_back(back_ms);
            this.engine.set_back((back_ms * MS).unsigned_abs());
            this.rounds.set_back(back_ms.unsigned_abs());
            this.saved_ms = over_ms - SAVE_EVERY * EVERY_MS;
        }
        while this.rounds.at_ms() < over_ms && is_ours() {
            for round in this.rounds.next(&self.store, 1).await? {
                self.take(this, &round).await?;
            }
        }
        if is_ours() && this.kept_ms.is_none_or(|kept_ms| (over_ms - kept_ms).abs() >= KEEP_EVERY_MS) {
            self.store.keep_alerts(over_ms).await?;
            this.kept_ms = Some(over_ms);
        }
        let next_ms = over_ms + EVERY_MS + ARRIVED_MS - now_ms;
        Ok(Duration::from_millis(u64::try_from(next_ms).unwrap_or(0).max(100)))
    }

    /// Rounds would else wait until the clock is where it was, and nobody would be told of anything meanwhile.
    fn note_set_back(&self, back_ms: i64) {
        count(&self.gauges.set_back);
        let seconds = back_ms / 1_000;
        tracing::warn!(seconds, "the clock of the database was set back: alerts are evaluated by it from there on");
    }

    /// Goes on from what was left, by whichever region's aggregator and however old: what is over by now ends as it would have, and nothing is told
    /// twice.
    async fn begin(&self, over_ms: i64) -> Result<Evaluating, StoreError> {
        let left = self.store.alerts_left().await?;
        // The name is a label of what is told: with another one all that is open would be told again.
        let root = left.as_ref().map_or_else(|| self.region.to_string(), |left| left.region.clone());
        let mut stamped_ms = left.as_ref().map_or(over_ms - 1, |left| left.at_ms);
        let restored = left.map(|left| Engine::restore(&left.state, self.policy.clone()));
        let engine = match restored {
            Some(Ok(engine)) => engine,
            no_use => {
                if let Some(Err(why)) = no_use {
                    tracing::warn!(%why, "the state of alerts that was left is of no use");
                }
                stamped_ms = over_ms.max(stamped_ms + 1);
                self.anew(&root, stamped_ms).await?
            }
        };
        let left_ms = engine.at_ns().map_or(over_ms, |at_ns| at_ns / MS);
        let at_ms = left_ms.max(over_ms - CATCH_UP * EVERY_MS);
        if at_ms > left_ms {
            // After all that was told, also by one that ended before it left its state.
            stamped_ms = at_ms.max(stamped_ms + 1);
        }
        // Rounds after that are evaluated again, and number their incidents alike; those before are not.
        let engine = engine.numbered_after(self.store.last_incident(at_ms.max(stamped_ms)).await?);
        if at_ms > left_ms {
            self.close_forgotten(&engine, stamped_ms).await?;
        }
        let rounds = Rounds::begin(&self.store, at_ms, EVERY_MS).await?;
        Ok(Evaluating { engine, root, rounds, stamped_ms, saved_ms: left_ms, kept_ms: None })
    }

    /// Begins with nothing known. What was told before and is not over would be so for ever: it ends, and is told again if it still is so.
    async fn anew(&self, root: &str, at_ms: i64) -> Result<Engine, StoreError> {
        let engine = Engine::new(self.policy.clone())
            .map_err(|error: PolicyError| StoreError::Protocol { reason: error.to_string() })?;
        let engine = engine.numbered_after(self.store.last_incident(i64::MAX).await?);
        self.store.close_alerts(at_ms, &RememberedAlerts::default()).await?;
        // So that who begins next goes on from here, and does not end what begins from now on.
        let token = format!("{root}/{at_ms}/anew");
        self.store.insert(state_rows(&engine, root, at_ms)?, &token).await?;
        self.told.send_modify(|number| *number += 1);
        Ok(engine)
    }

    /// Ends what began in rounds that are passed over and was stored without a state that has it: it would be open for ever.
    async fn close_forgotten(&self, engine: &Engine, at_ms: i64) -> Result<(), StoreError> {
        let alerts = engine.alerts().map(|(key, _)| (key.rule.name().to_owned(), key.subject.to_string())).collect();
        let incidents = engine.incidents().map(|(number, _)| number).collect();
        let remembered = RememberedAlerts { alerts, incidents, until_ms: Some(at_ms) };
        self.store.close_alerts(at_ms, &remembered).await
    }

    /// Those of the file, and those that people declared since, also of what happened before this and comes now.
    async fn silences(&self, at_ms: i64) -> Result<Vec<Silence>, StoreError> {
        let declared = self.store.silences(at_ms - COMES_LATE_MS).await?;
        let declared = declared.iter().filter_map(
            |DeclaredSilence { number, region, node, rules, from_ms, until_ms, comment }| {
                let silence = Silence::declared((region, node, rules), (from_ms * MS, until_ms * MS), comment);
                // Whoever declares one by the program is told; this one came another way.
                silence.inspect_err(|why| tracing::debug!(number, %why, "a declared silence is none")).ok()
            },
        );
        Ok(self.silences.iter().cloned().chain(declared).collect())
    }

    /// A round whose rows cannot be stored is evaluated again from the state that was left, and tells the same.
    async fn take(&self, this: &mut Evaluating, round: &Round) -> Result<(), StoreError> {
        let (store, at_ms) = (&self.store, round.at_ns / MS);
        let silences = self.silences(at_ms).await?;
        let outcome = match this.engine.evaluate(round, &silences) {
            Ok(outcome) => outcome,
            Err(error) => return Err(StoreError::Protocol { reason: error.to_string() }),
        };
        let stamp_ms = at_ms.max(this.stamped_ms + 1);
        let token = format!("{}/{stamp_ms}", this.root);
        store.insert(transition_rows(&outcome.transitions, stamp_ms * MS).into_block()?, &token).await?;
        store.insert(incident_rows(&outcome.notifications, stamp_ms * MS).into_block()?, &token).await?;
        outcome.notifications.iter().for_each(log);
        self.gauges.take(&this.engine, at_ms);
        add(&self.gauges.notifications, outcome.notifications.len() as u64);
        if !outcome.notifications.is_empty() {
            self.told.send_modify(|number| *number += 1);
        }
        let is_due = (at_ms - this.saved_ms) / EVERY_MS >= SAVE_EVERY;
        if is_due || outcome != Outcome::default() {
            (this.saved_ms, this.stamped_ms) = (at_ms, stamp_ms);
            store.insert(state_rows(&this.engine, &this.root, stamp_ms)?, &token).await?;
        }
        Ok(())
    }
}

fn log(told: &Notification) {
    let Notification { incident, text, .. } = told;
    match told.kind {
        Kind::Opened => tracing::warn!(incident, "{text} (`syncline alerts explain {incident}`)"),
        Kind::Resolved => tracing::info!(incident, "over: {text}"),
    }
}
