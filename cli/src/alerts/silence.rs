//! Maintenance: alerts that are not told for a time.

use clap::Args;
use serde::Serialize;
use syncline_alerts::Silence;
use syncline_store::{DeclaredSilence, Role, Store, StoreError};

use crate::args::{Format, StoreArgs};
use crate::failure::usage;
use crate::source::{Source, explain, open_store};
use crate::table::{Align, Table};
use crate::time;

const MS: i64 = 1_000_000;

/// Declare maintenance: alerts of it are listed, and not told. Without --node, --region and --rule it is of everything.
///
/// What happened under it is not told after it; what still is so then, is. Prints the number of the silence.
#[derive(Args, Debug)]
pub(super) struct SilenceArgs {
    /// Regular expression for the whole name of nodes
    #[arg(long, value_name = "PATTERN")]
    node: Option<String>,
    /// Regular expression for the whole name of regions
    #[arg(long, value_name = "PATTERN")]
    region: Option<String>,
    /// Rules, separated by commas
    #[arg(long, value_name = "RULES", value_delimiter = ',')]
    rule: Vec<String>,
    /// From when
    #[arg(long, value_name = "TIME", default_value = "now", allow_hyphen_values = true)]
    from: String,
    /// Until when, such as 2026-11-28T02:00:00Z
    #[arg(
        long,
        value_name = "TIME",
        conflicts_with = "lasting",
        required_unless_present = "lasting",
        allow_hyphen_values = true
    )]
    until: Option<String>,
    /// For how long, such as 2h
    #[arg(long = "for", value_name = "TIME", allow_hyphen_values = true)]
    lasting: Option<String>,
    /// Why, and who says so
    #[arg(long, value_name = "TEXT")]
    comment: String,
}

/// List maintenance that is not over.
#[derive(Args, Debug)]
pub(super) struct SilencesArgs {
    /// text for people, json for programs
    #[arg(long, short, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// End maintenance before its time.
#[derive(Args, Debug)]
pub(super) struct UnsilenceArgs {
    /// Number of the silence
    number: u64,
}

/// `now`, `2h` and the like are by the database's clock, which alerts are evaluated by: this machine's may be the one that is wrong.
pub(super) async fn declare(args: &StoreArgs, wanted: &SilenceArgs) -> anyhow::Result<String> {
    check(wanted)?;
    let declared = writing(args, async |store| {
        let now_ns = store.now_ms().await?.saturating_mul(MS);
        let silence = silence(wanted, now_ns)?;
        if silence.until_ms <= now_ns / MS {
            return Err(usage("it would be over already, by the database's clock".to_owned()));
        }
        store.declare(&silence).await?;
        Ok(silence)
    });
    let DeclaredSilence { number, until_ms, .. } = declared.await?;
    Ok(format!(
        "silence {number} until {}; `syncline alerts unsilence {number}` ends it before\n",
        time::rfc3339(until_ms.saturating_mul(MS))
    ))
}

/// What is wrong whatever time it is, which is told before anybody is asked. Whether it would end before it begins only the database's clock says.
fn check(wanted: &SilenceArgs) -> anyhow::Result<()> {
    times(wanted, time::now_ns())?;
    declared(wanted, (0, 1)).map(drop)
}

fn silence(wanted: &SilenceArgs, now_ns: i64) -> anyhow::Result<DeclaredSilence> {
    let (from_ns, until_ns) = times(wanted, now_ns)?;
    let (region, node, rules) = declared(wanted, (from_ns, until_ns))?;
    // Of the time in ms: two that are declared in one are one.
    let number = now_ns.unsigned_abs() / MS.unsigned_abs();
    let (from_ms, until_ms, comment) = (from_ns / MS, until_ns / MS, wanted.comment.clone());
    Ok(DeclaredSilence { number, region, node, rules, from_ms, until_ms, comment })
}

/// From when until when.
fn times(wanted: &SilenceArgs, now_ns: i64) -> anyhow::Result<(i64, i64)> {
    let read =
        |option: &str, text: &str| time::parse(text, now_ns).map_err(|error| usage(format!("--{option}: {error}")));
    let from_ns = read("from", &wanted.from)?;
    let until_ns = match (&wanted.until, &wanted.lasting) {
        (Some(until), _) => read("until", until)?,
        (None, lasting) => {
            let text = lasting.as_deref().unwrap_or_default();
            let span = time::span(text).and_then(|ns| i64::try_from(ns).ok());
            from_ns.saturating_add(span.ok_or_else(|| usage(format!("--for: {text:?} is no time, as 2h or 30m is")))?)
        }
    };
    Ok((from_ns, until_ns))
}

/// The patterns of regions and nodes, and the rules.
fn declared(wanted: &SilenceArgs, times: (i64, i64)) -> anyhow::Result<(String, String, String)> {
    let (region, node) = (wanted.region.clone().unwrap_or_default(), wanted.node.clone().unwrap_or_default());
    let rules = wanted.rule.join(",");
    Silence::declared((&region, &node, &rules), times, &wanted.comment).map_err(|error| usage(error.to_string()))?;
    Ok((region, node, rules))
}

pub(super) async fn end(args: &StoreArgs, wanted: &UnsilenceArgs) -> anyhow::Result<String> {
    let number = wanted.number;
    writing(args, async |store| {
        let now_ms = store.now_ms().await?;
        let found = store.silences(now_ms).await?.into_iter().find(|silence| silence.number == number);
        let Some(silence) = found else {
            return Err(usage(format!("no silence {number} that is not over: `syncline alerts silences` lists them")));
        };
        Ok(store.declare(&DeclaredSilence { until_ms: now_ms, ..silence }).await?)
    })
    .await?;
    Ok(format!("silence {number} is over\n"))
}

pub(super) async fn list(args: &StoreArgs, wanted: &SilencesArgs) -> anyhow::Result<String> {
    let source = Source::open(args).await?;
    let found = async { source.store().silences(source.store().now_ms().await?).await };
    let silences = found.await.map_err(|error| explain(source.store(), error));
    source.close().await?;
    let rows: Vec<Row> = silences?.into_iter().map(Row::of).collect();
    if wanted.format == Format::Json {
        return Ok(serde_json::to_string_pretty(&rows)? + "\n");
    }
    if rows.is_empty() {
        return Ok("no silences; those of the aggregator's file are not listed here\n".to_owned());
    }
    let heads = ["SILENCE", "FROM", "UNTIL", "REGION", "NODE", "RULES", "WHY"].map(|head| (head, Align::Left));
    let mut table = Table::new(&heads);
    let any = |text: &str| if text.is_empty() { "any".to_owned() } else { text.to_owned() };
    for Row { number, from, until, region, node, rules, comment } in &rows {
        table.push(&[
            number.to_string(),
            from.clone(),
            until.clone(),
            any(region),
            any(node),
            any(rules),
            comment.clone(),
        ]);
    }
    let lines = crate::skew::with_heading(&table, usize::MAX, crate::colour::Palette { enabled: false });
    Ok(lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect())
}

#[derive(Debug, Serialize)]
struct Row {
    number: u64,
    from: String,
    until: String,
    region: String,
    node: String,
    rules: String,
    comment: String,
}

impl Row {
    fn of(silence: DeclaredSilence) -> Self {
        let DeclaredSilence { number, region, node, rules, from_ms, until_ms, comment } = silence;
        let at = |ms: i64| time::rfc3339(ms.saturating_mul(MS));
        Self { number, from: at(from_ms), until: at(until_ms), region, node, rules, comment }
    }
}

/// Does something with a store that may be written to.
async fn writing<T>(args: &StoreArgs, work: impl AsyncFnOnce(&Store) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let open = open_store(args, Role::Writer).await?;
    let done = work(&open).await.map_err(|error| match error.downcast::<StoreError>() {
        Ok(error) => explain(&open, error),
        Err(error) => error,
    });
    open.close().await?;
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> SilenceArgs {
        SilenceArgs {
            node: Some("db-.*".to_owned()),
            region: None,
            rule: vec!["step".to_owned()],
            from: "now".to_owned(),
            until: Some("2001-09-09T01:46:40Z".to_owned()),
            lasting: None,
            comment: "new disks".to_owned(),
        }
    }

    /// This machine's clock may be years ahead.
    #[test]
    fn how_times_lie_is_by_the_clock_that_is_asked() {
        assert!(check(&wanted()).is_ok(), "long ago by ours");
        let until_ns = 1_000_000_000 * 1_000_000_000;
        let silence_at = |now_ns| silence(&wanted(), now_ns);
        assert_eq!(silence_at(until_ns - 60_000_000_000).unwrap().until_ms, until_ns / MS);
        assert!(silence_at(until_ns + 1).is_err());
    }

    #[test]
    fn what_is_wrong_at_any_time_is_told_before_anybody_is_asked() {
        for wrong in [
            SilenceArgs { node: Some("(".to_owned()), ..wanted() },
            SilenceArgs { rule: vec!["stop".to_owned()], ..wanted() },
            SilenceArgs { until: Some("soon".to_owned()), ..wanted() },
            SilenceArgs { from: "soon".to_owned(), ..wanted() },
            SilenceArgs { until: None, lasting: Some("-2h".to_owned()), ..wanted() },
        ] {
            assert!(check(&wrong).is_err(), "{wrong:?}");
        }
    }
}
