//! The list of the longest waits.

use std::cmp::Reverse;

use super::event::Event;
use super::picture::{Look, spell};
use crate::colour::Colour;
use crate::table::{Align, Table};
use crate::{time, units};

/// The longest, in the order of their start.
pub(super) fn list(events: &[Event], look: Look) -> Vec<String> {
    let mut longest: Vec<&Event> = events.iter().collect();
    longest.sort_by_key(|event| Reverse(event.duration_ns));
    longest.truncate(look.rows);
    longest.sort_by_key(|event| (event.start_ns, event.goid));
    let mut table = Table::new(&[
        ("TIME (UTC)", Align::Left),
        ("BOUND", Align::Right),
        ("REGION", Align::Left),
        ("NODE", Align::Left),
        ("SERVICE", Align::Left),
        ("GOROUTINE", Align::Left),
        ("HOW LONG", Align::Right),
        ("WAITED FOR", Align::Left),
    ]);
    longest.iter().for_each(|event| table.push(&row(event).map(|cell| spell(cell, look.ascii))));
    let mut lines = table.lines(look.list_width);
    if let Some(heading) = lines.first_mut() {
        *heading = look.palette.paint(Colour::Bold, heading);
    }
    if longest.len() < events.len() {
        lines.push(format!("the {} longest of these {} waits; --rows lists more", longest.len(), events.len()));
    }
    lines
}

fn row(event: &Event) -> [String; 8] {
    let place = event.frame().map_or(String::new(), |frame| format!(" in {frame}"));
    [
        time::time_of_day(event.start_ns, 6),
        units::bound(event.bound_ns),
        event.region.clone(),
        event.node.clone(),
        event.service.clone(),
        format!("{} {}", event.pid, event.who()),
        units::span(event.duration_ns),
        format!("{}{place}{}{}", event.reason, event.target.after_place(), event.ending.after_place()),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::event::sample;
    use super::*;
    use crate::colour::Palette;
    use crate::target::tests::tcp;

    /// 2026-11-23T14:05:00Z
    const T0: i64 = 1_795_442_700_000_000_000;
    const MS: i64 = 1_000_000;

    fn look(rows: usize) -> Look {
        Look { width: 140, list_width: 140, ascii: false, palette: Palette { enabled: false }, lanes: 40, rows }
    }

    #[test]
    fn it_names_who_waited_for_what_and_how_sure_the_time_is() {
        let read = sample("us-east", 9, T0 + 40 * MS, 25_000_000, "IO wait");
        let events = [
            sample("eu-west", 18, T0 + 85 * MS, 500_000, "select"),
            sample("eu-west", 18, T0 + 10 * MS, 60_000_000, "sync.Mutex.Lock"),
            Event { target: tcp("10.0.0.9:443"), ..sample("us-east", 7, T0 + 20 * MS, 30_000_000, "IO wait") },
            Event { bound_ns: None, stack: Vec::new(), ..read },
        ];
        assert_eq!(
            list(&events, look(30)),
            [
                "TIME (UTC)         BOUND  REGION   NODE       SERVICE  GOROUTINE  HOW LONG  WAITED FOR",
                "14:05:00.010000  ±120 µs  eu-west  eu-west-1  shop     4711 g18    60.0 ms  sync.Mutex.Lock in main.(*Cart).Add",
                "14:05:00.020000  ±120 µs  us-east  us-east-1  shop     4711 g7     30.0 ms  IO wait in main.(*Cart).Add for tcp 10.0.0.9:443",
                "14:05:00.040000  unknown  us-east  us-east-1  shop     4711 g9     25.0 ms  IO wait",
                "14:05:00.085000  ±120 µs  eu-west  eu-west-1  shop     4711 g18     500 µs  select in main.(*Cart).Add",
            ]
        );
        assert_eq!(list(&events, look(2)).last().unwrap(), "the 2 longest of these 4 waits; --rows lists more");
    }
}
