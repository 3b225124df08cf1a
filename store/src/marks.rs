//! Whether a table has the rows of a batch: by one of them, since they come in one block, or not at all.

use std::collections::HashSet;

use crate::ledger::is_in_minutes;
use crate::{Column, Store, StoreError};

/// A row by which the rows of a batch in one table are found.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    /// Of those columns that tell it from rows of other batches of its node.
    values: Vec<i128>,
    node: String,
}

/// The start of a minute, by which the tables of events are sorted.
const BUCKET: &str = "bucket";

/// These columns, all of them numbers, of each table that would have rows twice. The others replace rows that come again; `clock_segments_log` has
/// what was believed when, and each aggregator may have believed something else.
const COLUMNS: [(&str, &[&str]); 13] = [
    ("events", &[BUCKET, "boot", "seq"]),
    ("open_waits", &[BUCKET, "boot", "pid", "tid", "goid", "mono_ns", "dur_ns"]),
    ("short_waits", &[BUCKET, "boot", "batch"]),
    ("losses", &[BUCKET, "boot", "batch"]),
    ("dropped_batches", &[BUCKET, "boot", "batch"]),
    ("observations", &[BUCKET, "boot", "pid", "mono_ns"]),
    ("process_states", &[BUCKET, "boot", "pid", "mono_ns"]),
    ("messages", &[BUCKET, "boot", "pid", "tid", "mono_ns"]),
    ("tcp_losses", &[BUCKET, "boot", "batch"]),
    ("clock_probes", &["boot", "t2", "t1"]),
    ("clock_steps", &["boot", "mono_ns"]),
    ("clock_claims", &["boot", "mono_ns"]),
    ("clock_disruptions", &["boot", "batch", "mono_from", "mono_to"]),
];

impl Mark {
    /// By the first row of these columns of `table`.
    pub(crate) fn of(table: &str, columns: &[(&'static str, Column)]) -> Option<Self> {
        let column = |wanted: &str| columns.iter().find(|(name, _)| *name == wanted).map(|(_, column)| column);
        let values = columns_of(table)?.iter().map(|name| first(column(name)?)).collect::<Option<_>>()?;
        let Column::LowCardinality(node) = column("node")? else { return None };
        Some(Self { values, node: node.first()?.to_owned() })
    }
}

/// The tables that would have rows twice, and by which columns these are found.
#[doc(hidden)]
pub fn marked_tables() -> Vec<(&'static str, &'static [&'static str])> {
    COLUMNS.to_vec()
}

fn columns_of(table: &str) -> Option<&'static [&'static str]> {
    COLUMNS.iter().find(|(name, _)| *name == table).map(|(_, columns)| *columns)
}

fn first(column: &Column) -> Option<i128> {
    match column {
        Column::U32(values) | Column::DateTime(values) => values.first().copied().map(i128::from),
        Column::U64(values) => values.first().copied().map(i128::from),
        Column::I64(values) => values.first().copied().map(i128::from),
        _ => None,
    }
}

impl Store {
    /// Those of `marks` whose rows `table` has, of nodes of `region`.
    ///
    /// # Errors
    /// [`StoreError::Sql`] and [`StoreError::Network`] from ClickHouse; [`StoreError::Protocol`] for an answer that is none.
    pub async fn marks_found(&self, region: &str, table: &str, marks: &[&Mark]) -> Result<HashSet<Mark>, StoreError> {
        let Some(columns) = columns_of(table).filter(|_| !marks.is_empty()) else { return Ok(HashSet::new()) };
        let answer = self
            .client()
            .query(&sql(table, columns, marks))
            .param("region", region)
            .fetch_bytes("TSV")?
            .collect()
            .await?;
        let text = String::from_utf8_lossy(&answer);
        let found = text.lines().map(|line| parse(line, columns.len())).collect::<Option<HashSet<_>>>();
        found.ok_or_else(|| StoreError::Protocol { reason: format!("a row of `{table}` is none") })
    }
}

/// By numbers, which need no quoting: rows of other nodes that have the same are told apart later.
fn sql(table: &str, columns: &[&str], marks: &[&Mark]) -> String {
    let told: Vec<String> = columns
        .iter()
        .map(|name| if *name == BUCKET { format!("toUnixTimestamp({name})") } else { (*name).to_owned() })
        .collect();
    // The minute is looked for by itself, so that only it is read.
    let is_by_minute = columns[0] == BUCKET;
    let minutes = is_by_minute
        .then(|| is_in_minutes(marks.iter().filter_map(|mark| u32::try_from(*mark.values.first()?).ok())))
        .map_or_else(String::new, |minutes| format!("{minutes} AND "));
    let from = usize::from(is_by_minute);
    let rows: Vec<String> = marks
        .iter()
        .map(|mark| format!("({})", mark.values[from..].iter().map(i128::to_string).collect::<Vec<_>>().join(", ")))
        .collect();
    format!(
        "SELECT DISTINCT {}, node FROM {table} WHERE region = {{region:String}} AND {minutes}({}) IN ({})",
        told.join(", "),
        columns[from..].join(", "),
        rows.join(", ")
    )
}

fn parse(line: &str, values: usize) -> Option<Mark> {
    let mut fields = line.splitn(values + 1, '\t');
    let values = fields.by_ref().take(values).map(|field| field.parse().ok()).collect::<Option<_>>()?;
    Some(Mark { values, node: fields.next()?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LowCardinality;
    use crate::rows::{ClockStepRows, EventRows, StackRows};

    #[test]
    fn a_block_is_found_by_its_first_row_where_its_table_would_have_it_twice() {
        let rows = EventRows { bucket: vec![60, 120], boot: vec![7, 7], seq: vec![9, 10], ..EventRows::default() };
        let columns = |rows: EventRows| {
            let node = LowCardinality::constant("a b", 2);
            let columns = [("bucket", Column::DateTime(rows.bucket)), ("node", Column::LowCardinality(node))];
            columns
                .into_iter()
                .chain([("boot", Column::U64(rows.boot)), ("seq", Column::U64(rows.seq))])
                .collect::<Vec<_>>()
        };
        let mark = Mark::of("events", &columns(rows)).unwrap();
        assert_eq!(parse("60\t7\t9\ta b", 3), Some(mark.clone()));
        assert_eq!(
            sql("events", columns_of("events").unwrap(), &[&mark, &mark]),
            "SELECT DISTINCT toUnixTimestamp(bucket), boot, seq, node FROM events WHERE region = {region:String} AND bucket IN (toDateTime(60, 'UTC')) AND \
             (boot, seq) IN ((7, 9), (7, 9))"
        );
        assert!(StackRows::default().into_block().unwrap().mark().is_none());
        assert!(ClockStepRows::default().into_block().unwrap().mark().is_none(), "it has no row");
        assert!(["", "60\t7\ta", "60\t7\t9"].iter().all(|line| parse(line, 3).is_none()));
    }
}
