//! One finding of the doctor.

use serde::Serialize;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// As it should be.
    Ok,
    /// It works, but less well, or something optional is missing.
    Warn,
    /// What needs it cannot work.
    Fail,
}

/// What a check is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// Capturing waits of Go programs here.
    Capture,
    /// Opening the embedded store here.
    Store,
    /// Building Syncline or its demo here: never fails.
    Build,
}

/// One finding.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Check {
    /// What was looked at.
    #[serde(rename = "check")]
    pub(crate) name: &'static str,
    pub(crate) status: Status,
    /// What is there.
    pub(crate) found: String,
    /// How to mend it, where there is something to mend.
    pub(crate) hint: Option<String>,
    #[serde(skip)]
    pub(crate) need: Need,
}

impl Check {
    /// All is well.
    pub(crate) fn ok(name: &'static str, need: Need, found: impl Into<String>) -> Self {
        Self { name, status: Status::Ok, found: found.into(), hint: None, need }
    }

    /// It works, but.
    pub(crate) fn warn(name: &'static str, need: Need, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name, status: Status::Warn, found: found.into(), hint: Some(hint.into()), need }
    }

    /// It cannot work.
    pub(crate) fn fail(name: &'static str, need: Need, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { name, status: Status::Fail, found: found.into(), hint: Some(hint.into()), need }
    }
}
