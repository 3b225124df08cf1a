//! What would have been told of an earlier time.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;
use syncline_alerts::{Engine, Kind, Notification, Policy, Rule, Silence, State, Unit, settings};
use syncline_config::{Document, units};
use syncline_store::{DeclaredSilence, Rounds};

use super::TestArgs;
use crate::args::Format;
use crate::failure::usage;
use crate::source::{Source, explain};
use crate::time;

/// As the aggregator evaluates, ms.
pub(super) const EVERY_MS: i64 = 15_000;
/// Rounds that are read at once: half an hour.
pub(super) const AT_ONCE: u32 = 120;
const MS: i64 = 1_000_000;
/// Keys of the aggregator's file that may have secrets in them.
const SECRETS: &[&str] = &["clickhouse_url", "kafka_config", "headers", "url"];

#[derive(Serialize)]
struct Tested {
    from: String,
    to: String,
    rounds: usize,
    /// The most nodes that a round had.
    nodes: usize,
    alerts_fired: usize,
    /// Silences that people declared and that were applied.
    silences: usize,
    /// What was told before, and lasts at the begin.
    lasting: Vec<Notification>,
    notifications: Vec<Notification>,
}

/// A rule's other limit, in its unit; none turns it off.
pub(super) type NewLimit = (Rule, Option<u64>);

/// Reads `offset=5ms`, `drift=1ppm`, `claim=off`.
pub(super) fn limit(text: &str) -> Result<NewLimit, String> {
    let (name, value) = text.split_once('=').ok_or("write RULE=LIMIT, as in offset=5ms")?;
    let names = || Rule::ALL.map(Rule::name).join(", ");
    let rule = Rule::of_name(name).ok_or_else(|| format!("there is no rule {name:?}: the rules are {}", names()))?;
    if value == "off" {
        return Ok((rule, None));
    }
    let limit = match rule.unit() {
        Unit::Ns => units::duration(value).map(|limit| u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX))?,
        Unit::Ppb => units::frequency_ppb(value)?,
    };
    Ok((rule, Some(limit)))
}

/// By what the aggregator evaluates that has this file, or one that has none.
fn of_file(path: Option<&Path>) -> anyhow::Result<(Policy, Vec<Silence>)> {
    let Some(path) = path else { return Ok((Policy::default(), Vec::new())) };
    let read = Document::open(path, SECRETS).and_then(|document| {
        let found = settings::read(&document)?;
        found.ok_or_else(|| document.problem_of("alerts", "it has no [alerts]: leave --config out for what is usual"))
    });
    read.map_err(|problem| usage(format!("--config: {}", problem.shown())))
}

/// With other limits for all; overrides of the file go before them, as they do there.
fn changed(policy: Policy, changes: &[NewLimit]) -> Policy {
    let mut limits = policy.limits;
    for (rule, limit) in changes {
        match limit {
            Some(limit) => {
                limits.set(*rule, *limit);
                limits.off.retain(|off| off != rule);
            }
            None => limits.off.push(*rule),
        }
    }
    Policy { limits, ..policy }
}

pub(super) async fn text(source: &Source, wanted: &TestArgs) -> anyhow::Result<String> {
    let TestArgs { from, to, config, limit, no_silences, format } = wanted;
    let (policy, mut silences) = of_file(config.as_deref())?;
    // Rounds are by the database's clock, and so is what is said of them.
    let now_ns = source.store().now_ms().await?.saturating_mul(MS);
    let read =
        |option: &str, text: &str| time::parse(text, now_ns).map_err(|error| usage(format!("--{option}: {error}")));
    let (from_ms, to_ms) = (read("from", from)? / MS, read("to", to)? / MS);
    // Rounds end at the same times as those of the aggregator.
    let (from_ms, to_ms) = (from_ms.div_euclid(EVERY_MS) * EVERY_MS, to_ms.div_euclid(EVERY_MS) * EVERY_MS);
    if from_ms >= to_ms {
        return Err(usage(format!("--from {from} is not a round of 15 s or more before --to {to}")));
    }
    let policy = changed(policy, limit);
    let begin_ms = from_ms - warm_up_ms(&policy);
    let declared = if *no_silences { Vec::new() } else { declared(source, (begin_ms, to_ms)).await? };
    let number = declared.len();
    silences.extend(declared);
    let tested = test(source, (begin_ms, from_ms, to_ms), (policy, &silences)).await?;
    let tested = Tested { silences: number, ..tested };
    if *format == Format::Json {
        return Ok(serde_json::to_string_pretty(&tested)? + "\n");
    }
    let Tested { from, to, rounds, nodes, alerts_fired, silences, lasting, notifications } = &tested;
    let line = |told: &Notification, kind: &str| {
        format!("{}  {kind}  {:>8}  {}\n", time::rfc3339(told.at_ns), told.severity.name(), told.text)
    };
    let mut text: String = lasting.iter().map(|told| line(told, "lasts   ")).collect();
    for told in notifications {
        text += &line(told, if told.kind == Kind::Opened { "opened  " } else { "resolved" });
    }
    let opened = notifications.iter().filter(|told| told.kind == Kind::Opened).count();
    let silenced = match silences {
        0 if *no_silences => "declared silences left out".to_owned(),
        number => format!("{number} declared silences applied"),
    };
    text += &format!(
        "{from} to {to}: {rounds} rounds, up to {nodes} nodes, {silenced}, {alerts_fired} alerts fired, {opened} told\n"
    );
    Ok(text)
}

/// What goes before the time that is asked for: the time that drift is measured over, or in which an alert ends, and the rounds that begin one.
fn warm_up_ms(policy: &Policy) -> i64 {
    let window_ns = policy.drift_window_ns.max(policy.quiet_ns);
    let rounds = i64::try_from(window_ns).unwrap_or(i64::MAX) / MS / EVERY_MS + 1 + i64::from(policy.rounds);
    rounds.min(86_400_000 / EVERY_MS) * EVERY_MS
}

/// What people declared for times between these, ms.
async fn declared(source: &Source, (from_ms, to_ms): (i64, i64)) -> anyhow::Result<Vec<Silence>> {
    let found = source.store().silences(from_ms).await.map_err(|error| explain(source.store(), error))?;
    let silence = |DeclaredSilence { region, node, rules, from_ms, until_ms, comment, .. }: DeclaredSilence| {
        // Whoever declares one by the program is told what is wrong; the aggregator passes others over, too.
        Silence::declared((&region, &node, &rules), (from_ms * MS, until_ms * MS), &comment).ok()
    };
    Ok(found.into_iter().filter(|silence| silence.from_ms < to_ms).filter_map(silence).collect())
}

async fn test(
    source: &Source,
    (begin_ms, from_ms, to_ms): (i64, i64, i64),
    (policy, silences): (Policy, &[Silence]),
) -> anyhow::Result<Tested> {
    let mut engine = Engine::new(policy)?;
    let mut reader = Rounds::begin(source.store(), begin_ms, EVERY_MS).await?;
    let (mut notifications, mut rounds, mut nodes, mut alerts_fired) = (Vec::new(), 0, 0, 0);
    let mut lasting: Vec<Notification> = Vec::new();
    while reader.at_ms() < to_ms {
        let left = u32::try_from((to_ms - reader.at_ms()) / EVERY_MS).unwrap_or(AT_ONCE).clamp(1, AT_ONCE);
        for round in reader.next(source.store(), left).await? {
            let outcome = engine.evaluate(&round, silences)?;
            if round.at_ns <= from_ms * MS {
                lasting.extend(outcome.notifications);
                let open: BTreeSet<u64> = engine.incidents().map(|(number, _)| number).collect();
                lasting.retain(|told| told.kind == Kind::Opened && open.contains(&told.incident));
                continue;
            }
            (rounds, nodes) = (rounds + 1, nodes.max(round.nodes.len()));
            alerts_fired += outcome.transitions.iter().filter(|one| one.to == State::Firing).count();
            notifications.extend(outcome.notifications);
        }
    }
    let (from, to) = (time::rfc3339(from_ms * MS), time::rfc3339(to_ms * MS));
    Ok(Tested { from, to, rounds, nodes, alerts_fired, silences: 0, lasting, notifications })
}

#[cfg(test)]
mod tests {
    use super::*;
    use syncline_alerts::Limits;

    #[test]
    fn a_limit_is_read_in_its_rules_unit() {
        assert_eq!(limit("offset=5ms"), Ok((Rule::Offset, Some(5_000_000))));
        assert_eq!(limit("drift=0.5ppm"), Ok((Rule::Drift, Some(500))));
        assert_eq!(limit("claim=off"), Ok((Rule::Claim, None)));
        for wrong in ["offset", "ofset=5ms", "offset=5ppm", "drift=5ms", "offset="] {
            assert!(limit(wrong).is_err(), "{wrong}");
        }
        let Limits { offset_ns, drift_ppb, off, .. } =
            changed(Policy::default(), &[(Rule::Offset, Some(1)), (Rule::Claim, None)]).limits;
        assert_eq!((offset_ns, drift_ppb, off), (1, Limits::default().drift_ppb, vec![Rule::Claim]));
    }
}
