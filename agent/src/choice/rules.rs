//! The rules, in their order.

use super::selector::{Selector, Subject};
use super::settings::{Change, Settings};

/// What holds for some processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// For whom.
    pub who: Selector,
    /// What.
    pub change: Change,
    /// Line of the file; None: it was set.
    pub line: Option<usize>,
}

/// Settings of one origin: for all, and over that the first rule that fits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layer {
    /// For all.
    pub all: Change,
    /// For some; the first one that fits wins.
    pub rules: Vec<Rule>,
}

impl Layer {
    fn first(&self, subject: &Subject<'_>) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.who.fits(subject))
    }
}

/// All settings beside the options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Of the file.
    pub file: Layer,
    /// What was set since the start.
    pub set: Layer,
}

impl Rules {
    /// What holds where no rule fits, with these options beneath.
    #[must_use]
    pub fn defaults(&self, options: Settings) -> Settings {
        self.set.all.over(self.file.all.over(options))
    }

    /// What holds for a process.
    #[must_use]
    pub fn settings_of(&self, subject: &Subject<'_>, options: Settings) -> Settings {
        let by_file = self.file.first(subject).map(|rule| rule.change).unwrap_or_default();
        let by_set = self.set.first(subject).map(|rule| rule.change).unwrap_or_default();
        by_set.over(by_file.over(self.defaults(options)))
    }

    /// Whether a rule asks for what has to be read of each process.
    #[must_use]
    pub fn need_names(&self) -> bool {
        [&self.file, &self.set].into_iter().flat_map(|layer| &layer.rules).any(|rule| rule.who.needs_names())
    }

    /// Sets this for some, or all if nobody in particular is named. What was set for just those before, and is not named now, stays.
    /// A rule that was set goes before those that were set earlier.
    pub fn set(&mut self, who: Selector, change: &Change) {
        if who.is_empty() {
            self.set.all = self.set.all.then(change);
            return;
        }
        let same = self.set.rules.iter().position(|rule| rule.who == who);
        let before = same.map(|at| self.set.rules.remove(at).change).unwrap_or_default();
        self.set.rules.insert(0, Rule { who, change: before.then(change), line: None });
    }

    /// Forgets what was set.
    pub fn reset(&mut self) {
        self.set = Layer::default();
    }

    /// Forgets what was set for single processes that are gone.
    pub fn forget_gone(&mut self, is_gone: impl Fn(super::ProcessId) -> bool) {
        self.set.rules.retain(|rule| !rule.who.process.is_some_and(&is_gone));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::choice::{Pattern, ProcessId};
    use crate::governor::Budget;
    use crate::kinds::{CaptureKind, Kinds};
    use crate::metadata::Metadata;

    const OPTIONS: Settings = Settings {
        observe: true,
        threshold: Duration::from_millis(1),
        open_after: Duration::from_secs(5),
        kinds: Kinds::USUAL,
        budget: Budget::DEFAULT,
    };

    fn service(name: &str) -> Selector {
        Selector { service: Some(Pattern::new(name).unwrap()), ..Selector::default() }
    }

    fn threshold(ms: u64) -> Change {
        Change::new(None, Some(Duration::from_millis(ms)), None, (&[], &[])).unwrap()
    }

    fn without(kind: CaptureKind) -> Change {
        Change::new(None, None, None, (&[kind], &[])).unwrap()
    }

    fn of(rules: &Rules, service: &str) -> Settings {
        let names = Metadata { service: service.to_owned(), ..Metadata::default() };
        let id = ProcessId { pid: 1, start_time: 1 };
        rules.settings_of(&Subject { id, exe: Path::new("/app"), names: Some(&names) }, OPTIONS)
    }

    fn ms(settings: Settings) -> u128 {
        settings.threshold.as_millis()
    }

    fn of_file() -> Rules {
        let rule = |who, change| Rule { who, change, line: Some(1) };
        let rules = vec![rule(service("a"), threshold(10)), rule(service("a*"), threshold(20))];
        Rules { file: Layer { all: threshold(2), rules }, set: Layer::default() }
    }

    #[test]
    fn the_first_rule_that_fits_wins_and_the_rest_is_as_for_all() {
        let rules = of_file();
        assert_eq!(["a", "ab", "b"].map(|name| ms(of(&rules, name))), [10, 20, 2]);
        assert_eq!(of(&rules, "a"), Settings { threshold: Duration::from_millis(10), ..OPTIONS });
        assert_eq!(of(&Rules::default(), "a"), OPTIONS);
        assert!(rules.need_names() && !Rules::default().need_names());
    }

    #[test]
    fn what_is_set_changes_what_it_names_and_is_forgotten_by_a_reset() {
        let mut rules = of_file();
        rules.set(service("a"), &without(CaptureKind::Cgo));
        let a = of(&rules, "a");
        assert!(ms(a) == 10 && a.kinds == Kinds::without(&[CaptureKind::Cgo]), "{a:?}");
        rules.set(service("a"), &threshold(7));
        assert!(ms(of(&rules, "a")) == 7 && !of(&rules, "a").kinds.has(CaptureKind::Cgo), "what was set before stays");
        assert_eq!(rules.set.rules.len(), 1);
        rules.set(service("*"), &threshold(8));
        assert_eq!(["a", "ab", "b"].map(|name| ms(of(&rules, name))), [8, 8, 8], "the latest goes before");
        rules.set(Selector::default(), &threshold(3));
        rules.reset();
        assert_eq!(rules, of_file());
    }

    #[test]
    fn what_is_set_for_all_is_under_the_rules() {
        let mut rules = of_file();
        rules.set(Selector::default(), &threshold(3));
        assert_eq!(["a", "b"].map(|name| ms(of(&rules, name))), [10, 3]);
        assert_eq!(ms(rules.defaults(OPTIONS)), 3);
    }

    #[test]
    fn a_rule_for_a_process_goes_with_it() {
        let mut rules = Rules::default();
        let process = |pid| Selector { process: Some(ProcessId { pid, start_time: 1 }), ..Selector::default() };
        rules.set(process(1), &threshold(3));
        rules.set(process(2), &threshold(3));
        rules.forget_gone(|process| process.pid == 1);
        assert_eq!(rules.set.rules.iter().map(|rule| rule.who.to_string()).collect::<Vec<_>>(), ["pid=2"]);
    }
}
