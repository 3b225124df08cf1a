//! What was told of a day, held against its plan.

use syncline_alerts::{Notification, Rule, Subject, Transition};

use super::day::{Day, EVERY_NS, Word, at_ns, rounds};
use super::detectable;
use super::peer::{self, Sample};
use super::plan::{Fault, MS, NODES, Planted, REGIONS, SECOND, Whom, name, region};

/// A fault may be told so many rounds after it shows.
const ROUNDS: usize = 2;
/// What a step is told to be may be off by so much from what was planted, ns; the kernel slews meanwhile.
const SIZE_NS: u64 = MS.unsigned_abs();
/// And its instant by so much, ns: agents look each second or two.
const INSTANT_NS: u64 = 5 * SECOND.unsigned_abs();

/// One planted fault.
pub(super) struct Told {
    pub(super) planted: Planted,
    /// The first round in which the data show it.
    pub(super) detectable: Option<usize>,
    /// The round in which it was told, with the words.
    pub(super) told: Option<(usize, String)>,
    /// When the peer's alert began, if it did, true ns.
    pub(super) peer_ns: Option<i64>,
}

/// A day's result.
pub(super) struct Verdict {
    pub(super) seed: u64,
    pub(super) planted: Vec<Told>,
    /// Told of what nobody planted, or otherwise than it is, or again, or too soon.
    pub(super) wrong: Vec<(usize, String)>,
    pub(super) notifications: usize,
    /// Alerts of the peer on nodes that nothing was planted on.
    pub(super) peer_wrong: usize,
}

impl Told {
    pub(super) fn is_late(&self) -> bool {
        match (self.detectable, &self.told) {
            (Some(detectable), Some((told, _))) => *told > detectable + ROUNDS,
            _ => false,
        }
    }
}

impl Verdict {
    pub(super) fn of(day: &Day, words: &[Word]) -> Self {
        let of = |planted: &Planted| Told {
            detectable: detectable::first_round(day, planted),
            planted: planted.clone(),
            told: None,
            peer_ns: None,
        };
        let planted: Vec<Told> = day.plan.planted.iter().map(of).collect();
        let notified = words.len();
        let mut verdict =
            Self { seed: day.plan.seed, planted, wrong: Vec::new(), notifications: notified, peer_wrong: 0 };
        words.iter().for_each(|word| verdict.attribute(word));
        (0..NODES).for_each(|node| verdict.hear_peer(day, node));
        verdict
    }

    /// Each was told once, in time, and nothing else was.
    pub(super) fn is_met(&self) -> bool {
        let is_right = |told: &Told| told.told.is_some() && !told.is_late();
        self.planted.iter().all(is_right) && self.wrong.is_empty()
    }

    pub(super) fn alerted(&self) -> usize {
        self.planted.iter().filter(|told| told.told.is_some()).count()
    }

    pub(super) fn late(&self) -> usize {
        self.planted.iter().filter(|told| told.is_late()).count()
    }

    pub(super) fn peer_missed(&self) -> usize {
        self.planted.iter().filter(|told| told.peer_ns.is_none()).count()
    }

    /// A word is of the fault that it names right: what it is, with whom and when. What comes again, or before the data show it, is false.
    fn attribute(&mut self, word: &Word) {
        let (round, text) = (word.round, word.notification.text.clone());
        let wrong = match self.planted.iter_mut().find(|told| names(&told.planted, word)) {
            None => text,
            Some(told) if told.detectable.is_none_or(|detectable| round < detectable) => {
                format!("before it shows: {text}")
            }
            Some(told) if told.told.is_some() => format!("again: {text}"),
            Some(told) => {
                told.told = Some((round, text));
                return;
            }
        };
        self.wrong.push((round, wrong));
    }

    fn hear_peer(&mut self, day: &Day, node: usize) {
        let samples: Vec<Sample> = (0..rounds()).map(|round| Some(day.nodes[node][round].timex)).collect();
        for (from, _) in peer::alerts(&samples, EVERY_NS) {
            let at_ns = at_ns(from);
            let has = |whom: &Whom| match whom {
                Whom::Nodes(nodes) => nodes.contains(&node),
                Whom::Region(of) => *of == region(node),
                Whom::Fleet => true,
            };
            let of = self.planted.iter_mut().filter(|told| has(&told.planted.whom) && is_during(&told.planted, at_ns));
            // What is the node's own before what it has in common with others.
            match of.min_by_key(|told| matches!(told.planted.whom, Whom::Fleet | Whom::Region(_))) {
                Some(told) => told.peer_ns = Some(told.peer_ns.map_or(at_ns, |first| first.min(at_ns))),
                None => self.peer_wrong += 1,
            }
        }
    }
}

fn is_during(planted: &Planted, at_ns: i64) -> bool {
    (planted.at_ns..=planted.until_ns).contains(&at_ns)
}

/// Whether a word says what was planted: its rule, of a step also size and instant, during it, and of nobody else.
fn names(planted: &Planted, word: &Word) -> bool {
    let Notification { cause, subjects, .. } = &word.notification;
    let is_right = rules(planted.fault).contains(&cause.rule) && is_culprit(&planted.whom, &cause.subject);
    let is_step = match planted.fault {
        Fault::Step(size_ns) => word.cause.as_ref().is_some_and(|step| is_step(step, size_ns, planted.at_ns)),
        _ => true,
    };
    let are_all = subjects.iter().all(|subject| is_culprit(&planted.whom, subject) || is_part(&planted.whom, subject));
    is_right && is_step && are_all && is_during(planted, at_ns(word.round))
}

/// By which rules a fault may show first.
fn rules(fault: Fault) -> &'static [Rule] {
    match fault {
        Fault::Step(_) => &[Rule::Step],
        Fault::Unsteered(_) | Fault::Runaway(_) => &[Rule::Drift, Rule::Claim, Rule::Offset],
        Fault::Edge => &[Rule::Frequency],
        Fault::FalseSource(_) => &[Rule::Claim, Rule::Drift],
        // To an aggregator its clocks jump together.
        Fault::FalseStamps(_) => &[Rule::Pause, Rule::Causality],
        Fault::FalseReference(_) | Fault::FrozenReference(_) => &[Rule::Reference],
        Fault::PauseStorm => &[Rule::Pause],
        Fault::LeapSmear => &[Rule::Claim, Rule::Drift, Rule::Offset],
        Fault::Route => &[Rule::Bound],
    }
}

fn is_step(step: &Transition, size_ns: i64, at_ns: i64) -> bool {
    let is_near = |happened_ns: i64| happened_ns.abs_diff(at_ns) <= INSTANT_NS;
    step.worst.middle().abs_diff(size_ns) <= SIZE_NS && step.happened_ns.is_some_and(is_near)
}

/// Whether a subject is what a fault was planted in. Two nodes that contradict one another are, if one of them is.
fn is_culprit(whom: &Whom, subject: &Subject) -> bool {
    let is_one = |nodes: &[usize], node: &str| nodes.iter().any(|number| name(*number) == node);
    match (whom, subject) {
        (Whom::Nodes(nodes), Subject::Node(_, node)) => is_one(nodes, node),
        (Whom::Nodes(nodes), Subject::Nodes((_, one), (_, other))) => is_one(nodes, one) || is_one(nodes, other),
        (Whom::Region(number), Subject::Region(region)) => REGIONS[*number] == region,
        (Whom::Fleet, Subject::Fleet) => true,
        _ => false,
    }
}

/// What befalls a region befalls its nodes.
fn is_part(whom: &Whom, subject: &Subject) -> bool {
    match (whom, subject) {
        (Whom::Region(number), Subject::Node(region, _)) => REGIONS[*number] == region,
        (Whom::Fleet, Subject::Node(..) | Subject::Region(_)) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_alerts::{Against, Interval, Key, Kind, Severity, State};

    const AT_NS: i64 = 600 * SECOND;

    fn word(rule: Rule, subjects: &[usize], (size_ns, happened_ns): (i64, i64)) -> Word {
        let node = |number: &usize| Subject::Node(REGIONS[region(*number)].to_owned(), name(*number));
        let key = Key { rule, subject: node(&subjects[0]) };
        let worst = Interval::exactly(size_ns);
        let cause = Transition {
            key: key.clone(),
            from: Some(State::Pending),
            to: State::Firing,
            at_ns: AT_NS,
            since_ns: AT_NS,
            happened_ns: Some(happened_ns),
            value: worst,
            worst,
            against: Against::Utc,
            limit: 0,
            severity: Severity::Warning,
            incident: Some(1),
            is_silenced: false,
        };
        let notification = Notification {
            incident: 1,
            kind: Kind::Opened,
            at_ns: AT_NS,
            severity: Severity::Warning,
            cause: key.clone(),
            subjects: subjects.iter().map(node).collect(),
            alerts: vec![key],
            text: "told".to_owned(),
        };
        Word { round: (AT_NS / EVERY_NS) as usize + 1, notification, cause: Some(cause) }
    }

    fn verdict(detectable: Option<usize>) -> Verdict {
        let (fault, whom) = (Fault::Step(40 * MS), Whom::Nodes(vec![3]));
        let planted = Planted { fault, whom, at_ns: AT_NS, until_ns: AT_NS + 3_600 * SECOND };
        let planted = vec![Told { planted, detectable, told: None, peer_ns: None }];
        Verdict { seed: 1, planted, wrong: Vec::new(), notifications: 1, peer_wrong: 0 }
    }

    #[test]
    fn a_word_is_right_once_with_its_rule_size_instant_and_nobody_else() {
        let right = || word(Rule::Step, &[3], (40 * MS, AT_NS + SECOND));
        let shows = Some((AT_NS / EVERY_NS) as usize);
        let mut once = verdict(shows);
        once.attribute(&right());
        assert!(once.is_met());
        once.attribute(&right());
        assert!(!once.is_met() && once.wrong[0].1.starts_with("again"));
        let others = [
            word(Rule::Offset, &[3], (40 * MS, AT_NS)),
            word(Rule::Step, &[4], (40 * MS, AT_NS)),
            word(Rule::Step, &[3, 4], (40 * MS, AT_NS)),
            word(Rule::Step, &[3], (-40 * MS, AT_NS)),
            word(Rule::Step, &[3], (40 * MS, AT_NS - 20 * SECOND)),
        ];
        for other in others {
            let mut verdict = verdict(shows);
            verdict.attribute(&other);
            assert_eq!((verdict.alerted(), verdict.wrong.len()), (0, 1), "{:?}", other.notification);
        }
        for soon in [None, Some(10_000)] {
            let mut verdict = verdict(soon);
            verdict.attribute(&right());
            assert!(verdict.wrong[0].1.starts_with("before it shows"));
        }
    }
}
