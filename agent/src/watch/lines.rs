//! The table as lines of text, for pipes and for the end.

use super::Look;
use super::gather::Seen;
use super::table::{Column, detail_lines, footing_lines, heading_lines, listed, table};
use syncline_insight::and_more;

/// Everything, one line each; `mark` tells a table in between (`--`) from the last one (`==`).
pub(super) fn lines(mark: &str, seen: &Seen, look: &Look) -> Vec<String> {
    let sites = listed(seen, look, "");
    let shown = &sites[..sites.len().min(look.top)];
    let (columns, rows) = table(seen, look, shown);
    let mut lines = heading_lines(seen, look);
    if let Some(first) = lines.first_mut() {
        first.insert_str(0, &format!("{mark} "));
    }
    if rows.is_empty() {
        lines.push("no waits to list".to_owned());
    } else {
        lines.extend(aligned(&columns, &rows));
    }
    lines.extend(and_more(sites.len().saturating_sub(shown.len()) as u64));
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
    use crate::watch::sample::{hang, inside, look, seen};

    #[test]
    fn a_table_says_all_that_is_known_and_what_is_not_in_it() {
        assert_eq!(
            lines("==", &seen(), &look()),
            [
                "== 3.00 s, bank (pid 42)",
                "4 waits of 1.00 ms and longer, 100 ms in all: blocked 97.0 ms, runnable 3.00 ms",
                "by reason: sync.Mutex.Lock 60.0 ms, sleep 40.0 ms",
                "   TIME   SHARE  COUNT  SITE                       REASON           RUNNABLE      P50      P99      MAX  WOKEN BY",
                "60.0 ms  60.0 %      3  main.transfer main.go:15   sync.Mutex.Lock   3.00 ms  20.1 ms  30.0 ms  30.0 ms  g1 100.0 %",
                "40.0 ms  40.0 %      1  main.\u{fffd}[2Jaudit main.go:15  sleep                   -  40.0 ms  40.0 ms  40.0 ms  timer 100.0 %",
                "not listed: 1 wait of Go's own goroutines, 900 ms",
                "lost: 2 (ring_buffer_full=2)",
            ]
        );
    }

    #[test]
    fn sites_beyond_the_top_are_counted_and_stacks_come_when_asked_for() {
        let text = lines("--", &seen(), &Look { top: 1, runtime: true, stacks: true, ..look() }).join("\n");
        assert!(text.contains("runtime.bgsweep main.go:15") && !text.contains("main.transfer main.go:15"), "{text}");
        assert!(text.contains("and 2 sites more\n") && !text.contains("not listed"), "{text}");
        assert!(text.ends_with(
            "stack 1 of 1: 1 wait, 900 ms, pid 42\n    runtime.gopark /src/bank/main.go:15\n    runtime.bgsweep /src/bank/main.go:15"
        ));
    }

    #[test]
    fn goroutines_that_hang_are_shown_before_their_waits_end() {
        let mut seen = seen();
        hang(&mut seen);
        let lines = lines("==", &seen, &Look { stacks: true, ..look() });
        assert_eq!(
            lines[1..5],
            [
                "6 waits of 1.00 ms and longer, 4.10 s in all: blocked 4.10 s, runnable 3.00 ms; 2 go on",
                "by reason: sync.Mutex.Lock 4.06 s, sleep 40.0 ms",
                "   TIME   SHARE  COUNT        NOW  SITE                       REASON           RUNNABLE      P50      P99      MAX  WOKEN BY",
                " 4.06 s  99.0 %      5  2, 2.00 s  main.transfer main.go:15   sync.Mutex.Lock   3.00 ms  20.1 ms  30.0 ms   2.00 s  g1 100.0 %",
            ]
        );
        assert!(lines.contains(&"blocked now: 2, the longest for 2.00 s".to_owned()), "{lines:#?}");
        assert!(lines.contains(&"stack 1 of 1: 5 waits, 4.06 s, pid 42; 2 go on".to_owned()), "{lines:#?}");
    }

    #[test]
    fn what_is_inside_of_calls_of_c_is_listed_and_not_counted() {
        let mut seen = Seen::default();
        inside(&mut seen);
        let text = lines("==", &seen, &Look { stacks: true, ..look() }).join("\n");
        assert!(text.contains("1 wait of 0 ns and longer, 90.0 ms in all"), "{text}");
        assert!(text.contains("by reason: cgo call 90.0 ms\n"), "{text}");
        assert!(text.contains("80.0 ms   inside      1"), "{text}");
        assert!(text.contains("inside of calls of C, which are counted"), "{text}");
        assert!(text.contains("mostly woken in main.give /src/bank/main.go:15, 1 times of 1"), "{text}");
    }

    #[test]
    fn nothing_yet_is_said() {
        let text = lines("--", &Seen::default(), &look()).join("\n");
        assert!(text.contains("nobody yet") && text.contains("no waits to list") && text.contains("lost: 0"), "{text}");
    }
}
