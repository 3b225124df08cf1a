//! What is to be told of an incident.

use serde::{Deserialize, Serialize};

use crate::incident::Incident;
use crate::{Key, Severity, Subject};

/// A word lists so many subjects at most: of a region of ten thousand nodes a row, and a post, would be as long.
const MOST_LISTED: usize = 1_000;

/// An incident that people are to know of, or need not look at any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notification {
    /// Its number, which stays over restarts.
    pub incident: u64,
    /// Whether it begins or ends.
    pub kind: Kind,
    /// When, ns since 1970.
    pub at_ns: i64,
    /// How much it matters.
    pub severity: Severity,
    /// The alert that tells why.
    pub cause: Key,
    /// What it is about, the first [`MOST_LISTED`] by name.
    pub subjects: Vec<Subject>,
    /// The alerts in it, the first as many.
    pub alerts: Vec<Key>,
    /// One line for people.
    pub text: String,
}

/// What happened to an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// It began.
    Opened,
    /// All of it is over.
    Resolved,
}

impl Notification {
    pub(crate) fn of(number: u64, incident: &Incident, kind: Kind, at_ns: i64, text: String) -> Self {
        Self {
            incident: number,
            kind,
            at_ns,
            severity: incident.severity,
            cause: incident.cause.clone(),
            subjects: incident.subjects.iter().take(MOST_LISTED).cloned().collect(),
            alerts: incident.alerts.iter().take(MOST_LISTED).cloned().collect(),
            text,
        }
    }
}
