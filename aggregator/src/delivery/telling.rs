//! One target, and what it was told.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use syncline_store::rows::{AlertDeliveryRows, DeliveryOutcome, IncidentKind};
use syncline_store::{LowCardinality, Store, StoreError};

use super::address::Answer;
use super::alertmanager;
use super::backoff::Backoff;
use super::counts::TargetCounts;
use super::message::{Incident, Sender};
use super::webhook::{self, Due, Webhook, Word};
use super::{Target, Way, post};
use crate::counters::count;
use crate::lease::Lease;
use crate::stopping::Stopping;

/// What was over for longer was told, or never will be.
const LOOK_BACK_NS: i64 = 2 * 86_400_000_000_000;

/// A target and how far it is.
pub(super) struct Telling {
    target: Arc<Target>,
    sender: Sender,
    store: Store,
    counts: Arc<TargetCounts>,
    /// Of Alertmanager.
    last: alertmanager::Last,
    /// Of a webhook: who of several aggregators tells it.
    lease: Option<Lease>,
    /// Of a webhook: what it was told by the term of the lease that this was read in.
    told: Option<(u64, Told)>,
    /// Of a webhook: what of that is not stored yet, whichever term it is of.
    unsaved: Vec<Row>,
}

/// What a webhook was told.
#[derive(Default)]
struct Told {
    begun_ns: i64,
    done: BTreeSet<Word>,
    /// Of those that could not be told yet.
    backoff: Backoff,
}

#[derive(Clone)]
struct Row {
    word: Word,
    outcome: DeliveryOutcome,
    attempts: u32,
    at_ns: i64,
    note: String,
}

/// A round that has to be tried again.
pub(super) struct Failed {
    pub(super) why: String,
    /// Not before, by the target's word.
    pub(super) after: Option<Duration>,
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self { why: error.to_string(), after: None }
    }
}

impl Telling {
    /// `holder` is this process, among the aggregators of which one tells a webhook.
    pub(super) fn new(
        target: Target,
        sender: Sender,
        store: Store,
        counts: Arc<TargetCounts>,
        holder: &Arc<str>,
    ) -> Self {
        let lease = match target.way {
            // What it is told twice is one alert to it.
            Way::Alertmanager => None,
            Way::Webhook(_) => {
                let name = format!("webhook/{}", target.name);
                Some(Lease::wanted(&store, name, holder, target.address.timeout()))
            }
        };
        Self {
            target: Arc::new(target),
            sender,
            store,
            counts,
            last: alertmanager::Last::default(),
            lease,
            told: None,
            unsaved: Vec::new(),
        }
    }

    /// Waits until it may be this process's turn.
    pub(super) async fn turn(&mut self) {
        match &mut self.lease {
            Some(lease) => lease.changed().await,
            None => std::future::pending().await,
        }
    }

    /// Leaves it to others.
    pub(super) async fn end(self) {
        if let Some(lease) = self.lease {
            lease.give_back().await;
        }
    }

    /// The term for which it is this process that tells a webhook; long enough for a post.
    fn term(&self) -> Option<u64> {
        self.lease.as_ref()?.term(self.target.address.timeout())
    }

    pub(super) fn name(&self) -> &str {
        &self.target.name
    }

    /// Tells what there is to tell now: by the database's clock, which incidents are told by, and not by this machine's, which may be the one
    /// that is wrong. How long until something has to be tried again, if so.
    pub(super) async fn round(&mut self, stopping: &Stopping) -> Result<Option<Duration>, Failed> {
        let target = Arc::clone(&self.target);
        if matches!(target.way, Way::Webhook(_)) && self.term().is_none() {
            if self.told.take().is_some() {
                tracing::debug!(target = self.name(), "it is not this one's turn any more");
            }
            // Whoever's turn it is should know of it.
            return Ok(self.save().await.map(|()| None)?);
        }
        // Whoever tells a word tells it under the same name.
        if let Some(root) = self.store.alerts_told_by().await? {
            self.sender.root = root;
        }
        let now_ns = self.store.now_ms().await?.saturating_mul(1_000_000);
        let incidents = Incident::all(self.store.told_incidents(now_ns - LOOK_BACK_NS).await?);
        match &target.way {
            Way::Alertmanager => self.tell_alertmanager(&incidents, now_ns).await.map(|()| None),
            Way::Webhook(webhook) => self.tell_webhook(webhook, (&incidents, now_ns), stopping).await,
        }
    }

    async fn tell_alertmanager(&mut self, incidents: &[Incident], now_ns: i64) -> Result<(), Failed> {
        let (alerts, state) = alertmanager::alerts(&self.sender, incidents, now_ns);
        if alerts.is_empty() || !self.last.is_due(&state, Instant::now()) {
            return Ok(());
        }
        let body = serde_json::to_string(&alerts).map_err(|error| Failed { why: error.to_string(), after: None })?;
        match post(&self.target, "application/json", None, body).await {
            Answer::Taken => {
                count(&self.counts.delivered);
                self.last.posted(state, Instant::now());
                Ok(())
            }
            // Another time it may have other alerts to judge.
            Answer::Refused(why) => {
                count(&self.counts.refused);
                Err(Failed { why, after: Some(alertmanager::RESEND) })
            }
            Answer::Failed { why, after } => {
                count(&self.counts.failed);
                Err(Failed { why, after })
            }
        }
    }

    async fn tell_webhook(
        &mut self,
        webhook: &Webhook,
        (incidents, now_ns): (&[Incident], i64),
        stopping: &Stopping,
    ) -> Result<Option<Duration>, Failed> {
        let Some(term) = self.term() else { return Ok(None) };
        // What it was told before is to be known when it is read.
        self.save().await?;
        let mut told = match self.told.take() {
            Some((of, told)) if of == term => told,
            // Somebody else may have told it since.
            _ => self.recall(now_ns).await?,
        };
        let outcome = self.tell_due(&mut told, webhook, (incidents, now_ns), (term, stopping)).await;
        let saved = self.save().await;
        let next = told.backoff.next();
        self.told = Some((term, told));
        outcome.and(saved.map_err(Failed::from))?;
        Ok(next.map(|next| next.saturating_duration_since(Instant::now())))
    }

    /// What it was told by whoever ran before. A target that is new is told of what is so from now on.
    async fn recall(&mut self, now_ns: i64) -> Result<Told, StoreError> {
        let mut told = Told { begun_ns: now_ns, ..Told::default() };
        let deliveries = self.store.deliveries(&self.target.name).await?;
        if deliveries.is_empty() {
            let row = Row {
                word: (0, false),
                outcome: DeliveryOutcome::Delivered,
                attempts: 0,
                at_ns: now_ns,
                note: String::new(),
            };
            self.unsaved.push(row);
        }
        for delivery in deliveries {
            if delivery.incident == 0 {
                told.begun_ns = told.begun_ns.min(delivery.at_ns);
            } else {
                told.done.insert((delivery.incident, delivery.is_resolved));
            }
        }
        Ok(told)
    }

    /// One after another, those first that failed least, then by time, and the end of an incident after its begin. The first that fails ends the
    /// round: it is likely that the target is away. If it is not, those behind are before it in the next one.
    async fn tell_due(
        &mut self,
        told: &mut Told,
        webhook: &Webhook,
        (incidents, now_ns): (&[Incident], i64),
        (term, stopping): (u64, &Stopping),
    ) -> Result<(), Failed> {
        let mut all = webhook::due(incidents, &told.done, told.begun_ns, now_ns);
        told.backoff.retain(|word| all.iter().any(|due| due.word == word));
        let failures = |word| told.backoff.failures(word);
        all.sort_by_key(|due| failures(due.word).max(failures((due.word.0, false))));
        for Due { word, is_expired } in all {
            let Some(incident) = incidents.iter().find(|incident| incident.opened.incident == word.0) else { continue };
            let waits = told.backoff.waits(word, Instant::now());
            if !is_expired && (waits || word.1 && !told.done.contains(&(word.0, false))) {
                continue;
            }
            // Before each: it may have become another one's turn.
            if self.term() != Some(term) || stopping.is_wanted() {
                return Ok(());
            }
            let (outcome, note) = if is_expired {
                count(&self.counts.expired);
                (DeliveryOutcome::Expired, String::new())
            } else {
                match self.tell_word(webhook, incident, word).await {
                    Answer::Taken => {
                        told.backoff.answered();
                        count(&self.counts.delivered);
                        (DeliveryOutcome::Delivered, String::new())
                    }
                    Answer::Refused(why) => {
                        told.backoff.answered();
                        count(&self.counts.refused);
                        tracing::error!(target = self.name(), incident = word.0, why, "it will not take this alert");
                        (DeliveryOutcome::Refused, why)
                    }
                    Answer::Failed { why, after } => {
                        count(&self.counts.failed);
                        self.note_failure(told, word, &why, after);
                        return Ok(());
                    }
                }
            };
            let failed = told.backoff.done(word);
            told.done.insert(word);
            self.unsaved.push(Row { word, outcome, attempts: failed + u32::from(!is_expired), at_ns: now_ns, note });
            // Before the next one: what was told must not be told again, whatever happens to us.
            self.save().await?;
        }
        Ok(())
    }

    fn note_failure(&self, told: &mut Told, word: Word, why: &str, after: Option<Duration>) {
        let failures = told.backoff.failed(word, after, Instant::now());
        if failures == 1 {
            let incident = word.0;
            tracing::warn!(target = self.name(), incident, why, "it cannot be told of this alert; it is tried again");
        }
    }

    async fn tell_word(&self, webhook: &Webhook, incident: &Incident, (_, is_end): Word) -> Answer {
        let message = self.sender.message(incident, is_end);
        match webhook.body(&message) {
            Ok(body) => post(&self.target, &webhook.content_type, Some(&message.key), body).await,
            Err(why) => Answer::Refused(why),
        }
    }

    async fn save(&mut self) -> Result<(), StoreError> {
        while let Some(Row { word: (incident, is_end), outcome, attempts, at_ns, note }) = self.unsaved.first().cloned()
        {
            let rows = AlertDeliveryRows {
                target: LowCardinality::constant(&self.target.name, 1),
                incident: vec![incident],
                kind: vec![if is_end { IncidentKind::Resolved } else { IncidentKind::Opened }],
                outcome: vec![outcome],
                attempts: vec![attempts],
                at: vec![at_ns],
                note: vec![note],
            };
            let token = format!("{}/{incident}/{is_end}", self.target.name);
            self.store.insert(rows.into_block()?, &token).await?;
            self.unsaved.remove(0);
        }
        Ok(())
    }
}
