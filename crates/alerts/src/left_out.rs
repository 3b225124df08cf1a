//! Who is left out of what others have in common: whoever is worked on, or has a wider limit or none. What is not to be told of them must
//! not be told of their region, nor make others look wrong.

use crate::{Key, Policy, Rule, Silence, Subject};

/// By what it is decided in a round.
#[derive(Clone, Copy)]
pub(crate) struct LeftOut<'a> {
    policy: &'a Policy,
    silences: &'a [Silence],
    at_ns: i64,
}

impl<'a> LeftOut<'a> {
    pub(crate) fn of(policy: &'a Policy, silences: &'a [Silence], at_ns: i64) -> Self {
        Self { policy, silences, at_ns }
    }

    /// Whether a node's value is no part of its region's. An event counts by when it `happened`, each from and until.
    pub(crate) fn is_node(&self, rule: Rule, region: &str, node: &str, happened: &[(i64, i64)]) -> bool {
        if self.is_nobody() {
            return false;
        }
        let rule = if rule == Rule::Reference { Rule::Pause } else { rule };
        let key = |subject| Key { rule, subject };
        let (own, wider) = (Subject::Node(region.to_owned(), node.to_owned()), Subject::Region(region.to_owned()));
        self.is_out((&key(own), &key(wider)), happened)
    }

    /// Whether a region's value is no part of the fleet's.
    pub(crate) fn is_region(&self, rule: Rule, region: &str) -> bool {
        let key = |subject| Key { rule, subject };
        !self.is_nobody() && self.is_out((&key(Subject::Region(region.to_owned())), &key(Subject::Fleet)), &[])
    }

    fn is_nobody(&self) -> bool {
        self.silences.is_empty() && self.policy.overrides.is_empty()
    }

    fn is_out(&self, (own, wider): (&Key, &Key), happened: &[(i64, i64)]) -> bool {
        let Some(limit) = self.policy.limit(wider) else { return false };
        let has_wider_limit = self.policy.limit(own).is_none_or(|own| own > limit);
        // A silence that covers all of them alike covers what they have in common, too.
        let is_worked_on = |span: (i64, i64)| {
            self.silences.iter().any(|silence| silence.touches(own, span) && !silence.when.picks(wider))
        };
        has_wider_limit
            || match happened {
                [] => is_worked_on((self.at_ns, self.at_ns)),
                _ => happened.iter().all(|span| is_worked_on(*span)),
            }
    }
}
