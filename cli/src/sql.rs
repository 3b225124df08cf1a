//! `syncline sql`: any question, in any format.

use std::io::{self, IsTerminal, Read};
use std::process::ExitCode;

use syncline_store::StoreError;

use crate::args::{SqlArgs, StoreArgs};
use crate::failure::usage;
use crate::source::{Question, Source};
use crate::terminal;

/// ClickHouse's error code for a format that it does not know.
const UNKNOWN_FORMAT: u32 = 73;
/// Its codes for what may not be done.
const READONLY: u32 = 164;
const ACCESS_DENIED: u32 = 497;
/// Far more than ClickHouse takes (256 KiB unless told otherwise), and no endless stream either.
const MAX_QUERY_BYTES: u64 = 64 << 20;

pub(crate) async fn run(store: &StoreArgs, args: &SqlArgs) -> anyhow::Result<ExitCode> {
    let params = pairs("--param", &args.params)?;
    let settings = pairs("--setting", &args.settings)?;
    if settings.iter().any(|(name, _)| name.eq_ignore_ascii_case("readonly")) {
        return Err(usage("--setting readonly: sql is always read-only"));
    }
    let format = format(args.format.as_deref(), terminal::is_terminal());
    if terminal::is_terminal() && is_binary(format) {
        return Err(usage(format!("{format} is binary and would garble the terminal: redirect it to a file")));
    }
    let sql = query(args.query.as_deref())?;
    let source = Source::open_any(store).await?;
    let question = Question { sql: &sql, format, params: &params, looks: &looks(format), settings: &settings };
    let outcome = source.stream(&question, &mut io::stdout().lock()).await;
    let closed = source.close().await;
    outcome.map_err(explain)?;
    closed.map(|()| ExitCode::SUCCESS)
}

fn query(given: Option<&str>) -> anyhow::Result<String> {
    let text = match given {
        None if io::stdin().is_terminal() => {
            return Err(usage("no query: syncline sql 'SELECT ...', or give it on standard input"));
        }
        None | Some("-") => io::read_to_string(io::stdin().take(MAX_QUERY_BYTES))?,
        Some(text) => text.to_owned(),
    };
    if text.trim().is_empty() {
        return Err(usage("the query is empty"));
    }
    // ClickHouse takes one query without its end mark; people copy it with one.
    Ok(text.trim().trim_end_matches(';').to_owned())
}

fn pairs(option: &str, texts: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(usage(format!("{option} {text:?} is not NAME=VALUE"))),
    };
    texts.iter().map(pair).collect()
}

/// ClickHouse's name of a format.
fn format(wanted: Option<&str>, on_terminal: bool) -> &str {
    match wanted {
        None if on_terminal => "PrettyCompactMonoBlock",
        None | Some("tsv") => "TSVWithNames",
        Some("json") => "JSON",
        Some("jsonl") => "JSONEachRow",
        Some("csv") => "CSVWithNames",
        Some("pretty") => "PrettyCompactMonoBlock",
        Some("vertical") => "Vertical",
        Some("parquet") => "Parquet",
        Some(name) => name,
    }
}

fn is_binary(format: &str) -> bool {
    const BINARY: [&str; 9] =
        ["parquet", "native", "arrow", "orc", "avro", "rowbinary", "msgpack", "protobuf", "capnproto"];
    let format = format.to_ascii_lowercase();
    BINARY.iter().any(|name| format.starts_with(name))
}

/// A table wider than the terminal would wrap: ClickHouse then writes the columns below each other instead.
fn looks(format: &str) -> Vec<(&'static str, String)> {
    if !format.starts_with("Pretty") {
        return Vec::new();
    }
    vec![
        ("output_format_pretty_color", u8::from(terminal::wants_colour()).to_string()),
        ("output_format_pretty_fallback_to_vertical", "1".to_owned()),
        ("output_format_pretty_fallback_to_vertical_min_columns", "2".to_owned()),
        ("output_format_pretty_fallback_to_vertical_min_table_width", terminal::width().to_string()),
    ]
}

/// An unknown format is a wrong question, whoever notices.
fn explain(error: anyhow::Error) -> anyhow::Error {
    match error.downcast_ref::<StoreError>() {
        Some(StoreError::Sql { code: UNKNOWN_FORMAT, message }) => usage(message.clone()),
        Some(StoreError::Sql { code: READONLY | ACCESS_DENIED, .. }) => {
            error.context("`syncline sql` only reads the store's tables and views")
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_have_short_names_and_the_rest_is_clickhouses() {
        assert_eq!(format(None, true), "PrettyCompactMonoBlock");
        assert_eq!(format(None, false), "TSVWithNames");
        assert_eq!(format(Some("jsonl"), true), "JSONEachRow");
        assert_eq!(format(Some("Markdown"), true), "Markdown");
        assert!(is_binary("Parquet") && is_binary("RowBinaryWithNames") && !is_binary("JSON"));
    }

    #[test]
    fn parameters_are_names_and_values() {
        let pair = |text: &str| pairs("--param", &[text.to_owned()]);
        assert_eq!(pair("a=b=c").unwrap(), [("a".to_owned(), "b=c".to_owned())]);
        assert_eq!(pair("a=").unwrap(), [("a".to_owned(), String::new())]);
        assert!(pair("a").is_err() && pair("=b").is_err());
    }

    #[test]
    fn queries_lose_their_end_mark() {
        assert_eq!(query(Some(" SELECT 1; \n")).unwrap(), "SELECT 1");
        assert!(query(Some("  ")).is_err());
    }
}
