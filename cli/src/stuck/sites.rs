//! What waits at one place in the code.

use std::collections::HashMap;

use super::query::Wait;
use crate::waits;

/// A place where goroutines of a service wait for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Site<'a> {
    /// The one that has waited longest.
    pub(super) oldest: &'a Wait,
    pub(super) waits: u64,
    pub(super) nodes: usize,
    /// What most of them wait for; empty where that is not known.
    pub(super) target: String,
}

/// The innermost call that is not Go's own way of waiting, as `syncline blockers` finds it.
pub(super) fn site_of(stack: &[String]) -> &str {
    waits::site(stack).unwrap_or("(no stack)")
}

/// The places of these waits, the oldest of each first among them; first those where most wait, of as many the one with the oldest.
pub(super) fn sites(waits: &[Wait]) -> Vec<Site<'_>> {
    let mut of_place: HashMap<(&str, &str, &str), Vec<&Wait>> = HashMap::new();
    for wait in waits {
        of_place.entry((&wait.service, &wait.reason, wait.site())).or_default().push(wait);
    }
    let mut sites: Vec<Site> = of_place.into_values().filter_map(|waits| site(&waits)).collect();
    sites.sort_by_key(|site| (std::cmp::Reverse(site.waits), site.oldest.since_ns, site.oldest.site()));
    sites
}

fn site<'a>(waits: &[&'a Wait]) -> Option<Site<'a>> {
    let oldest = *waits.iter().min_by_key(|wait| wait.since_ns)?;
    let mut nodes: Vec<_> = waits.iter().map(|wait| (&wait.region, &wait.node)).collect();
    nodes.sort_unstable();
    nodes.dedup();
    Some(Site { oldest, waits: waits.len() as u64, nodes: nodes.len(), target: commonest(waits) })
}

fn commonest(waits: &[&Wait]) -> String {
    let mut counts: HashMap<String, u64> = HashMap::new();
    for wait in waits {
        *counts.entry(wait.target.text()).or_default() += 1;
    }
    let commonest = counts.into_iter().max_by(|a, b| (a.1, &b.0).cmp(&(b.1, &a.0)));
    commonest.map(|(target, _)| target).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::query::tests::wait;
    use super::*;
    use crate::target::tests::tcp;

    #[test]
    fn waits_at_one_place_are_one_site_with_its_oldest() {
        let at = |goid: u64, node: &str, peer: &str, place: &str| {
            let mut wait = wait(goid, "goroutine", &["runtime.gopark p.go:1", place]);
            (wait.node, wait.target) = (node.to_owned(), tcp(peer));
            wait
        };
        let waits = [
            at(9, "n1", "10.0.0.1:80", "main.a a.go:1"),
            at(3, "n2", "10.0.0.2:80", "main.a a.go:1"),
            at(5, "n2", "10.0.0.2:80", "main.a a.go:1"),
            at(1, "n1", "", "main.b b.go:1"),
        ];
        let sites = sites(&waits);
        let shown: Vec<_> = sites.iter().map(|s| (s.oldest.goid, s.waits, s.nodes, s.target.as_str())).collect();
        assert_eq!(shown, [(3, 3, 2, "tcp 10.0.0.2:80"), (1, 1, 1, "tcp")]);
    }
}
