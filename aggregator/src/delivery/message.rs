//! What is told of an incident.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;
use syncline_store::ToldIncident;

/// An incident as it was told, and when it was over.
#[derive(Clone, Debug)]
pub(super) struct Incident {
    pub(super) opened: ToldIncident,
    pub(super) resolved: Option<ToldIncident>,
}

impl Incident {
    /// Puts rows together, each incident once. What was resolved but never opened is none.
    pub(super) fn all(rows: Vec<ToldIncident>) -> Vec<Self> {
        let (mut opened, mut resolved) = (BTreeMap::new(), BTreeMap::new());
        for row in rows {
            let rows = if row.is_resolved { &mut resolved } else { &mut opened };
            rows.entry(row.incident).or_insert(row);
        }
        opened.into_values().map(|opened| Self { resolved: resolved.remove(&opened.incident), opened }).collect()
    }
}

/// One word on an incident, as templates see it and as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Message {
    /// The same for each attempt to tell it.
    pub(super) key: String,
    pub(super) incident: u64,
    /// firing, resolved
    pub(super) status: &'static str,
    pub(super) severity: String,
    pub(super) rule: String,
    pub(super) subject: String,
    /// Empty where it is about several.
    pub(super) region: String,
    pub(super) node: String,
    pub(super) subjects: Vec<String>,
    pub(super) text: String,
    /// RFC 3339.
    pub(super) starts_at: String,
    /// RFC 3339; none while it lasts.
    pub(super) ends_at: Option<String>,
    pub(super) runbook_url: String,
    /// The region under whose name alerts are evaluated.
    pub(super) root: String,
}

/// What all messages of an aggregator have in common.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    pub(super) root: String,
    pub(super) runbook: String,
}

impl Sender {
    /// That it began, or that it is over.
    pub(super) fn message(&self, incident: &Incident, is_end: bool) -> Message {
        let opened = &incident.opened;
        let end = incident.resolved.as_ref().filter(|_| is_end);
        let status = if is_end { "resolved" } else { "firing" };
        let (region, node) = place(&opened.subject);
        Message {
            key: format!("{}/{}/{status}", self.root, opened.incident),
            incident: opened.incident,
            status,
            severity: opened.severity.clone(),
            rule: opened.rule.clone(),
            subject: opened.subject.clone(),
            region: region.to_owned(),
            node: node.to_owned(),
            subjects: opened.subjects.split(',').filter(|subject| !subject.is_empty()).map(str::to_owned).collect(),
            text: end.map_or_else(|| opened.text.clone(), |end| end.text.clone()),
            starts_at: rfc3339(opened.at_ns),
            ends_at: end.map(|end| rfc3339(end.at_ns)),
            runbook_url: format!("{}#{}", self.runbook, opened.rule),
            root: self.root.clone(),
        }
    }
}

/// Region and node of a subject, where it is one: names have neither spaces nor slashes in them.
fn place(subject: &str) -> (&str, &str) {
    match subject.split_once('/') {
        _ if subject.contains(' ') || subject == "fleet" => ("", ""),
        Some(place) => place,
        None => (subject, ""),
    }
}

pub(super) fn rfc3339(ns: i64) -> String {
    DateTime::from_timestamp_nanos(ns).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// An incident of which templates are tried.
pub(super) fn examples() -> [Message; 2] {
    let row = |at_ns, is_resolved| ToldIncident {
        incident: 7,
        is_resolved,
        at_ns,
        severity: "warning".to_owned(),
        rule: "step".to_owned(),
        subject: "eu/web-1".to_owned(),
        subjects: "eu/web-1".to_owned(),
        text: "eu/web-1: the wall clock was set back by 399 ms (limit 10.0 ms)".to_owned(),
    };
    let incident = Incident { opened: row(0, false), resolved: Some(row(600_000_000_000, true)) };
    let sender = Sender { root: "us".to_owned(), runbook: "https://runbook.example".to_owned() };
    [sender.message(&incident, false), sender.message(&incident, true)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_leads_back_to_its_place() {
        for (subject, found) in [
            ("eu/web-1", ("eu", "web-1")),
            ("eu", ("eu", "")),
            ("fleet", ("", "")),
            ("eu and us", ("", "")),
            ("eu/a to us/b", ("", "")),
        ] {
            assert_eq!(place(subject), found, "{subject}");
        }
    }

    #[test]
    fn rows_that_are_there_twice_are_one_incident() {
        let [opened, resolved] = examples();
        assert_eq!((opened.status, opened.ends_at), ("firing", None));
        assert_eq!(resolved.ends_at.as_deref(), Some("1970-01-01T00:10:00.000Z"));
        assert_eq!((opened.key.as_str(), resolved.key.as_str()), ("us/7/firing", "us/7/resolved"));
        assert_eq!(opened.runbook_url, "https://runbook.example#step");
    }
}
