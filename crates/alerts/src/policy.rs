//! Limits, and who has others. The defaults want no tuning: each follows from what kernels, daemons and networks do.

use serde::{Deserialize, Serialize};

use crate::{Key, Matcher, Rule, Subject};

/// When an alert is raised, and when it ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest offset of a wall clock from UTC, ns. Default 50 ms: what `NodeClockSkewDetected` of node-mixin has, so that nobody has to
    /// learn another number; here the whole interval must be beyond it.
    pub offset_ns: u64,
    /// Fastest drift of a wall clock away from UTC, ppb, over [`Policy::drift_window_ns`]. Default 5 ppm: 3 ms in ten minutes, more
    /// than a daemon that works lets its clock wander, and a quarter of what a crystal does that nobody steers.
    pub drift_ppb: u64,
    /// Largest step of a wall clock, ns. Default 10 ms: the kernel slews by 7.5 ms at most in a round of 15 s, so that it is no daemon's
    /// work that it does all day.
    pub step_ns: u64,
    /// Longest pause of a machine, or jump of its clocks, ns. Default 10 ms, as of a step: the wall clock is off by as much.
    pub pause_ns: u64,
    /// Largest jump of a region's reference, and how much its claim of UTC is false by at least, ns, before it matters. Default 10 ms, as of a
    /// pause.
    pub reference_ns: u64,
    /// Widest half of a bound, ns. Default 25 ms, half of the offset's limit: with a wider one an offset must be half as large again as its
    /// limit before anything can tell.
    pub bound_ns: u64,
    /// Longest silence of a node, ns. Default 120 s: an agent is started again in seconds, and a probe comes each 8 s at least.
    pub silence_ns: u64,
    /// Largest frequency error of an oscillator, ppb. Default 400 ppm of the 500 that the kernel can steer against (MAXFREQ): the
    /// rest is what offsets are worked off with.
    pub frequency_ppb: u64,
    /// How much a false claim is false by at least, ns, before it matters. Default 0: it is proved by intervals already.
    pub claim_ns: u64,
    /// How much a false word of a region's is false by at least, ns. Default 0.
    pub regions_ns: u64,
    /// How much clocks contradict messages by at least, ns. Default 0: it is a proof.
    pub causality_ns: u64,
    /// Rules that are not evaluated.
    pub off: Vec<Rule>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            offset_ns: 50_000_000,
            drift_ppb: 5_000,
            step_ns: 10_000_000,
            pause_ns: 10_000_000,
            reference_ns: 10_000_000,
            bound_ns: 25_000_000,
            silence_ns: 120_000_000_000,
            frequency_ppb: 400_000,
            claim_ns: 0,
            regions_ns: 0,
            causality_ns: 0,
            off: Vec::new(),
        }
    }
}

impl Limits {
    /// Another limit for a rule, in its unit.
    pub fn set(&mut self, rule: Rule, limit: u64) {
        let field = match rule {
            Rule::Offset => &mut self.offset_ns,
            Rule::Drift => &mut self.drift_ppb,
            Rule::Step => &mut self.step_ns,
            Rule::Pause => &mut self.pause_ns,
            Rule::Reference => &mut self.reference_ns,
            Rule::Bound => &mut self.bound_ns,
            Rule::Silence => &mut self.silence_ns,
            Rule::Frequency => &mut self.frequency_ppb,
            Rule::Claim => &mut self.claim_ns,
            Rule::Regions => &mut self.regions_ns,
            Rule::Causality => &mut self.causality_ns,
        };
        *field = limit;
    }

    /// The limit of a rule, in its unit; none where it is not evaluated.
    pub fn of(&self, rule: Rule) -> Option<u64> {
        let limit = match rule {
            Rule::Offset => self.offset_ns,
            Rule::Drift => self.drift_ppb,
            Rule::Step => self.step_ns,
            Rule::Pause => self.pause_ns,
            Rule::Reference => self.reference_ns,
            Rule::Bound => self.bound_ns,
            Rule::Silence => self.silence_ns,
            Rule::Frequency => self.frequency_ppb,
            Rule::Claim => self.claim_ns,
            Rule::Regions => self.regions_ns,
            Rule::Causality => self.causality_ns,
        };
        (!self.off.contains(&rule)).then_some(limit)
    }
}

/// Another limit for some.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Whose alerts, and of which rules.
    pub when: Matcher,
    /// The limit of the rules that the matcher names, in their unit; none turns them off.
    pub limit: Option<u64>,
}

/// All that alerts are evaluated by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Limits of all.
    pub limits: Limits,
    /// Who has others; of several that pick an alert the last one counts.
    pub overrides: Vec<Override>,
    /// What must hold in so many rounds on end before it is told. Default 2: what nodes of one cause tell arrives within a round and the
    /// next, so that the cause is seen before its first victim is told of.
    pub rounds: u32,
    /// An alert holds on until its value is below so much of its limit, per mille. Default 800.
    pub clear_permille: u32,
    /// It ends once that has lasted, or nothing has happened any more, for so long, ns. Default 10 min, about ten polls of a daemon.
    pub quiet_ns: u64,
    /// The time that drift is measured over, ns. Default 10 min: in less a daemon's corrections look like drift.
    pub drift_window_ns: u64,
    /// A node that has said nothing for so long is gone, and its alerts with it, ns. Default a day.
    pub forget_ns: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            overrides: Vec::new(),
            rounds: 2,
            clear_permille: 800,
            quiet_ns: 600_000_000_000,
            drift_window_ns: 600_000_000_000,
            forget_ns: 86_400_000_000_000,
        }
    }
}

impl Policy {
    /// The limit of one alert; none where it is not evaluated. Of two nodes, or regions, the wider one counts: who is allowed more makes the other look
    /// wrong, too.
    pub(crate) fn limit(&self, key: &Key) -> Option<u64> {
        let rule = key.rule;
        let of = |subject| self.limit_of_one(&Key { rule, subject });
        let wider = |one, other| Some(u64::max(of(one)?, of(other)?));
        match key.subject.clone() {
            Subject::Nodes(one, other) => wider(Subject::Node(one.0, one.1), Subject::Node(other.0, other.1)),
            Subject::Regions(one, other) => wider(Subject::Region(one), Subject::Region(other)),
            one => of(one),
        }
    }

    fn limit_of_one(&self, key: &Key) -> Option<u64> {
        let picks = |other: &&Override| other.when.picks(key);
        match self.overrides.iter().rev().find(picks) {
            Some(other) => other.limit,
            None => self.limits.of(key.rule),
        }
    }

    /// What an alert that was raised at `limit` holds on down to.
    pub(crate) fn clear(&self, limit: u64) -> u64 {
        let clear = u128::from(limit) * u128::from(self.clear_permille) / 1_000;
        u64::try_from(clear).unwrap_or(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(rule: Rule, region: &str, node: &str) -> Key {
        Key { rule, subject: Subject::Node(region.into(), node.into()) }
    }

    #[test]
    fn a_limit_that_is_set_is_the_limit() {
        for rule in Rule::ALL {
            let mut limits = Limits::default();
            limits.set(rule, 77);
            assert_eq!(limits.of(rule), Some(77), "{rule}");
        }
    }

    #[test]
    fn the_last_override_that_picks_an_alert_counts_and_may_turn_it_off() {
        let policy = r#"{"overrides": [
            {"when": {"region": "edge", "rules": ["bound", "offset"]}, "limit": 200000000},
            {"when": {"node": "lab-.*", "rules": ["offset"]}, "limit": null}]}"#;
        let policy: Policy = serde_json::from_str(policy).unwrap();
        let policy = policy.checked().unwrap();
        assert_eq!(policy.limit(&key(Rule::Bound, "edge", "lab-1")), Some(200_000_000));
        assert_eq!(policy.limit(&key(Rule::Offset, "edge", "lab-1")), None);
        assert_eq!(policy.limit(&key(Rule::Offset, "edge", "web")), Some(200_000_000));
        assert_eq!(policy.limit(&key(Rule::Offset, "eu", "web")), Some(50_000_000));
    }

    #[test]
    fn of_two_the_wider_limit_counts() {
        let policy = r#"{"overrides": [
            {"when": {"region": "edge", "rules": ["regions", "causality"]}, "limit": 5000000},
            {"when": {"node": "lab-.*", "rules": ["causality"]}, "limit": null}]}"#;
        let policy: Policy = serde_json::from_str(policy).unwrap();
        let policy = policy.checked().unwrap();
        let regions = |one: &str, other: &str| {
            policy.limit(&Key { rule: Rule::Regions, subject: Subject::Regions(one.into(), other.into()) })
        };
        assert_eq!(
            [regions("edge", "eu"), regions("ap", "edge"), regions("ap", "eu")],
            [Some(5_000_000), Some(5_000_000), Some(0)]
        );
        let nodes = |one: (&str, &str), other: (&str, &str)| {
            let node = |(region, node): (&str, &str)| (region.to_owned(), node.to_owned());
            policy.limit(&Key { rule: Rule::Causality, subject: Subject::Nodes(node(one), node(other)) })
        };
        assert_eq!(nodes(("edge", "web"), ("eu", "db")), Some(5_000_000));
        assert_eq!(nodes(("eu", "web"), ("eu", "db")), Some(0));
        assert_eq!(nodes(("edge", "web"), ("eu", "lab-1")), None);
    }

    #[test]
    fn a_rule_that_is_off_has_no_limit() {
        let limits = Limits { off: vec![Rule::Drift], ..Limits::default() };
        assert_eq!((limits.of(Rule::Drift), limits.of(Rule::Frequency)), (None, Some(400_000)));
    }

    #[test]
    fn a_reference_has_a_limit_of_its_own() {
        let when = |rules: Vec<Rule>| Matcher {
            region: Some("eu".to_owned().try_into().unwrap()),
            rules,
            ..Matcher::default()
        };
        let overrides = vec![Override { when: when(vec![Rule::Reference]), limit: Some(300) }];
        let limits = Limits { pause_ns: 7, reference_ns: 8, ..Limits::default() };
        let policy = Policy { limits, overrides, ..Policy::default() };
        let limit = |rule, region: &str| policy.limit(&Key { rule, subject: Subject::Region(region.to_owned()) });
        assert_eq!([limit(Rule::Reference, "us"), limit(Rule::Reference, "eu")], [Some(8), Some(300)]);
        assert_eq!([limit(Rule::Pause, "us"), limit(Rule::Pause, "eu")], [Some(7), Some(7)]);
    }
}
