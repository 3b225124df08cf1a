//! Which alerts there are.

use serde::{Deserialize, Serialize};

use crate::args::Format;
use crate::colour::Palette;
use crate::source::Source;
use crate::table::{Align, Table};
use crate::terminal;

#[derive(Debug, Deserialize, Serialize)]
struct Row {
    /// 0 while it never fired.
    incident: u64,
    state: String,
    severity: String,
    rule: String,
    subject: String,
    /// Since when its rule is met, and when it got its state; RFC 3339.
    since: String,
    at: String,
    silenced: u8,
    text: String,
}

const NEWEST: &str = "SELECT incident, toString(state) AS state, toString(severity) AS severity, toString(rule) AS rule, subject, \
    concat(replaceOne(toString(toDateTime64(since, 0)), ' ', 'T'), 'Z') AS since, \
    concat(replaceOne(toString(toDateTime64(skew_alerts.at, 0)), ' ', 'T'), 'Z') AS at, silenced, text \
    FROM (SELECT * FROM skew_alerts ORDER BY skew_alerts.at DESC LIMIT 1 BY rule, subject) AS skew_alerts \
    WHERE {all:UInt8} = 1 OR state != 'resolved' ORDER BY state = 'resolved', incident DESC, since, rule, subject";

pub(super) async fn text(source: &Source, all: bool, format: Format) -> anyhow::Result<String> {
    let rows: Vec<Row> = source.rows(NEWEST, &[("all".to_owned(), u8::from(all).to_string())]).await?;
    if format == Format::Json {
        return Ok(serde_json::to_string_pretty(&rows)? + "\n");
    }
    if rows.is_empty() {
        return Ok("no alerts: no clock is known to be wrong (`syncline skew` shows what is known)\n".to_owned());
    }
    let palette = Palette { enabled: terminal::wants_colour() };
    let width = if terminal::is_terminal() { terminal::width() } else { usize::MAX };
    let lines = crate::skew::with_heading(&table(&rows), width, palette);
    Ok(lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect())
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&[
        ("INCIDENT", Align::Right),
        ("STATE", Align::Left),
        ("SEVERITY", Align::Left),
        ("RULE", Align::Left),
        ("OF", Align::Left),
        ("SINCE", Align::Left),
        ("WHAT", Align::Left),
    ]);
    for row in rows {
        let state = if row.silenced == 1 { format!("{} (silenced)", row.state) } else { row.state.clone() };
        table.push(&[
            if row.incident == 0 { "-".to_owned() } else { row.incident.to_string() },
            state,
            row.severity.clone(),
            row.rule.clone(),
            row.subject.clone(),
            row.since.clone(),
            row.text.clone(),
        ]);
    }
    table
}
