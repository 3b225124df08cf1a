//! Which alerts there are.

use serde::{Deserialize, Serialize};

use crate::args::Format;
use crate::colour::Palette;
use crate::source::Source;
use crate::table::{Align, Table};
use crate::terminal;

/// Longer ago than a state is left, with some room.
const EVALUATED_WITHIN_S: u64 = 600;

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

/// Of states of one time that of the newer incident counts, and of one incident that it is over.
const NEWEST: &str = "SELECT incident, toString(state) AS state, toString(severity) AS severity, toString(rule) AS rule, subject, \
    concat(replaceOne(toString(toDateTime64(since, 0)), ' ', 'T'), 'Z') AS since, \
    concat(replaceOne(toString(toDateTime64(skew_alerts.at, 0)), ' ', 'T'), 'Z') AS at, silenced, text \
    FROM (SELECT * FROM skew_alerts ORDER BY skew_alerts.at DESC, skew_alerts.incident DESC, skew_alerts.state DESC LIMIT 1 BY rule, subject) AS skew_alerts \
    WHERE {all:UInt8} = 1 OR state != 'resolved' ORDER BY state = 'resolved', incident DESC, since, rule, subject";

/// How old the newest state is that an evaluation left: one is left each five minutes at least.
const EVALUATED: &str =
    "SELECT toUInt64(count()) AS states, toInt64(dateDiff('second', max(at), now64(9))) AS age_s FROM alert_states";

#[derive(Debug, Deserialize)]
struct Evaluated {
    states: u64,
    age_s: i64,
}

impl Evaluated {
    /// What is to be said where nobody seems to evaluate.
    fn warning(&self) -> Option<String> {
        let since = match (self.states, u64::try_from(self.age_s)) {
            (0, _) => "yet".to_owned(),
            (_, Ok(age_s)) if age_s > EVALUATED_WITHIN_S => {
                format!("for {} minutes", age_s / 60)
            }
            _ => return None,
        };
        Some(format!(
            "nobody has evaluated alerts on this store {since}: what has happened since is not here (an aggregator does it, see its log and alerts.evaluate)\n"
        ))
    }
}

pub(super) async fn text(source: &Source, all: bool, format: Format) -> anyhow::Result<String> {
    let rows: Vec<Row> = source.rows(NEWEST, &[("all".to_owned(), u8::from(all).to_string())]).await?;
    if format == Format::Json {
        return Ok(serde_json::to_string_pretty(&rows)? + "\n");
    }
    let evaluated: Vec<Evaluated> = source.rows(EVALUATED, &[]).await?;
    let warning = evaluated.first().and_then(Evaluated::warning);
    if rows.is_empty() {
        let none = || "no alerts: no clock is known to be wrong (`syncline skew` shows what is known)\n".to_owned();
        return Ok(warning.unwrap_or_else(none));
    }
    let palette = Palette { enabled: terminal::wants_colour() };
    let width = if terminal::is_terminal() { terminal::width() } else { usize::MAX };
    let lines = crate::skew::with_heading(&table(&rows), width, palette);
    let lines = lines.iter().flat_map(|line| [line.as_str(), "\n"]);
    Ok(warning.as_deref().into_iter().chain(lines).chain(of_pending(&rows)).collect())
}

/// What is pending is no incident yet, and can be looked at meanwhile.
fn of_pending(rows: &[Row]) -> Option<&'static str> {
    let is_pending = |row: &Row| row.incident == 0 && row.state == "pending";
    rows.iter().any(is_pending).then_some(
        "What is pending has a number, for `explain`, once it has been so in two rounds (15 s each); until then: `syncline skew`, `syncline clock explain NODE`\n",
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_to_look_at_what_has_no_number_yet_is_said_where_there_is_something() {
        let row = |incident, state: &str| Row {
            incident,
            state: state.to_owned(),
            severity: String::new(),
            rule: String::new(),
            subject: String::new(),
            since: String::new(),
            at: String::new(),
            silenced: 0,
            text: String::new(),
        };
        assert!(of_pending(&[row(3, "firing"), row(0, "pending")]).is_some_and(|line| line.contains("clock explain")));
        assert_eq!(of_pending(&[row(3, "firing"), row(0, "resolved")]), None);
    }

    #[test]
    fn that_nobody_evaluates_is_said() {
        let warning = |states, age_s| Evaluated { states, age_s }.warning();
        assert!(warning(0, 1_700_000_000).unwrap().contains("on this store yet"));
        assert!(warning(1, 7_200).unwrap().contains("for 120 minutes"), "{:?}", warning(1, 7_200));
        assert_eq!((warning(1, 300), warning(2, -5)), (None, None));
    }
}
