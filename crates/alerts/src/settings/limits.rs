//! Limits as the file has them.

use serde::Deserialize;
use syncline_config::{DurationText, PpmText};

use crate::{Limits, Matcher, Override, Pattern, Rule};

/// A limit for each rule, by its name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LimitsText {
    offset: Option<DurationText>,
    drift: Option<PpmText>,
    step: Option<DurationText>,
    pause: Option<DurationText>,
    reference: Option<DurationText>,
    bound: Option<DurationText>,
    silence: Option<DurationText>,
    frequency: Option<PpmText>,
    claim: Option<DurationText>,
    regions: Option<DurationText>,
    causality: Option<DurationText>,
    /// Rules that are not evaluated.
    off: Vec<Rule>,
}

/// Other limits for some.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OverrideText {
    region: Option<Pattern>,
    node: Option<Pattern>,
    limits: LimitsText,
}

impl LimitsText {
    /// These limits over others.
    pub(super) fn over(&self, usual: Limits) -> Limits {
        let mut limits = usual;
        self.given().for_each(|(rule, limit)| limits.set(rule, limit));
        limits.off.extend(&self.off);
        limits
    }

    fn given(&self) -> impl Iterator<Item = (Rule, u64)> {
        let ns = |text: Option<DurationText>| text.map(DurationText::ns);
        let ppb = |text: Option<PpmText>| text.map(|PpmText(ppb)| ppb);
        let all: [(Rule, Option<u64>); Rule::ALL.len()] = [
            (Rule::Offset, ns(self.offset)),
            (Rule::Drift, ppb(self.drift)),
            (Rule::Step, ns(self.step)),
            (Rule::Pause, ns(self.pause)),
            (Rule::Reference, ns(self.reference)),
            (Rule::Bound, ns(self.bound)),
            (Rule::Silence, ns(self.silence)),
            (Rule::Frequency, ppb(self.frequency)),
            (Rule::Claim, ns(self.claim)),
            (Rule::Regions, ns(self.regions)),
            (Rule::Causality, ns(self.causality)),
        ];
        all.into_iter().filter_map(|(rule, limit)| Some((rule, limit?)))
    }
}

impl OverrideText {
    /// One for each limit.
    pub(super) fn overrides(&self) -> Result<Vec<Override>, String> {
        if self.region.is_none() && self.node.is_none() {
            return Err(
                "this override is for nobody: give it a region or a node; what holds for all is [alerts.limits]"
                    .to_owned(),
            );
        }
        let when = |rule| Matcher { region: self.region.clone(), node: self.node.clone(), rules: vec![rule] };
        let given = self.limits.given().map(|(rule, limit)| Override { when: when(rule), limit: Some(limit) });
        let off = self.limits.off.iter().map(|rule| Override { when: when(*rule), limit: None });
        let all: Vec<Override> = given.chain(off).collect();
        if all.is_empty() { Err("this override says nothing: give its limits a rule".to_owned()) } else { Ok(all) }
    }
}
