//! What Alertmanager is told (API v2): all that lasts, again and again, each time until a little later; and for a while what is over.
//!
//! An alert is known there by its labels. They are those of the incident as it began, so whoever sends them, however often, means the same one:
//! nothing is told twice after a restart, and of several aggregators.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::message::{Incident, Sender, rfc3339};

/// All is sent again after so long, as Prometheus does.
pub(super) const RESEND: Duration = Duration::from_secs(60);
/// It ends by itself if nothing is heard of it for so long: four times that.
const LASTS_NS: i64 = 240_000_000_000;
/// What is over is sent for so long, as Prometheus does: it may have been away.
const RESOLVED_NS: i64 = 900_000_000_000;

/// What was posted last, as [`alerts`] has it: incidents with whether they are over; and when.
#[derive(Clone, Debug, Default)]
pub(super) struct Last(Option<(BTreeSet<(u64, bool)>, Instant)>);

impl Last {
    /// Whether this is to be posted: it has changed, or has not been heard of for so long that it would end by itself before long.
    pub(super) fn is_due(&self, state: &BTreeSet<(u64, bool)>, now: Instant) -> bool {
        self.0.as_ref().is_none_or(|(before, at)| before != state || now.saturating_duration_since(*at) >= RESEND)
    }

    /// It was taken.
    pub(super) fn posted(&mut self, state: BTreeSet<(u64, bool)>, at: Instant) {
        self.0 = Some((state, at));
    }
}

/// An alert as it is posted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Posted {
    labels: BTreeMap<&'static str, String>,
    annotations: BTreeMap<&'static str, String>,
    starts_at: String,
    ends_at: String,
}

/// What there is to post at `now_ns`, and what of it differs from before as soon as it does: incidents with whether they are over.
pub(super) fn alerts(sender: &Sender, incidents: &[Incident], now_ns: i64) -> (Vec<Posted>, BTreeSet<(u64, bool)>) {
    let is_fresh = |incident: &&Incident| match &incident.resolved {
        Some(resolved) => now_ns.saturating_sub(resolved.at_ns) < RESOLVED_NS,
        None => true,
    };
    let told: Vec<&Incident> = incidents.iter().filter(is_fresh).collect();
    let state = told.iter().map(|incident| (incident.opened.incident, incident.resolved.is_some())).collect();
    (told.into_iter().map(|incident| posted(sender, incident, now_ns)).collect(), state)
}

fn posted(sender: &Sender, incident: &Incident, now_ns: i64) -> Posted {
    let message = sender.message(incident, incident.resolved.is_some());
    let ended_ns = incident.resolved.as_ref().map(|resolved| resolved.at_ns);
    let labels = [
        ("alertname", format!("SynclineClock{}", capitalised(&message.rule))),
        ("severity", message.severity),
        ("rule", message.rule),
        ("incident", message.incident.to_string()),
        ("subject", message.subject),
        ("region", message.region),
        ("node", message.node),
        ("root", message.root),
    ];
    let annotations = [
        ("summary", message.text),
        ("description", format!("`syncline alerts explain {}` shows what it rests on", message.incident)),
        ("runbook_url", message.runbook_url),
    ];
    Posted {
        labels: labels.into_iter().filter(|(_, value)| !value.is_empty()).collect(),
        annotations: annotations.into_iter().collect(),
        // Alertmanager refuses what begins after it ends, and what is over in a while is not over to it: a clock that was set back told of times to come.
        starts_at: rfc3339(incident.opened.at_ns.min(now_ns)),
        ends_at: rfc3339(ended_ns.map_or(now_ns.saturating_add(LASTS_NS), |at_ns| at_ns.min(now_ns))),
    }
}

fn capitalised(rule: &str) -> String {
    let mut letters = rule.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use syncline_store::ToldIncident;

    use super::*;

    const MINUTE: i64 = 60_000_000_000;

    fn incident(opened_ns: i64, resolved_ns: Option<i64>) -> Incident {
        let row = |at_ns, is_resolved, text: &str| ToldIncident {
            incident: 7,
            is_resolved,
            at_ns,
            severity: "critical".to_owned(),
            rule: "reference".to_owned(),
            subject: "eu".to_owned(),
            subjects: "eu".to_owned(),
            text: text.to_owned(),
        };
        Incident {
            opened: row(opened_ns, false, "it jumped"),
            resolved: resolved_ns.map(|at_ns| row(at_ns, true, "it is over")),
        }
    }

    fn sender() -> Sender {
        Sender { root: "us".to_owned(), runbook: "r".to_owned() }
    }

    #[test]
    fn what_lasts_ends_a_little_later_each_time_and_is_the_same_alert() {
        let at = |now_ns| alerts(&sender(), &[incident(0, None)], now_ns).0.remove(0);
        let (one, other) = (at(MINUTE), at(2 * MINUTE));
        assert_eq!(
            (one.ends_at.as_str(), other.ends_at.as_str()),
            ("1970-01-01T00:05:00.000Z", "1970-01-01T00:06:00.000Z")
        );
        assert_eq!((&one.labels, &one.starts_at), (&other.labels, &other.starts_at));
        assert_eq!(one.labels["alertname"], "SynclineClockReference");
        assert!(!one.labels.contains_key("node"), "an empty label is none");
    }

    #[test]
    fn what_has_not_changed_is_posted_again_each_minute_and_what_has_at_once() {
        let (state, begun) = (BTreeSet::from([(7, false)]), Instant::now());
        let mut last = Last::default();
        assert!(last.is_due(&state, begun), "nothing was posted yet");
        last.posted(state.clone(), begun);
        let is_due = |last: &Last, after: Duration| last.is_due(&state, begun + after);
        assert!(!is_due(&last, Duration::ZERO) && !is_due(&last, RESEND - Duration::from_millis(1)));
        assert!(is_due(&last, RESEND) && is_due(&last, 10 * RESEND));
        last.posted(state.clone(), begun + RESEND);
        assert!(!is_due(&last, RESEND + Duration::from_secs(1)), "it counts from the newest post");
        assert!(is_due(&last, 2 * RESEND));
        assert!(last.is_due(&BTreeSet::from([(7, true)]), begun + RESEND), "it is over");
        // So that a post that fails twice, or comes late, does not let it end meanwhile.
        assert!(3 * RESEND.as_nanos() < LASTS_NS.unsigned_abs().into());
    }

    #[test]
    fn what_was_told_before_the_clock_was_set_back_is_of_now() {
        let at = |resolved_ns| alerts(&sender(), &[incident(60 * MINUTE, resolved_ns)], MINUTE).0.remove(0);
        let (lasts, over) = (at(None), at(Some(70 * MINUTE)));
        assert_eq!(
            (lasts.starts_at.as_str(), lasts.ends_at.as_str()),
            ("1970-01-01T00:01:00.000Z", "1970-01-01T00:05:00.000Z")
        );
        assert_eq!(over.ends_at, "1970-01-01T00:01:00.000Z");
    }

    #[test]
    fn what_is_over_is_the_same_alert_and_is_told_for_a_while() {
        let (lasts, over) = (incident(0, None), incident(0, Some(MINUTE)));
        let ((begun, before), (ended, after)) =
            (alerts(&sender(), &[lasts], MINUTE), alerts(&sender(), std::slice::from_ref(&over), 2 * MINUTE));
        assert_eq!(begun[0].labels, ended[0].labels);
        assert_eq!((ended[0].ends_at.as_str(), before != after), ("1970-01-01T00:01:00.000Z", true));
        assert!(alerts(&sender(), &[over], 16 * MINUTE).0.is_empty());
    }
}
