//! From rounds to what is to be told.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::alert::{Against, Alert, State, Transition};
use crate::common::Node;
use crate::conditions::{Before, Condition, Level, Waiting, conditions};
use crate::contradictions::other;
use crate::drifts::Drifts;
use crate::incident::{Fired, Incident, Incidents};
use crate::known::Known;
use crate::left_out::LeftOut;
use crate::memory::NodeMemory;
use crate::notification::{Kind, Notification};
use crate::round::{NodeSeen, RegionSeen, Round, Violation};
use crate::{Interval, Key, Policy, PolicyError, Rule, Severity, Silence, Subject, entries, text};

/// An offset so many times its limit is critical.
const FAR_OFF: u64 = 10;

/// A round that cannot be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RoundError {
    /// It is not after the one before.
    #[error(
        "the round at {at_ns} ns is not after the one before, at {before_ns} ns: rounds are evaluated in order, each once"
    )]
    NotAfter {
        /// When it is.
        at_ns: i64,
        /// When the one before was.
        before_ns: i64,
    },
}

/// All alerts of a fleet. The same rounds lead to the same alerts, on every machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Engine {
    at_ns: Option<i64>,
    #[serde(with = "entries")]
    nodes: BTreeMap<(String, String), NodeMemory>,
    #[serde(with = "entries")]
    alerts: BTreeMap<Key, Alert>,
    incidents: Incidents,
    /// Regions whose aggregator's claim of UTC is false, or was, with the rounds that claims of their nodes still say nothing for.
    doubted: BTreeMap<String, u32>,
    /// Violations, with the rounds that are left to them: messages of a minute are checked twice, and not in each round.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    violations: Vec<(u32, Violation)>,
    /// What is beyond its limit and explained by what is about to be told.
    #[serde(with = "entries")]
    waiting: Waiting,
    /// By what alerts are evaluated. It is given anew after a restart.
    #[serde(skip)]
    policy: Policy,
}

/// What a round brought.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Alerts that have another state, in the order of their keys.
    pub transitions: Vec<Transition>,
    /// What is to be told of incidents, each once.
    pub notifications: Vec<Notification>,
}

impl Engine {
    /// One that has seen nothing.
    ///
    /// # Errors
    /// The policy makes no sense.
    pub fn new(policy: Policy) -> Result<Self, PolicyError> {
        let (nodes, alerts, incidents) = (BTreeMap::new(), BTreeMap::new(), Incidents::default());
        let (doubted, violations, waiting) = (BTreeMap::new(), Vec::new(), Waiting::new());
        Ok(Self { at_ns: None, nodes, alerts, incidents, doubted, violations, waiting, policy: policy.checked()? })
    }

    /// The same with another policy, as after a restart.
    ///
    /// # Errors
    /// It makes no sense.
    pub fn with(self, policy: Policy) -> Result<Self, PolicyError> {
        Ok(Self { policy: policy.checked()?, ..self })
    }

    /// Evaluates a round, with the silences that are declared now.
    ///
    /// # Errors
    /// It is not after the one before. Nothing has changed then.
    pub fn evaluate(&mut self, round: &Round, silences: &[Silence]) -> Result<Outcome, RoundError> {
        let at_ns = round.at_ns;
        if let Some(before_ns) = self.at_ns.filter(|before_ns| at_ns <= *before_ns) {
            return Err(RoundError::NotAfter { at_ns, before_ns });
        }
        let before_ns = self.at_ns.replace(at_ns).unwrap_or(at_ns);
        let policy = self.policy.clone();
        let left_out = LeftOut::of(&policy, silences, at_ns);
        let nodes = self.read(round, left_out);
        self.keep_violations(&round.violations);
        let (conditions, waiting) = self.hold(&nodes, round, (&policy, left_out));
        self.waiting = waiting;
        let known = Known::of(&nodes, round, self.doubted.keys().cloned().collect(), left_out);
        let drifts = Drifts::of(&nodes);
        let mut outcome = Outcome::default();
        let changed = self.advance((before_ns, at_ns), &conditions, &known, silences);
        self.sort_out(at_ns, &changed, (silences, &drifts), &mut outcome);
        self.tell(at_ns, (silences, &drifts), &mut outcome);
        self.forget(at_ns, &drifts, &mut outcome);
        Ok(outcome)
    }

    /// Moves all that is remembered back by so much, as the clock that rounds are by was: it goes on with rounds from there.
    pub fn set_back(&mut self, by_ns: u64) {
        self.at_ns = self.at_ns.map(|at_ns| at_ns.saturating_sub_unsigned(by_ns));
        self.nodes.values_mut().for_each(|memory| memory.set_back(by_ns));
        self.alerts.values_mut().for_each(|alert| alert.set_back(by_ns));
        self.incidents.open.values_mut().for_each(|incident| incident.set_back(by_ns));
        self.waiting.values_mut().for_each(|since_ns| *since_ns = since_ns.saturating_sub_unsigned(by_ns));
    }

    /// The same, whose incidents are numbered after `incident`: where others are remembered that this engine does not know.
    #[must_use]
    pub fn numbered_after(mut self, incident: u64) -> Self {
        self.incidents.number_after(incident);
        self
    }

    /// Alerts that are pending or firing.
    pub fn alerts(&self) -> impl Iterator<Item = (&Key, &Alert)> {
        self.alerts.iter()
    }

    /// Incidents that are open, by number.
    pub fn incidents(&self) -> impl Iterator<Item = (u64, &Incident)> {
        self.incidents.open.iter().map(|(number, incident)| (*number, incident))
    }

    /// When the newest round was, ns since 1970.
    pub fn at_ns(&self) -> Option<i64> {
        self.at_ns
    }

    /// Which rules are met, and what is waited for.
    fn hold(
        &self,
        nodes: &[Node<'_>],
        round: &Round,
        (policy, left_out): (&Policy, LeftOut<'_>),
    ) -> (BTreeMap<Key, Condition>, Waiting) {
        let violations: Vec<&Violation> = self.violations.iter().map(|(_, violation)| violation).collect();
        let fires = |key: &Key| self.alerts.get(key).is_some_and(|alert| alert.state == State::Firing);
        let before = Before { policy, left_out, waiting: &self.waiting, fires: &fires };
        conditions(nodes, (round, &violations), before)
    }

    fn read<'a>(&mut self, round: &'a Round, left_out: LeftOut<'_>) -> Vec<Node<'a>> {
        let utc = round.regions.iter().filter_map(|seen| Some(((seen.region.as_str(), seen.run), seen.utc_ns?)));
        let utc: BTreeMap<(&str, u64), Interval> = utc.collect();
        let forget_ns = self.policy.forget_ns;
        let there: Vec<&NodeSeen> = round.nodes.iter().filter(|seen| seen.silent_ns <= forget_ns).collect();
        // What is worked on makes no other wrong.
        let counts = |seen: &&&NodeSeen| !left_out.is_node(Rule::Offset, &seen.region, &seen.node, &[]);
        // Aggregators of one region have references of their own, which may be far from one another.
        let of_peers = there.iter().filter(counts);
        let peers = commons(of_peers.map(|seen| ((seen.region.as_str(), seen.run), seen.skew_ns)));
        let offset = |seen: &NodeSeen| {
            let region = seen.region.as_str();
            let skew = seen.skew_ns?;
            // REF - UTC where that is known, or else what most wall clocks that are measured against this REF say.
            let utc = utc.get(&(region, seen.run));
            let by_utc = utc.map(|utc| (skew.plus(*utc), Against::Utc));
            by_utc.or_else(|| peers.get(&(region, seen.run)).map(|wall| (skew.minus(*wall), Against::Region)))
        };
        let offsets: Vec<Option<(Interval, Against)>> = there.iter().copied().map(offset).collect();
        let of_all = there.iter().zip(&offsets).filter(|(seen, _)| counts(seen));
        let common =
            commons(of_all.map(|(seen, offset)| (seen.region.as_str(), offset.map(|(offset_ns, _)| offset_ns))));
        self.doubt(round);
        let mut nodes = Vec::with_capacity(there.len());
        for (seen, offset) in there.into_iter().zip(offsets) {
            let memory = self.nodes.entry((seen.region.clone(), seen.node.clone())).or_default();
            let common_ns = common.get(seen.region.as_str()).map_or(0, |common| common.middle());
            let is_doubted = self.doubted.contains_key(&seen.region);
            nodes.push((seen, memory.take(round.at_ns, seen, (offset, common_ns), (is_doubted, &self.policy))));
        }
        nodes
    }

    /// One message that was received before it was sent proves a bound wrong: what was seen in a round holds for as many as a rule has to be met in.
    fn keep_violations(&mut self, new: &[Violation]) {
        self.violations.iter_mut().for_each(|(left, _)| *left = left.saturating_sub(1));
        let is_new = |old: &Violation| new.iter().any(|new| (&new.from, &new.to) == (&old.from, &old.to));
        self.violations.retain(|(left, old)| *left > 0 && !is_new(old));
        self.violations.extend(new.iter().map(|new| (self.policy.rounds, new.clone())));
    }

    /// What nodes claimed while their region's claim was false comes for some rounds more. A region that nothing is said of is as it was, while there
    /// are nodes of it.
    fn doubt(&mut self, round: &Round) {
        let is_seen = |region: &str| round.regions.iter().any(|seen| seen.region == region);
        let is_there = |region: &str| round.nodes.iter().any(|seen| seen.region == region);
        self.doubted.retain(|region, left| {
            *left = left.saturating_sub(u32::from(is_seen(region)));
            *left > 0 && (is_seen(region) || is_there(region))
        });
        for seen in &round.regions {
            if self.is_false(seen) {
                self.doubted.insert(seen.region.clone(), self.policy.rounds + 1);
                let others = other(&seen.region, &round.regions).filter(|_| seen.is_doubted);
                self.doubted.extend(others.map(|other| (other.to_owned(), self.policy.rounds + 1)));
            }
        }
    }

    /// What is proved to be false says nothing of what is held against it, by however little it is; what is only likely to be, where it is so by what is
    /// told.
    fn is_false(&self, seen: &RegionSeen) -> bool {
        let key = Key { rule: Rule::Reference, subject: Subject::Region(seen.region.clone()) };
        let least =
            if seen.is_doubted { self.policy.limit(&key).map(|limit| self.policy.clear(limit)) } else { Some(0) };
        seen.false_by_ns.zip(least).is_some_and(|(by_ns, least)| by_ns > least)
    }

    /// All alerts by a round; those that have another state, with the one before.
    fn advance(
        &mut self,
        (before_ns, at_ns): (i64, i64),
        conditions: &BTreeMap<Key, Condition>,
        known: &Known<'_>,
        silences: &[Silence],
    ) -> Vec<(Key, Option<State>, State)> {
        let mut changed = Vec::new();
        let begun = conditions.iter().filter(|(_, condition)| condition.level == Level::Breaks);
        let begun: Vec<_> = begun.filter(|(key, _)| !self.alerts.contains_key(key)).collect();
        let mut new = BTreeSet::new();
        for (key, condition) in begun {
            self.alerts.insert(key.clone(), Alert::new(at_ns, condition));
            new.insert(key.clone());
        }
        for (key, alert) in &mut self.alerts {
            let is_new = new.contains(key);
            let before = (!is_new).then_some(alert.state);
            if key.rule.is_event() && conditions.contains_key(key) {
                let begun = is_new.then_some((before_ns, at_ns));
                alert.note_happened(known.happened(key), begun, |span| {
                    silences.iter().any(|silence| silence.touches(key, span))
                });
            }
            let is_known = known.has(key, alert);
            let after = alert.take(at_ns, conditions.get(key), is_known, &self.policy);
            if before != Some(after) {
                changed.push((key.clone(), before, after));
            }
        }
        changed
    }

    /// Gives those that began to fire their incidents, and lets go those that are over.
    fn sort_out(
        &mut self,
        at_ns: i64,
        changed: &[(Key, Option<State>, State)],
        (silences, drifts): (&[Silence], &Drifts<'_>),
        outcome: &mut Outcome,
    ) {
        let is_new = |alert: &Alert| alert.state == State::Pending || alert.fired_ns == Some(at_ns);
        let met = self.alerts.iter().filter(|(_, alert)| is_new(alert));
        let met: BTreeMap<Key, i64> = met.map(|(key, alert)| (key.clone(), alert.since_ns)).collect();
        for (key, from, to) in changed {
            let Some(alert) = self.alerts.get_mut(key) else { continue };
            let severity = severity(key, alert);
            let is_silenced = if key.rule.is_event() {
                alert.was_silenced
            } else {
                silences.iter().any(|silence| silence.covers(key, at_ns))
            };
            if *to == State::Firing {
                alert.was_silenced = is_silenced;
                let nodes = match &key.subject {
                    Subject::Region(of) => self.nodes.keys().filter(|(region, _)| region == of).count(),
                    _ => 0,
                };
                let fired = Fired { key, since_ns: alert.since_ns, severity, nodes };
                alert.incident = Some(self.incidents.take(at_ns, &fired, &met));
            }
            let incident = alert.incident;
            let transition = alert.transition(key.clone(), (*from, *to), at_ns, (severity, is_silenced));
            outcome.transitions.push(transition);
            if *to == State::Resolved {
                self.alerts.remove(key);
                self.leave(at_ns, incident, key, drifts, outcome);
            }
        }
    }

    fn leave(&mut self, at_ns: i64, number: Option<u64>, key: &Key, drifts: &Drifts<'_>, outcome: &mut Outcome) {
        let Some(number) = number else { return };
        if let Some(incident) = self.incidents.leave(number, key).filter(|incident| incident.is_told) {
            outcome.notifications.push(Notification::of(
                number,
                &incident,
                Kind::Resolved,
                at_ns,
                text::of(&incident, &self.alerts, drifts),
            ));
        }
    }

    /// Tells of incidents that were not, unless all that is in them is silenced. What happened under a silence is not told after it; what still
    /// is so then, is.
    fn tell(&mut self, at_ns: i64, (silences, drifts): (&[Silence], &Drifts<'_>), outcome: &mut Outcome) {
        for (number, incident) in self.incidents.open.iter_mut().filter(|(_, incident)| !incident.is_told) {
            let is_quiet = |key: &Key| {
                let Some(alert) = self.alerts.get(key).filter(|alert| alert.is_met()) else { return true };
                if key.rule.is_event() {
                    alert.was_silenced
                } else {
                    silences.iter().any(|silence| silence.covers(key, at_ns))
                }
            };
            if !incident.alerts.iter().all(is_quiet) {
                incident.is_told = true;
                let text = text::of(incident, &self.alerts, drifts);
                outcome.notifications.push(Notification::of(*number, incident, Kind::Opened, at_ns, text));
            }
        }
    }

    /// Nodes that are gone, and their alerts with them, and what nothing has been known of for as long: nothing will ever end those.
    fn forget(&mut self, at_ns: i64, drifts: &Drifts<'_>, outcome: &mut Outcome) {
        let forget_ns = i64::try_from(self.policy.forget_ns).unwrap_or(i64::MAX);
        let is_long_ago = |then_ns: i64| at_ns.saturating_sub(then_ns) > forget_ns;
        self.nodes.retain(|_, memory| !is_long_ago(memory.seen_ns));
        let nodes = &self.nodes;
        let is_gone = |(key, alert): &(&Key, &Alert)| match &key.subject {
            Subject::Node(region, node) => !nodes.contains_key(&(region.clone(), node.clone())),
            _ => alert.unknown_ns.is_some_and(is_long_ago),
        };
        let gone: Vec<Key> = self.alerts.iter().filter(is_gone).map(|(key, _)| key.clone()).collect();
        for key in gone {
            let Some(alert) = self.alerts.remove(&key) else { continue };
            let states = (Some(alert.state), State::Resolved);
            let transition = alert.transition(key.clone(), states, at_ns, (severity(&key, &alert), false));
            outcome.transitions.push(transition);
            self.leave(at_ns, alert.incident, &key, drifts, outcome);
        }
    }
}

/// What most nodes of each region agree on.
fn commons<K: Ord>(values: impl Iterator<Item = (K, Option<Interval>)>) -> BTreeMap<K, Interval> {
    let mut by_key: BTreeMap<K, Vec<Interval>> = BTreeMap::new();
    for (key, value) in values {
        by_key.entry(key).or_default().extend(value);
    }
    by_key.into_iter().filter_map(|(key, all)| Some((key, Interval::common(all.into_iter())?))).collect()
}

fn severity(key: &Key, alert: &Alert) -> Severity {
    let is_far = || alert.worst.is_beyond(alert.limit.saturating_mul(FAR_OFF));
    match key.rule {
        Rule::Reference | Rule::Causality => Severity::Critical,
        Rule::Offset if is_far() => Severity::Critical,
        Rule::Regions if alert.against == Against::OtherRegions && is_far() => Severity::Critical,
        _ => Severity::Warning,
    }
}
