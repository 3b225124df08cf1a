//! A rule as the file has it, and as it is asked for over the control socket.

use serde::{Deserialize, Serialize};
pub use syncline_config::DurationText;

use super::pattern::Pattern;
use super::selector::Selector;
use super::settings::{Change, ChangeError};
use crate::governor::Budget;
use crate::kinds::CaptureKind;

/// For whom, and what. What is absent says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleText {
    /// As [`Selector::service`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Pattern>,
    /// As [`Selector::exe`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<Pattern>,
    /// As [`Selector::container`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Pattern>,
    /// As [`Selector::pod`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<Pattern>,
    /// As [`Selector::namespace`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Pattern>,
    /// Whether it is observed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observe: Option<bool>,
    /// Shortest wait that becomes an event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<DurationText>,
    /// Age at which waits are told of before they end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_after: Option<DurationText>,
    /// What observing may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// Kinds to leave out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<CaptureKind>,
    /// Kinds to capture.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub with: Vec<CaptureKind>,
}

impl RuleText {
    /// For whom.
    #[must_use]
    pub fn selector(&self) -> Selector {
        let Self { service, exe, container, pod, namespace, .. } = self.clone();
        Selector { service, exe, container, pod, namespace, process: None }
    }

    /// What.
    ///
    /// # Errors
    /// If it contradicts itself.
    pub fn change(&self) -> Result<Change, ChangeError> {
        let duration = |text: Option<DurationText>| text.map(|DurationText(duration)| duration);
        let (threshold, open_after) = (duration(self.threshold), duration(self.open_after));
        let change = Change::new(self.observe, threshold, open_after, (&self.without, &self.with))?;
        Ok(change.with_budget(self.budget))
    }
}
