//! What an incident is shown of. Pure.

use syncline_alerts::Round;
use syncline_alerts::round::NodeSeen;

/// What an incident is shown of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// A node and its region.
    Node(String, String),
    Region(String),
    /// A region and a peer.
    Link(String, String),
    Fleet,
}

impl About {
    pub(super) fn is_of(&self, seen: &NodeSeen) -> bool {
        !matches!(self, Self::Link(..)) && self.is_at(&seen.region, &seen.node)
    }

    /// Whether a node is that, or one of them.
    pub(super) fn is_at(&self, region: &str, node: &str) -> bool {
        match self {
            Self::Node(of, name) => (region, node) == (of, name),
            Self::Region(of) => region == of,
            Self::Link(of, peer) => region == of || region == peer,
            Self::Fleet => true,
        }
    }
}

/// What to show: the widest that the incident has come to be about, or the node that is asked for, as NODE or REGION/NODE. Nodes of `rounds` are known.
pub(super) fn chosen(subjects: &[&str], wanted: Option<&str>, rounds: &[Round]) -> Result<About, String> {
    let all = || subjects.iter().map(|subject| about(subject));
    let Some(wanted) = wanted else { return Ok(all().min_by_key(narrowness).unwrap_or(About::Fleet)) };
    let found: Vec<(String, String)> = match wanted.split_once('/') {
        Some((region, node)) => vec![(region.to_owned(), node.to_owned())],
        None => called(subjects, wanted, rounds),
    };
    let concerned: Vec<&(String, String)> =
        found.iter().filter(|(region, node)| all().any(|about| about.is_at(region, node))).collect();
    match concerned.as_slice() {
        [(region, node)] => Ok(About::Node(region.clone(), node.clone())),
        [] if found.is_empty() => {
            Err(format!("--node {wanted}: no such node is known of the time of the incident; write REGION/NODE"))
        }
        [] => Err(format!("--node {wanted}: the incident is not about it, but about {}", subjects.join(", "))),
        several => {
            let names: Vec<String> = several.iter().map(|(region, node)| format!("{region}/{node}")).collect();
            Err(format!("--node {wanted}: there are several, write one of {}", names.join(", ")))
        }
    }
}

/// All nodes of that name, each once: those that the incident names, and those that were known then.
fn called(subjects: &[&str], name: &str, rounds: &[Round]) -> Vec<(String, String)> {
    let named = subjects.iter().filter_map(|subject| subject.split_once('/'));
    let known = rounds.iter().flat_map(|round| &round.nodes).map(|seen| (seen.region.as_str(), seen.node.as_str()));
    let mut found: Vec<(String, String)> = named
        .chain(known)
        .filter(|(_, node)| *node == name)
        .map(|(region, node)| (region.to_owned(), node.to_owned()))
        .collect();
    found.sort();
    found.dedup();
    found
}

fn narrowness(about: &About) -> u8 {
    match about {
        About::Fleet => 0,
        About::Region(_) | About::Link(..) => 1,
        About::Node(..) => 2,
    }
}

fn about(subject: &str) -> About {
    match (subject.split_once('/'), subject.split_once(" and ")) {
        (Some((region, node)), _) => About::Node(region.to_owned(), node.to_owned()),
        (None, Some((region, peer))) => About::Link(region.to_owned(), peer.to_owned()),
        (None, None) if subject == "fleet" => About::Fleet,
        (None, None) => About::Region(subject.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(region: &str, node: &str) -> About {
        About::Node(region.to_owned(), node.to_owned())
    }

    /// With a node `a` in each of two regions, and a `c` in one.
    fn shown(subjects: &[&str], wanted: Option<&str>) -> Result<About, String> {
        let seen =
            |region: &str, node: &str| NodeSeen { region: region.into(), node: node.into(), ..NodeSeen::default() };
        let round = Round { nodes: vec![seen("eu", "a"), seen("us", "a"), seen("eu", "c")], ..Round::default() };
        chosen(subjects, wanted, &[round])
    }

    #[test]
    fn the_widest_that_an_incident_is_about_is_shown_or_the_node_that_is_asked_for() {
        assert_eq!(shown(&["fleet", "eu", "eu/a"], None), Ok(About::Fleet));
        assert_eq!(shown(&["eu", "eu/a"], None), Ok(About::Region("eu".to_owned())));
        assert_eq!(shown(&["eu/a", "eu"], None), Ok(About::Region("eu".to_owned())), "it has become wider");
        assert_eq!(shown(&["eu and us"], None), Ok(About::Link("eu".to_owned(), "us".to_owned())));
        assert_eq!(shown(&["eu/a", "eu/b"], None), Ok(node("eu", "a")));
        assert_eq!(shown(&["eu/a", "eu/b"], Some("b")), Ok(node("eu", "b")));
        assert_eq!(shown(&["eu"], Some("c")), Ok(node("eu", "c")));
        assert!(shown(&["eu/a"], Some("c")).unwrap_err().contains("not about it"));
    }

    #[test]
    fn nodes_of_one_name_are_told_apart_by_their_regions() {
        assert_eq!(shown(&["fleet"], Some("c")), Ok(node("eu", "c")), "the fleet is all of them");
        assert_eq!(shown(&["fleet"], Some("us/a")), Ok(node("us", "a")));
        assert!(shown(&["fleet"], Some("a")).unwrap_err().ends_with("write one of eu/a, us/a"));
        assert!(shown(&["eu/a", "us/a"], Some("a")).unwrap_err().ends_with("write one of eu/a, us/a"));
        assert_eq!(shown(&["eu/a", "us/a"], Some("us/a")), Ok(node("us", "a")));
        assert_eq!(shown(&["us/a"], Some("a")), Ok(node("us", "a")), "the other one is not concerned");
        assert!(shown(&["us"], Some("eu/a")).unwrap_err().contains("not about it"));
        assert!(shown(&["fleet"], Some("x")).unwrap_err().contains("REGION/NODE"));
        assert_eq!(shown(&["fleet"], Some("eu/gone")), Ok(node("eu", "gone")));
    }
}
