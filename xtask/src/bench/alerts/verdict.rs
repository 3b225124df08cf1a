//! What was told of a day, held against its plan.

use syncline_alerts::{Notification, Subject};

use super::day::{Day, EVERY_NS, at_ns, rounds};
use super::detectable;
use super::peer::{self, Sample};
use super::plan::{NODES, Planted, REGIONS, Whom, name, region};

/// A fault may be told so many rounds after it shows.
const ROUNDS: usize = 2;

/// One planted fault.
pub(super) struct Told {
    pub(super) planted: Planted,
    /// The first round in which the data show it.
    pub(super) detectable: Option<usize>,
    /// Rounds in which it was told, with the words.
    pub(super) told: Vec<(usize, String)>,
    /// When the peer's alert began, if it did, true ns.
    pub(super) peer_ns: Option<i64>,
}

/// A day's result.
pub(super) struct Verdict {
    pub(super) seed: u64,
    pub(super) planted: Vec<Told>,
    /// Told of what nobody planted.
    pub(super) wrong: Vec<(usize, String)>,
    pub(super) notifications: usize,
    /// Alerts of the peer on nodes that nothing was planted on.
    pub(super) peer_wrong: usize,
}

impl Told {
    pub(super) fn is_late(&self) -> bool {
        match (self.detectable, self.told.first()) {
            (Some(detectable), Some((told, _))) => *told > detectable + ROUNDS,
            _ => false,
        }
    }
}

impl Verdict {
    pub(super) fn of(day: &Day, notifications: &[(usize, Notification)]) -> Self {
        let of = |planted: &Planted| Told {
            detectable: detectable::first_round(day, planted),
            planted: planted.clone(),
            told: Vec::new(),
            peer_ns: None,
        };
        let planted: Vec<Told> = day.plan.planted.iter().map(of).collect();
        let notified = notifications.len();
        let mut verdict =
            Self { seed: day.plan.seed, planted, wrong: Vec::new(), notifications: notified, peer_wrong: 0 };
        for (round, notification) in notifications {
            verdict.attribute(*round, notification);
        }
        (0..NODES).for_each(|node| verdict.hear_peer(day, node));
        verdict
    }

    /// Each was told once, in time, and nothing else was.
    pub(super) fn is_met(&self) -> bool {
        let is_right = |told: &Told| told.told.len() == 1 && told.detectable.is_some() && !told.is_late();
        self.planted.iter().all(is_right) && self.wrong.is_empty()
    }

    pub(super) fn alerted(&self) -> usize {
        self.planted.iter().filter(|told| !told.told.is_empty()).count()
    }

    pub(super) fn late(&self) -> usize {
        self.planted.iter().filter(|told| told.is_late()).count()
    }

    pub(super) fn peer_missed(&self) -> usize {
        self.planted.iter().filter(|told| told.peer_ns.is_none()).count()
    }

    /// A notification is of the fault that its subject has; of several of one subject there are none.
    fn attribute(&mut self, round: usize, notification: &Notification) {
        let subjects = notification.subjects.iter().chain([&notification.cause.subject]);
        let subjects: Vec<&Subject> = subjects.collect();
        let is_of = |told: &&mut Told| {
            is_during(&told.planted, at_ns(round)) && subjects.iter().any(|subject| is_of(&told.planted.whom, subject))
        };
        match self.planted.iter_mut().find(is_of) {
            Some(told) => told.told.push((round, notification.text.clone())),
            None => self.wrong.push((round, notification.text.clone())),
        }
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

fn is_of(whom: &Whom, subject: &Subject) -> bool {
    match (whom, subject) {
        (Whom::Nodes(nodes), Subject::Node(_, node)) => nodes.iter().any(|number| name(*number) == *node),
        (Whom::Nodes(nodes), Subject::Nodes((_, one), (_, other))) => {
            nodes.iter().map(|number| name(*number)).any(|name| name == *one || name == *other)
        }
        (Whom::Region(number), Subject::Region(region)) => REGIONS[*number] == region,
        (Whom::Fleet, Subject::Fleet) => true,
        _ => false,
    }
}
