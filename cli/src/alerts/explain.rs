//! What an incident rests on.

use serde::Deserialize;
use syncline_store::Rounds;

use super::evidence::{self, About};
use super::history::EVERY_MS;
use crate::failure::usage;
use crate::source::Source;
use crate::time;

/// What is shown before it began, and after, in rounds: a picture as wide as a terminal.
const BEFORE: i64 = 24;
const AFTER: i64 = 40;
const MS: i64 = 1_000_000;

#[derive(Deserialize)]
struct Told {
    at_ns: i64,
    kind: String,
    severity: String,
    subjects: String,
    text: String,
}

#[derive(Deserialize)]
struct State {
    at_ns: i64,
    since_ns: i64,
    rule: String,
    subject: String,
    state: String,
    text: String,
}

const TOLD: &str = "SELECT toUnixTimestamp64Nano(at) AS at_ns, toString(kind) AS kind, toString(severity) AS severity, subjects, text \
    FROM skew_incidents WHERE incident = {id:UInt64} ORDER BY at";

const STATES: &str = "SELECT toUnixTimestamp64Nano(at) AS at_ns, toUnixTimestamp64Nano(since) AS since_ns, toString(rule) AS rule, subject, \
    toString(state) AS state, text FROM skew_alerts WHERE incident = {id:UInt64} ORDER BY at, rule, subject LIMIT 200";

pub(super) async fn text(source: &Source, id: u64, node: Option<&str>) -> anyhow::Result<String> {
    let params = [("id".to_owned(), id.to_string())];
    let states: Vec<State> = source.rows(STATES, &params).await?;
    let told: Vec<Told> = source.rows(TOLD, &params).await?;
    let Some(since_ns) = states.iter().map(|state| state.since_ns).min() else {
        return Err(usage(format!("no incident {id}: `syncline alerts --all` lists those that there are")));
    };
    let mut lines = Vec::new();
    for Told { at_ns, kind, severity, text, .. } in &told {
        lines.push(format!("incident {id} {kind} {} ({severity}): {text}", time::rfc3339(*at_ns)));
    }
    lines.extend([String::new(), "Its alerts:".to_owned()]);
    for State { at_ns, rule, subject, state, text, .. } in &states {
        lines.push(format!("  {}  {state:<8}  {rule} of {subject}: {text}", time::rfc3339(*at_ns)));
    }
    let subjects = told.first().map(|told| told.subjects.as_str());
    let subjects: Vec<&str> = subjects
        .into_iter()
        .flat_map(|all| all.split(','))
        .chain(states.iter().map(|state| state.subject.as_str()))
        // Two nodes that contradict one another can each be looked at.
        .flat_map(|subject| subject.split(" to "))
        .collect();
    lines.push(String::new());
    let about = chosen(&subjects, node)?;
    lines.extend(known(source, &about, since_ns).await?);
    if matches!(about, About::Region(_)) {
        lines.push("--node NAME shows a node beside it.".to_owned());
    }
    Ok(lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect())
}

/// What to show: the widest that the incident has come to be about, or the node that is asked for.
fn chosen(subjects: &[&str], node: Option<&str>) -> anyhow::Result<About> {
    let Some(wanted) = node else {
        let all = subjects.iter().map(|subject| about(subject));
        return Ok(all.min_by_key(narrowness).unwrap_or(About::Fleet));
    };
    let mut nodes = subjects.iter().filter_map(|subject| subject.split_once('/'));
    if let Some((region, node)) = nodes.find(|(_, node)| *node == wanted) {
        return Ok(About::Node(region.to_owned(), node.to_owned()));
    }
    // A node of a region that all of is concerned.
    match subjects.iter().find(|subject| !subject.contains(['/', ' ']) && **subject != "fleet") {
        Some(region) => Ok(About::Node((*region).to_owned(), wanted.to_owned())),
        None => Err(usage(format!("--node {wanted}: the incident is not about it, but about {}", subjects.join(", ")))),
    }
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

/// What was known of it around the time.
async fn known(source: &Source, about: &About, since_ns: i64) -> anyhow::Result<Vec<String>> {
    let begin_ms = (since_ns / MS).div_euclid(EVERY_MS) * EVERY_MS - BEFORE * EVERY_MS;
    let now_ms = source.store().now_ms().await?;
    let rounds = (BEFORE + AFTER).min((now_ms - begin_ms) / EVERY_MS).max(1);
    let mut reader = Rounds::begin(source.store(), begin_ms, EVERY_MS).await?;
    let rounds = reader.next(source.store(), u32::try_from(rounds).unwrap_or(1)).await?;
    Ok(evidence::lines(&rounds, about))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_that_an_incident_is_about_is_shown_or_the_node_that_is_asked_for() {
        let node = |region: &str, node: &str| About::Node(region.to_owned(), node.to_owned());
        let shown = |subjects: &[&str], node| chosen(subjects, node).map_err(|error| error.to_string());
        assert_eq!(shown(&["fleet", "eu", "eu/a"], None), Ok(About::Fleet));
        assert_eq!(shown(&["eu", "eu/a"], None), Ok(About::Region("eu".to_owned())));
        assert_eq!(shown(&["eu/a", "eu"], None), Ok(About::Region("eu".to_owned())), "it has become wider");
        assert_eq!(shown(&["eu and us"], None), Ok(About::Link("eu".to_owned(), "us".to_owned())));
        assert_eq!(shown(&["eu/a", "eu/b"], None), Ok(node("eu", "a")));
        assert_eq!(shown(&["eu/a", "eu/b"], Some("b")), Ok(node("eu", "b")));
        assert_eq!(shown(&["eu"], Some("c")), Ok(node("eu", "c")));
        assert!(shown(&["eu/a"], Some("c")).unwrap_err().contains("not about it"));
    }
}
