//! What an incident rests on.

use std::collections::BTreeMap;

use serde::Deserialize;
use syncline_alerts::{Round, Rule};
use syncline_store::Rounds;

use super::about::{self, About};
use super::evidence::{self, Kept, Known};
use super::history::EVERY_MS;
use super::probes;
use crate::failure::usage;
use crate::source::Source;
use crate::time;

/// What is shown before it began, and after, in rounds: a picture as wide as a terminal, with the ten minutes before it that a drift rests on.
const BEFORE: i64 = 44;
const AFTER: i64 = 20;
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
    limit_value: u64,
    text: String,
}

/// States of alerts that are shown.
const MOST_STATES: usize = 200;
/// How long clocks' segments, with offsets and claims, and probes are kept, ms.
const CLOCKS_KEPT_MS: i64 = 14 * 86_400_000;
const PROBES_KEPT_MS: i64 = 3 * 86_400_000;

/// What lasts is there twice once it was written again.
const TOLD: &str = "SELECT DISTINCT toUnixTimestamp64Nano(at) AS at_ns, toString(kind) AS kind, toString(severity) AS severity, subjects, text \
    FROM skew_incidents WHERE incident = {id:UInt64} ORDER BY at_ns";

const STATES: &str = "SELECT DISTINCT toUnixTimestamp64Nano(at) AS at_ns, toUnixTimestamp64Nano(since) AS since_ns, toString(rule) AS rule, subject, \
    toString(state) AS state, limit_value, text FROM skew_alerts WHERE incident = {id:UInt64} ORDER BY at_ns, rule, subject LIMIT 201";

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
    for State { at_ns, rule, subject, state, text, .. } in states.iter().take(MOST_STATES) {
        lines.push(format!("  {}  {state:<8}  {rule} of {subject}: {text}", time::rfc3339(*at_ns)));
    }
    if states.len() > MOST_STATES {
        lines.push(format!(
            "  and more, of which these are the first {MOST_STATES}: skew_alerts has all, with incident = {id}"
        ));
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
    let around = Around::read(source, since_ns).await?;
    let about = about::chosen(&subjects, node, &around.rounds).map_err(usage)?;
    lines.extend(evidence::lines(
        &Known { rounds: &around.rounds, limits: &limits(&states), kept: around.kept },
        &about,
    ));
    if let About::Node(region, node) = &about {
        lines.push(String::new());
        lines.extend(probes::lines(source, (region, node), around.span_ms).await?);
    } else {
        lines.push("--node NAME or REGION/NAME shows a node beside it.".to_owned());
    }
    Ok(lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect())
}

/// The newest limit of each rule that the incident has alerts of.
fn limits(states: &[State]) -> BTreeMap<Rule, u64> {
    states.iter().filter_map(|state| Some((Rule::of_name(&state.rule)?, state.limit_value))).collect()
}

/// What was known around the time that an incident began.
struct Around {
    rounds: Vec<Round>,
    /// By the database's clock.
    span_ms: (i64, i64),
    kept: Kept,
}

impl Around {
    async fn read(source: &Source, since_ns: i64) -> anyhow::Result<Self> {
        let begin_ms = (since_ns / MS).div_euclid(EVERY_MS) * EVERY_MS - BEFORE * EVERY_MS;
        let now_ms = source.store().now_ms().await?;
        let rounds = (BEFORE + AFTER).min((now_ms - begin_ms) / EVERY_MS).max(1);
        let mut reader = Rounds::begin(source.store(), begin_ms, EVERY_MS).await?;
        let read = reader.next(source.store(), u32::try_from(rounds).unwrap_or(1)).await?;
        let span_ms = (begin_ms, begin_ms + rounds * EVERY_MS);
        let is_within = |kept_ms: i64| now_ms - span_ms.1 <= kept_ms;
        // What is late to be deleted is still there.
        let is_there = read.iter().any(|round| round.nodes.iter().any(|seen| seen.skew_ns.is_some()));
        let kept = Kept { probes: is_within(PROBES_KEPT_MS), clocks: is_within(CLOCKS_KEPT_MS) || is_there };
        Ok(Self { rounds: read, span_ms, kept })
    }
}
