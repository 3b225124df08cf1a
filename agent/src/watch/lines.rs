//! The table as lines of text, for pipes and for the end.

use super::Look;
use super::gather::Seen;
use super::table::{Column, cells, columns, detail_lines, footing_lines, heading_lines, listed};

/// Everything, one line each; `mark` tells a table in between (`--`) from the last one (`==`).
pub(super) fn lines(mark: &str, seen: &Seen, look: &Look) -> Vec<String> {
    let sites = listed(seen, look, "");
    let total = seen.sites.total().times;
    let shown = &sites[..sites.len().min(look.top)];
    let rows: Vec<Vec<String>> = shown.iter().map(|site| cells(site, &total)).collect();
    let mut lines = heading_lines(seen, look);
    if let Some(first) = lines.first_mut() {
        first.insert_str(0, &format!("{mark} "));
    }
    if rows.is_empty() {
        lines.push("no waits to list".to_owned());
    } else {
        lines.extend(aligned(&columns(&total), &rows));
    }
    if sites.len() > shown.len() {
        lines.push(format!("and {} sites more", sites.len() - shown.len()));
    }
    lines.extend(footing_lines(seen, look));
    if look.stacks {
        for site in shown {
            lines.push(String::new());
            lines.extend(detail_lines(seen, site));
        }
    }
    lines
}

/// The columns' headings and the rows, with columns that line up.
fn aligned(columns: &[Column], rows: &[Vec<String>]) -> Vec<String> {
    let headings: Vec<String> = columns.iter().map(|column| column.name.to_owned()).collect();
    let widths = widths(&headings, rows);
    std::iter::once(&headings).chain(rows).map(|row| line(columns, row, &widths)).collect()
}

/// Of each column the longest text, in characters.
pub(super) fn widths(headings: &[String], rows: &[Vec<String>]) -> Vec<usize> {
    let of = |text: &String| text.chars().count();
    let widest = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(of).max().unwrap_or(0);
    headings.iter().enumerate().map(|(column, heading)| of(heading).max(widest(column))).collect()
}

fn line(columns: &[Column], row: &[String], widths: &[usize]) -> String {
    let cell = |((column, text), width): ((&Column, &String), &usize)| {
        if column.is_number { format!("{text:>width$}") } else { format!("{text:<width$}") }
    };
    let cells: Vec<String> = columns.iter().zip(row).zip(widths).map(cell).collect();
    cells.join("  ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::sample::{look, seen};

    #[test]
    fn a_table_says_all_that_is_known_and_what_is_not_in_it() {
        assert_eq!(
            lines("==", &seen(), &look()),
            [
                "== 3.00 s, bank (pid 42)",
                "5 waits of 1.00 ms and longer, 1.00 s in all: blocked 997 ms, runnable 3.00 ms",
                "by reason: sync.Mutex.Lock 60.0 ms, sleep 40.0 ms",
                "   TIME  SHARE  COUNT  SITE                       REASON           RUNNABLE      P50      P99      MAX  WOKEN BY",
                "60.0 ms  6.0 %      3  main.transfer main.go:15   sync.Mutex.Lock   3.00 ms  20.1 ms  30.0 ms  30.0 ms  g1 100.0 %",
                "40.0 ms  4.0 %      1  main.\u{fffd}[2Jaudit main.go:15  sleep                   -  40.0 ms  40.0 ms  40.0 ms  timer 100.0 %",
                "not listed: 1 wait of Go's own goroutines, 900 ms",
                "lost: 2 (ring_buffer_full=2)",
            ]
        );
    }

    #[test]
    fn sites_beyond_the_top_are_counted_and_stacks_come_when_asked_for() {
        let text = lines("--", &seen(), &Look { top: 1, runtime: true, stacks: true, ..look() }).join("\n");
        assert!(text.contains("runtime.bgsweep main.go:15") && !text.contains("main.transfer main.go:15"), "{text}");
        assert!(text.contains("and 2 sites more") && !text.contains("not listed"), "{text}");
        assert!(text.ends_with(
            "stack 1 of 1: 1 wait, 900 ms, pid 42\n    runtime.gopark /src/bank/main.go:15\n    runtime.bgsweep /src/bank/main.go:15"
        ));
    }

    #[test]
    fn nothing_yet_is_said() {
        let text = lines("--", &Seen::default(), &look()).join("\n");
        assert!(text.contains("nobody yet") && text.contains("no waits to list") && text.contains("lost: 0"), "{text}");
    }
}
