//! What an incident rests on.

use std::collections::BTreeMap;

use serde::Deserialize;
use syncline_alerts::round::NodeSeen;
use syncline_alerts::text::quantity;
use syncline_alerts::{Interval, Limits, Round, Unit};
use syncline_store::Rounds;

use super::history::EVERY_MS;
use super::plot;
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
    match chosen(&subjects, node)? {
        Some((region, node)) => lines.extend(evidence(source, (&region, &node), since_ns).await?),
        None => lines.push("It is about no single node; --node NAME shows one beside it.".to_owned()),
    }
    Ok(lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect())
}

/// The node to show: the first that the incident is about, or the one that is asked for.
fn chosen(subjects: &[&str], node: Option<&str>) -> anyhow::Result<Option<(String, String)>> {
    let nodes = || subjects.iter().filter_map(|subject| subject.split_once('/'));
    let of = |(region, node): (&str, &str)| (region.to_owned(), node.to_owned());
    let Some(wanted) = node else { return Ok(nodes().next().map(of)) };
    if let Some(found) = nodes().find(|(_, node)| *node == wanted) {
        return Ok(Some(of(found)));
    }
    // A node of a region that all of is concerned.
    match subjects.iter().find(|subject| !subject.contains(['/', ' ']) && **subject != "fleet") {
        Some(region) => Ok(Some(((*region).to_owned(), wanted.to_owned()))),
        None => Err(usage(format!("--node {wanted}: the incident is not about it, but about {}", subjects.join(", ")))),
    }
}

/// What was known of a node around the time.
async fn evidence(source: &Source, (region, node): (&str, &str), since_ns: i64) -> anyhow::Result<Vec<String>> {
    let begin_ms = (since_ns / MS).div_euclid(EVERY_MS) * EVERY_MS - BEFORE * EVERY_MS;
    let now_ms = source.store().now_ms().await?;
    let rounds = (BEFORE + AFTER).min((now_ms - begin_ms) / EVERY_MS).max(1);
    let mut reader = Rounds::begin(source.store(), begin_ms, EVERY_MS).await?;
    let rounds = reader.next(source.store(), u32::try_from(rounds).unwrap_or(1)).await?;
    let of = |round: &Round| round.nodes.iter().find(|seen| seen.region == region && seen.node == node).cloned();
    let seen: Vec<(&Round, Option<NodeSeen>)> = rounds.iter().map(|round| (round, of(round))).collect();
    let offsets: Vec<Option<Interval>> =
        seen.iter().map(|(round, seen)| seen.as_ref().and_then(|seen| offset(round, seen))).collect();
    let is_utc = rounds.iter().flat_map(|round| &round.regions).any(|of| of.region == region && of.utc_ns.is_some());
    let against = if is_utc { "UTC" } else { "the region's reference (nobody claims to know UTC)" };
    let mut lines = vec![format!(
        "Wall clock of {region}/{node} against {against}, {} a column from {}; | is the bound, - the limit of offsets:",
        "15 s",
        time::rfc3339(begin_ms * MS)
    )];
    lines.extend(plot::draw(&offsets, Limits::default().offset_ns));
    lines.push(String::new());
    lines.extend(probes(&seen));
    lines.extend(happened(&seen));
    Ok(lines)
}

/// WALL - UTC, or WALL - REF where UTC is not known.
fn offset(round: &Round, seen: &NodeSeen) -> Option<Interval> {
    let skew = seen.skew_ns?;
    let utc = round.regions.iter().find(|region| region.region == seen.region && region.run == seen.run);
    Some(utc.and_then(|utc| utc.utc_ns).map_or(skew, |utc| skew.plus(utc)))
}

fn probes(seen: &[(&Round, Option<NodeSeen>)]) -> Vec<String> {
    let all: Vec<u64> = seen.iter().filter_map(|(_, seen)| seen.as_ref()?.round_trip_ns).collect();
    let bounds: Vec<u64> = seen.iter().filter_map(|(_, seen)| Some(seen.as_ref()?.skew_ns?.half_width())).collect();
    let ns = |size: Option<&u64>| size.map_or_else(|| "none".to_owned(), |size| quantity(*size, Unit::Ns));
    vec![
        format!(
            "Probes: came in {} of {} rounds; least round trip {}, the worst round's {}",
            all.len(),
            seen.len(),
            ns(all.iter().min()),
            ns(all.iter().max())
        ),
        format!(
            "Bound: +-{} at best, +-{} at worst (`syncline clock explain` says what it rests on)",
            ns(bounds.iter().min()),
            ns(bounds.iter().max())
        ),
    ]
}

/// Steps, disruptions and false claims, in order.
fn happened(seen: &[(&Round, Option<NodeSeen>)]) -> Vec<String> {
    let mut lines = Vec::new();
    let (mut epoch, mut false_claims) = (None, BTreeMap::<String, (u64, i64)>::new());
    for (round, seen) in seen {
        let Some(seen) = seen else { continue };
        let at = time::rfc3339(round.at_ns);
        for step in &seen.steps {
            let sign = if step.size_ns < 0 { "-" } else { "+" };
            lines.push(format!(
                "{}  the wall clock was set by {sign}{}",
                time::rfc3339(step.at_ns),
                quantity(step.size_ns.unsigned_abs(), Unit::Ns)
            ));
        }
        if seen.skew_ns.is_some() {
            let now = (seen.boot, seen.run, seen.epoch);
            if epoch.replace(now).is_some_and(|before| before != now) {
                lines.push(format!("{at}  the clocks were disrupted, or the model is another (epoch {})", seen.epoch));
            }
        }
        for claim in &seen.claims {
            if let Some(contradiction) = claim.contradiction {
                let (count, gap) = false_claims.entry(claim.source.clone()).or_default();
                (*count, *gap) = (*count + 1, contradiction.gap_ns());
            }
        }
    }
    for (source, (count, gap_ns)) in false_claims {
        let size = quantity(gap_ns.unsigned_abs(), Unit::Ns);
        lines.push(format!("{count} claims of {source} could not be true; the last one by {size}"));
    }
    lines
}
