//! What holds for a process, and changes of that.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::governor::Budget;
use crate::kinds::{CaptureKind, Kinds};
use crate::units;

/// What holds for a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// It is observed at all.
    pub observe: bool,
    /// Waits at least this long become events; shorter ones are summed up.
    pub threshold: Duration,
    /// Waits that are older, and than `threshold`, are told of before they end; zero = none.
    pub open_after: Duration,
    /// What is captured of it.
    pub kinds: Kinds,
    /// What that may cost it.
    pub budget: Budget,
}

impl Settings {
    /// The kinds that have a probe for this process: none if it is left out.
    #[must_use]
    pub fn needs(&self) -> Kinds {
        if self.observe { self.kinds } else { Kinds::NONE }
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.observe {
            return f.write_str("left out");
        }
        let Self { threshold, open_after, kinds, budget, .. } = self;
        let (threshold, open_after) = (units::duration_text(*threshold), units::duration_text(*open_after));
        write!(f, "threshold={threshold} open_after={open_after} budget={budget}")?;
        for (word, kinds) in [("without", kinds.left_out()), ("with", kinds.added())] {
            let names: Vec<&str> = kinds.into_iter().map(CaptureKind::name).collect();
            if !names.is_empty() {
                write!(f, " {word}={}", names.join(","))?;
            }
        }
        Ok(())
    }
}

/// What a rule says; the rest stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    observe: Option<bool>,
    threshold: Option<Duration>,
    open_after: Option<Duration>,
    budget: Option<Budget>,
    /// Kinds that are captured, and kinds that are not: none is in both.
    with: Kinds,
    without: Kinds,
}

impl Default for Change {
    /// That of nothing.
    fn default() -> Self {
        Self { observe: None, threshold: None, open_after: None, budget: None, with: Kinds::NONE, without: Kinds::NONE }
    }
}

/// A change that is none.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChangeError {
    /// Left out and captured.
    #[error("{0} is in both `with` and `without`: leave it in one of them")]
    Both(&'static str),
}

impl Change {
    /// The change of these settings; kinds that are in neither list stay as they are.
    ///
    /// # Errors
    /// If a kind is in both lists.
    pub fn new(
        observe: Option<bool>,
        threshold: Option<Duration>,
        open_after: Option<Duration>,
        (without, with): (&[CaptureKind], &[CaptureKind]),
    ) -> Result<Self, ChangeError> {
        if let Some(both) = without.iter().find(|kind| with.contains(kind)) {
            return Err(ChangeError::Both(both.name()));
        }
        let (with, without) = (Kinds::of(with), Kinds::of(without));
        Ok(Self { observe, threshold, open_after, budget: None, with, without })
    }

    /// The change with a change of the budget, if there is one.
    #[must_use]
    pub fn with_budget(self, budget: Option<Budget>) -> Self {
        Self { budget, ..self }
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The settings with this change made.
    #[must_use]
    pub fn over(&self, settings: Settings) -> Settings {
        Settings {
            observe: self.observe.unwrap_or(settings.observe),
            threshold: self.threshold.unwrap_or(settings.threshold),
            open_after: self.open_after.unwrap_or(settings.open_after),
            budget: self.budget.unwrap_or(settings.budget),
            kinds: settings.kinds.minus(self.without).and(self.with),
        }
    }

    /// What a file says for all, where this was typed: that goes before. A list that was typed takes the place of the file's.
    #[must_use]
    pub fn under(&self, typed: &Self) -> Self {
        let without = if typed.without == Kinds::NONE { self.without } else { Kinds::NONE };
        Self { without, ..*self }.then(typed)
    }

    /// This change with a later one, which goes before, put into it.
    #[must_use]
    pub fn then(&self, later: &Self) -> Self {
        Self {
            observe: later.observe.or(self.observe),
            threshold: later.threshold.or(self.threshold),
            open_after: later.open_after.or(self.open_after),
            budget: later.budget.or(self.budget),
            with: self.with.minus(later.without).and(later.with),
            without: self.without.minus(later.with).and(later.without),
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let duration = |name, value: Option<Duration>| Some(format!("{name}={}", units::duration_text(value?)));
        let kinds = |name, kinds: Kinds| {
            let names: Vec<&str> = kinds.list().into_iter().map(CaptureKind::name).collect();
            (!names.is_empty()).then(|| format!("{name}={}", names.join(",")))
        };
        let parts = [
            self.observe.map(|observe| format!("observe={observe}")),
            duration("threshold", self.threshold),
            duration("open_after", self.open_after),
            self.budget.map(|budget| format!("budget={budget}")),
            kinds("without", self.without),
            kinds("with", self.with),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        f.write_str(&parts.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Settings = Settings {
        observe: true,
        threshold: Duration::from_millis(1),
        open_after: Duration::from_secs(5),
        kinds: Kinds::USUAL,
        budget: Budget::DEFAULT,
    };

    #[test]
    fn a_change_changes_what_it_names() {
        let (slow, without) = (Some(Duration::from_millis(5)), [CaptureKind::Cgo]);
        let first = Change::new(None, slow, None, (&without, &[])).unwrap();
        assert_eq!(first.over(ALL), Settings { threshold: slow.unwrap(), kinds: Kinds::without(&without), ..ALL });
        let later = Change::new(Some(false), None, None, (&[CaptureKind::OffCpu], &without)).unwrap();
        let both = first.then(&later);
        assert_eq!(both.to_string(), "observe=false threshold=5ms without=off-cpu with=cgo");
        let budget = "2%".parse().ok();
        assert_eq!(first.with_budget(budget).over(ALL).budget, budget.unwrap());
        assert_eq!(
            first.with_budget(budget).then(&later).to_string(),
            "observe=false threshold=5ms budget=2% without=off-cpu with=cgo"
        );
        let settings = both.over(ALL);
        assert_eq!((settings.observe, settings.needs()), (false, Kinds::NONE));
        assert_eq!(settings.kinds, Kinds::without(&[CaptureKind::OffCpu]));
    }

    #[test]
    fn a_kind_is_not_left_out_and_captured_at_once() {
        let kinds = [CaptureKind::Syscall];
        let refused = Change::new(None, None, None, (&kinds, &kinds)).unwrap_err();
        assert!(refused.to_string().contains("syscall"));
        assert!(Change::new(None, None, None, (&[], &[])).unwrap().is_empty());
    }
}
