//! What alerts have in common: an incident is one cause, and is told once.
//!
//! An alert that begins to fire is
//!
//! 1. part of the open incident that is about its subject already, of several the newest: what follows from a pause, a step, a false reference. Nothing follows
//!    from what comes after it in the order of causes: a step is no part of a bound that has been too wide for days;
//! 2. or of one whose region's reference went wrong a moment ago: its nodes' models are being learnt anew;
//! 3. or of a group that three nodes of a region or more, whose alerts of the same rule come together, make or have made: one host, one switch;
//! 4. or of narrower ones of its rule that came just before it, whose cause it shows;
//! 5. or of what happened to most nodes of its region a moment ago, each by itself;
//! 6. or the first of a new one.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::interval::FEWEST;
use crate::{Key, Rule, Severity, Subject};

/// Alerts whose rule is met within so long of one another come together, ns.
const TOGETHER_NS: i64 = 60_000_000_000;
/// What a reference that went wrong does to its nodes' models shows within so long, ns; so does what led to an alert.
const AFTERMATH_NS: i64 = 120_000_000_000;
const FOLLOW: [Rule; 5] = [Rule::Pause, Rule::Claim, Rule::Drift, Rule::Offset, Rule::Bound];
/// What all do alike shows so long after the first of them at most, ns.
const WIDENS_NS: i64 = 600_000_000_000;

/// One cause, with all alerts that came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// The alert that tells why.
    pub cause: Key,
    /// When it was opened, ns since 1970.
    pub opened_ns: i64,
    /// When an alert last became part of it.
    pub joined_ns: i64,
    /// What it is about.
    pub subjects: BTreeSet<Subject>,
    /// The alerts of it that fire.
    pub alerts: BTreeSet<Key>,
    /// The highest that any of them had.
    pub severity: Severity,
    /// Several nodes of a region together.
    pub is_group: bool,
    /// It was told.
    pub is_told: bool,
}

/// All that are open, by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Incidents {
    pub(crate) open: BTreeMap<u64, Incident>,
    next: u64,
}

/// An alert that just began to fire.
pub(crate) struct Fired<'a> {
    pub(crate) key: &'a Key,
    pub(crate) since_ns: i64,
    pub(crate) severity: Severity,
    /// How many nodes its region has, where it is about a region.
    pub(crate) nodes: usize,
}

impl Incidents {
    /// The incident that `fired` becomes part of. `met` are all alerts that are pending, or began to fire just now.
    pub(crate) fn take(&mut self, at_ns: i64, fired: &Fired<'_>, met: &BTreeMap<Key, i64>) -> u64 {
        let key = fired.key;
        let together = together(fired, met);
        let known = self.about(fired);
        let known = known.or_else(|| self.in_aftermath(at_ns, key));
        let known = known.or_else(|| self.group_of(fired));
        let known = known.or_else(|| self.narrower(at_ns, fired));
        let known = known.or_else(|| self.happened_to_most(at_ns, fired));
        let number = known.unwrap_or_else(|| self.begin(at_ns, fired, together));
        if let Some(incident) = self.open.get_mut(&number) {
            incident.join(at_ns, fired);
        }
        number
    }

    /// Numbers those that are to come after this one.
    pub(crate) fn number_after(&mut self, number: u64) {
        self.next = self.next.max(number);
    }

    /// An alert is over; whether its incident is with it.
    pub(crate) fn leave(&mut self, number: u64, key: &Key) -> Option<Incident> {
        let incident = self.open.get_mut(&number)?;
        incident.alerts.remove(key);
        if incident.alerts.is_empty() { self.open.remove(&number) } else { None }
    }

    fn about(&self, fired: &Fired<'_>) -> Option<u64> {
        let is_it = |(_, incident): &(&u64, &Incident)| {
            incident.is_about(&fired.key.subject) && !incident.is_followed_by_another(fired)
        };
        self.open.iter().rev().find(is_it).map(|(number, _)| *number)
    }

    fn in_aftermath(&self, at_ns: i64, key: &Key) -> Option<u64> {
        let region = key.subject.region().filter(|_| FOLLOW.contains(&key.rule))?;
        self.find(|incident| {
            let is_reference = incident.cause.rule == Rule::Reference;
            let covers = incident.subjects.contains(&Subject::Fleet)
                || incident.subjects.contains(&Subject::Region(region.to_owned()));
            is_reference && covers && at_ns.saturating_sub(incident.opened_ns) <= AFTERMATH_NS
        })
    }

    fn group_of(&self, fired: &Fired<'_>) -> Option<u64> {
        fired.key.subject.node()?;
        self.find(|incident| {
            let is_same =
                incident.cause.rule == fired.key.rule && incident.cause.subject.region() == fired.key.subject.region();
            incident.is_group && is_same && fired.since_ns.saturating_sub(incident.joined_ns) <= TOGETHER_NS
        })
    }

    /// What shows to be of a whole region or fleet may have been told of one of them a moment ago.
    fn narrower(&self, at_ns: i64, fired: &Fired<'_>) -> Option<u64> {
        let is_within = |subject: &Subject| match &fired.key.subject {
            Subject::Fleet => true,
            Subject::Region(region) => subject.region() == Some(region),
            _ => false,
        };
        self.find(|incident| {
            let is_same = incident.cause.rule == fired.key.rule && is_within(&incident.cause.subject);
            is_same && at_ns.saturating_sub(incident.opened_ns) <= WIDENS_NS
        })
    }

    /// What most nodes of a region have in common after most of them were paused or set is no other cause.
    fn happened_to_most(&self, at_ns: i64, fired: &Fired<'_>) -> Option<u64> {
        let Subject::Region(region) = &fired.key.subject else { return None };
        let is_one = |incident: &Incident| {
            let is_event = matches!(incident.cause.rule, Rule::Pause | Rule::Step);
            is_event && incident.cause.subject.region() == Some(region) && at_ns - incident.joined_ns <= AFTERMATH_NS
        };
        let all = self.open.values().filter(|incident| FOLLOW.contains(&fired.key.rule) && is_one(incident));
        let nodes: BTreeSet<&Subject> =
            all.flat_map(|incident| &incident.subjects).filter(|subject| subject.node().is_some()).collect();
        if 2 * nodes.len() > fired.nodes { self.find(is_one) } else { None }
    }

    fn find(&self, is_it: impl Fn(&Incident) -> bool) -> Option<u64> {
        self.open.iter().find(|(_, incident)| is_it(incident)).map(|(number, _)| *number)
    }

    fn begin(&mut self, at_ns: i64, fired: &Fired<'_>, together: BTreeSet<Subject>) -> u64 {
        let is_group = together.len() >= FEWEST;
        let subjects = if is_group { together } else { BTreeSet::from([fired.key.subject.clone()]) };
        let incident = Incident {
            cause: fired.key.clone(),
            opened_ns: at_ns,
            joined_ns: at_ns,
            subjects,
            alerts: BTreeSet::new(),
            severity: fired.severity,
            is_group,
            is_told: false,
        };
        self.next += 1;
        self.open.insert(self.next, incident);
        self.next
    }
}

/// The place of a rule among causes. Those of one place are sides of the same thing, which show in any order: words that cannot be true together, a clock that is
/// badly steered, one that nothing is known of.
fn place(rule: Rule) -> u8 {
    match rule {
        Rule::Reference | Rule::Regions => 0,
        Rule::Pause => 1,
        Rule::Step => 2,
        Rule::Causality => 3,
        Rule::Claim | Rule::Frequency | Rule::Drift | Rule::Offset => 4,
        Rule::Bound | Rule::Silence => 5,
    }
}

/// Nodes of the same region whose alerts of the same rule come together with this one.
fn together(fired: &Fired<'_>, met: &BTreeMap<Key, i64>) -> BTreeSet<Subject> {
    let Key { rule, subject } = fired.key;
    if subject.node().is_none() {
        return BTreeSet::new();
    }
    let is_near = |since_ns: i64| since_ns.abs_diff(fired.since_ns) <= TOGETHER_NS.unsigned_abs();
    let is_one =
        |key: &Key| key.rule == *rule && key.subject.node().is_some() && key.subject.region() == subject.region();
    let others = met.iter().filter(|(key, since_ns)| is_one(key) && is_near(**since_ns));
    others.map(|(key, _)| key.subject.clone()).collect()
}

impl Incident {
    /// Two nodes that contradict one another are what is known of either; so are two regions, and what becomes known of one of them is of both.
    fn is_about(&self, subject: &Subject) -> bool {
        let has =
            |(region, node): &(String, String)| self.subjects.contains(&Subject::Node(region.clone(), node.clone()));
        let has_region = |region: &String| self.subjects.contains(&Subject::Region(region.clone()));
        let is_of_two = |region: &String| {
            self.subjects
                .iter()
                .any(|two| matches!(two, Subject::Regions(one, other) if [one, other].contains(&region)))
        };
        match subject {
            Subject::Nodes(one, other) => self.subjects.contains(subject) || has(one) || has(other),
            Subject::Regions(one, other) => self.subjects.contains(subject) || has_region(one) || has_region(other),
            Subject::Region(region) => self.subjects.contains(subject) || is_of_two(region),
            _ => self.subjects.contains(subject),
        }
    }

    /// Whether this is a cause of its own, as it comes after the aftermath and is none of what its cause may lead to.
    fn is_followed_by_another(&self, fired: &Fired<'_>) -> bool {
        let is_late = fired.since_ns.saturating_sub(self.opened_ns) > AFTERMATH_NS;
        is_late && place(fired.key.rule) < place(self.cause.rule)
    }

    /// As if all of it had been so much earlier.
    pub(crate) fn set_back(&mut self, by_ns: u64) {
        self.opened_ns = self.opened_ns.saturating_sub_unsigned(by_ns);
        self.joined_ns = self.joined_ns.saturating_sub_unsigned(by_ns);
    }

    fn join(&mut self, at_ns: i64, fired: &Fired<'_>) {
        self.joined_ns = at_ns;
        self.subjects.insert(fired.key.subject.clone());
        self.alerts.insert(fired.key.clone());
        self.severity = self.severity.max(fired.severity);
        // What comes at once and is a cause of the other tells why.
        let is_wider = matches!(fired.key.subject, Subject::Fleet | Subject::Region(_));
        let is_wider = is_wider && self.cause.subject.node().is_some() && self.cause.rule == fired.key.rule;
        if self.opened_ns == at_ns && *fired.key < self.cause || is_wider {
            self.cause = fired.key.clone();
        }
    }
}
