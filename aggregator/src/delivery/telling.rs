//! One target, and what it was told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use syncline_store::rows::{AlertDeliveryRows, DeliveryOutcome, IncidentKind};
use syncline_store::{LowCardinality, Store, StoreError};

use super::address::Answer;
use super::alertmanager;
use super::counts::TargetCounts;
use super::message::{Incident, Sender};
use super::webhook::{self, Due, Webhook, Word};
use super::{Target, Way, post};
use crate::counters::count;

/// What was over for longer was told, or never will be.
const LOOK_BACK_NS: i64 = 2 * 86_400_000_000_000;

/// A target and how far it is.
pub(super) struct Telling {
    target: Arc<Target>,
    sender: Sender,
    store: Store,
    counts: Arc<TargetCounts>,
    /// Of Alertmanager: what was last posted, and when.
    posted: Option<(BTreeSet<(u64, bool)>, Instant)>,
    /// Of a webhook.
    told: Option<Told>,
}

/// What a webhook was told.
#[derive(Default)]
struct Told {
    begun_ns: i64,
    done: BTreeSet<Word>,
    /// What of that is not stored yet.
    unsaved: Vec<Row>,
    /// Attempts that came to nothing.
    attempts: BTreeMap<Word, u32>,
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
    pub(super) fn new(target: Target, sender: Sender, store: Store, counts: Arc<TargetCounts>) -> Self {
        Self { target: Arc::new(target), sender, store, counts, posted: None, told: None }
    }

    pub(super) fn name(&self) -> &str {
        &self.target.name
    }

    /// Tells what there is to tell now: by the database's clock, which incidents are told by, and not by this machine's, which may be the one
    /// that is wrong.
    pub(super) async fn round(&mut self) -> Result<(), Failed> {
        let now_ns = self.store.now_ms().await?.saturating_mul(1_000_000);
        let incidents = Incident::all(self.store.told_incidents(now_ns - LOOK_BACK_NS).await?);
        let target = Arc::clone(&self.target);
        match &target.way {
            Way::Alertmanager => self.tell_alertmanager(&incidents, now_ns).await,
            Way::Webhook(webhook) => self.tell_webhook(webhook, &incidents, now_ns).await,
        }
    }

    async fn tell_alertmanager(&mut self, incidents: &[Incident], now_ns: i64) -> Result<(), Failed> {
        let (alerts, state) = alertmanager::alerts(&self.sender, incidents, now_ns);
        let is_due = match &self.posted {
            Some((before, at)) => *before != state || at.elapsed() >= alertmanager::RESEND,
            None => true,
        };
        if alerts.is_empty() || !is_due {
            return Ok(());
        }
        let body = serde_json::to_string(&alerts).map_err(|error| Failed { why: error.to_string(), after: None })?;
        match post(&self.target, "application/json", None, body).await {
            Answer::Taken => {
                count(&self.counts.delivered);
                self.posted = Some((state, Instant::now()));
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

    async fn tell_webhook(&mut self, webhook: &Webhook, incidents: &[Incident], now_ns: i64) -> Result<(), Failed> {
        let mut told = match self.told.take() {
            Some(told) => told,
            None => self.recall(now_ns).await?,
        };
        let outcome = self.tell_due(&mut told, webhook, incidents, now_ns).await;
        let saved = self.save(&mut told).await;
        self.told = Some(told);
        outcome.and(saved.map_err(Failed::from))
    }

    /// What it was told by whoever ran before. A target that is new is told of what is so from now on.
    async fn recall(&self, now_ns: i64) -> Result<Told, StoreError> {
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
            told.unsaved.push(row);
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

    /// One after another, so that they arrive in order; the first that fails ends the round.
    async fn tell_due(
        &self,
        told: &mut Told,
        webhook: &Webhook,
        incidents: &[Incident],
        now_ns: i64,
    ) -> Result<(), Failed> {
        for Due { word, is_expired } in webhook::due(incidents, &told.done, told.begun_ns, now_ns) {
            let Some(incident) = incidents.iter().find(|incident| incident.opened.incident == word.0) else { continue };
            let (outcome, note) = if is_expired {
                count(&self.counts.expired);
                (DeliveryOutcome::Expired, String::new())
            } else {
                match self.tell_word(webhook, incident, word).await {
                    Answer::Taken => {
                        count(&self.counts.delivered);
                        (DeliveryOutcome::Delivered, String::new())
                    }
                    Answer::Refused(why) => {
                        count(&self.counts.refused);
                        tracing::error!(target = self.name(), incident = word.0, why, "it will not take this alert");
                        (DeliveryOutcome::Refused, why)
                    }
                    Answer::Failed { why, after } => {
                        count(&self.counts.failed);
                        *told.attempts.entry(word).or_default() += 1;
                        return Err(Failed { why, after });
                    }
                }
            };
            let attempts = told.attempts.remove(&word).unwrap_or_default() + u32::from(!is_expired);
            told.done.insert(word);
            told.unsaved.push(Row { word, outcome, attempts, at_ns: now_ns, note });
            // Before the next one: what was told must not be told again, whatever happens to us.
            self.save(told).await?;
        }
        Ok(())
    }

    async fn tell_word(&self, webhook: &Webhook, incident: &Incident, (_, is_end): Word) -> Answer {
        let message = self.sender.message(incident, is_end);
        match webhook.body(&message) {
            Ok(body) => post(&self.target, &webhook.content_type, Some(&message.key), body).await,
            Err(why) => Answer::Refused(why),
        }
    }

    async fn save(&self, told: &mut Told) -> Result<(), StoreError> {
        while let Some(Row { word: (incident, is_end), outcome, attempts, at_ns, note }) = told.unsaved.first().cloned()
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
            told.unsaved.remove(0);
        }
        Ok(())
    }
}
