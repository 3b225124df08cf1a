//! What holds for a process, and changes of that.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::capture::{Kinds, OptionalKind};
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
    /// Which kinds of waits beside those of parked goroutines.
    pub kinds: Kinds,
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
        let Self { threshold, open_after, kinds, .. } = self;
        write!(f, "threshold={} open_after={}", units::duration_text(*threshold), units::duration_text(*open_after))?;
        let without: Vec<&str> = kinds.left_out().into_iter().map(OptionalKind::name).collect();
        if without.is_empty() { Ok(()) } else { write!(f, " without={}", without.join(",")) }
    }
}

/// What a rule says; the rest stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    observe: Option<bool>,
    threshold: Option<Duration>,
    open_after: Option<Duration>,
    syscall: Option<bool>,
    cgo: Option<bool>,
    off_cpu: Option<bool>,
    states: Option<bool>,
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
        (without, with): (&[OptionalKind], &[OptionalKind]),
    ) -> Result<Self, ChangeError> {
        let mut change = Self { observe, threshold, open_after, ..Self::default() };
        for kind in OptionalKind::ALL {
            *change.kind(kind) = match (without.contains(&kind), with.contains(&kind)) {
                (true, true) => return Err(ChangeError::Both(kind.name())),
                (true, false) => Some(false),
                (false, true) => Some(true),
                (false, false) => None,
            };
        }
        Ok(change)
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The settings with this change made.
    #[must_use]
    pub fn over(&self, settings: Settings) -> Settings {
        let kinds = settings.kinds;
        Settings {
            observe: self.observe.unwrap_or(settings.observe),
            threshold: self.threshold.unwrap_or(settings.threshold),
            open_after: self.open_after.unwrap_or(settings.open_after),
            kinds: Kinds {
                syscall: self.syscall.unwrap_or(kinds.syscall),
                cgo: self.cgo.unwrap_or(kinds.cgo),
                off_cpu: self.off_cpu.unwrap_or(kinds.off_cpu),
                states: self.states.unwrap_or(kinds.states),
            },
        }
    }

    /// This change with a later one, which goes before, put into it.
    #[must_use]
    pub fn then(&self, later: &Self) -> Self {
        Self {
            observe: later.observe.or(self.observe),
            threshold: later.threshold.or(self.threshold),
            open_after: later.open_after.or(self.open_after),
            syscall: later.syscall.or(self.syscall),
            cgo: later.cgo.or(self.cgo),
            off_cpu: later.off_cpu.or(self.off_cpu),
            states: later.states.or(self.states),
        }
    }

    fn kind(&mut self, kind: OptionalKind) -> &mut Option<bool> {
        match kind {
            OptionalKind::Syscall => &mut self.syscall,
            OptionalKind::Cgo => &mut self.cgo,
            OptionalKind::OffCpu => &mut self.off_cpu,
            OptionalKind::States => &mut self.states,
        }
    }

    fn kinds_that_are(mut self, is_on: bool) -> Vec<&'static str> {
        let are_so = OptionalKind::ALL.into_iter().filter(|kind| *self.kind(*kind) == Some(is_on));
        are_so.map(OptionalKind::name).collect()
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let duration = |name, value: Option<Duration>| Some(format!("{name}={}", units::duration_text(value?)));
        let kinds = |name, kinds: Vec<&str>| (!kinds.is_empty()).then(|| format!("{name}={}", kinds.join(",")));
        let parts = [
            self.observe.map(|observe| format!("observe={observe}")),
            duration("threshold", self.threshold),
            duration("open_after", self.open_after),
            kinds("without", self.kinds_that_are(false)),
            kinds("with", self.kinds_that_are(true)),
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
        kinds: Kinds::ALL,
    };

    #[test]
    fn a_change_changes_what_it_names() {
        let (slow, without) = (Some(Duration::from_millis(5)), [OptionalKind::Cgo]);
        let first = Change::new(None, slow, None, (&without, &[])).unwrap();
        assert_eq!(
            first.over(ALL),
            Settings { threshold: slow.unwrap(), kinds: Kinds { cgo: false, ..Kinds::ALL }, ..ALL }
        );
        let later = Change::new(Some(false), None, None, (&[OptionalKind::OffCpu], &without)).unwrap();
        let both = first.then(&later);
        assert_eq!(both.to_string(), "observe=false threshold=5ms without=off-cpu with=cgo");
        let settings = both.over(ALL);
        assert_eq!((settings.observe, settings.needs()), (false, Kinds::NONE));
        assert!(!settings.kinds.off_cpu && settings.kinds.cgo && settings.kinds.syscall);
    }

    #[test]
    fn a_kind_is_not_left_out_and_captured_at_once() {
        let kinds = [OptionalKind::Syscall];
        let refused = Change::new(None, None, None, (&kinds, &kinds)).unwrap_err();
        assert!(refused.to_string().contains("syscall"));
        assert!(Change::new(None, None, None, (&[], &[])).unwrap().is_empty());
    }
}
