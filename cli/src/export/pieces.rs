//! A long range in pieces, of which one is asked for at a time: so neither the store nor we sort more than a piece.

use serde::Deserialize;

use super::args::ExportArgs;
use crate::source::Source;
use crate::waits::BEFORE_NS;
use crate::window::Window;

const MINUTE_NS: i64 = 60_000_000_000;

/// How many rows began in a minute of their region's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
struct Minute {
    start_ns: i64,
    rows: u64,
}

/// The pieces in the order of time. Together they are the range, and the time before it in which waits began that last into it.
pub(super) async fn pieces(
    source: &Source,
    window: Window,
    args: &ExportArgs,
    rows_each: u64,
) -> anyhow::Result<Vec<Window>> {
    let all = Window { from_ns: window.from_ns.saturating_sub(BEFORE_NS), to_ns: window.to_ns };
    let mut conditions =
        vec!["toUnixTimestamp(t.bucket) >= {first:Int64} AND toUnixTimestamp(t.bucket) <= {last:Int64}"];
    let second = |ns: i64| ns.div_euclid(1_000_000_000).clamp(0, i64::from(u32::MAX)).to_string();
    let mut params =
        vec![("first".to_owned(), second(all.from_ns - MINUTE_NS)), ("last".to_owned(), second(all.to_ns))];
    for condition in args.whose.conditions() {
        conditions.push(condition.sql);
        params.push((condition.name.to_owned(), condition.value));
    }
    let sql = format!(
        "SELECT toInt64(toUnixTimestamp(bucket)) * 1000000000 AS start_ns, count() AS rows FROM events AS t WHERE {} \
        GROUP BY bucket ORDER BY bucket",
        conditions.join(" AND ")
    );
    let minutes: Vec<Minute> = source.rows(&sql, &params).await?;
    Ok(split(all, &minutes, rows_each))
}

/// Cuts the range so that pieces have about so many rows. Minutes are of the regions' clocks, which are near the fleet's: it need not be exact.
fn split(all: Window, minutes: &[Minute], rows_each: u64) -> Vec<Window> {
    let mut cuts = Vec::new();
    let mut rows = 0;
    for minute in minutes {
        rows += minute.rows;
        if rows >= rows_each {
            let parts = i64::try_from(minute.rows / rows_each.max(1)).unwrap_or(1).max(1);
            // A minute of many rows in equal parts, whose last one ends with it.
            cuts.extend((1..=parts).map(|part| minute.start_ns + MINUTE_NS / parts * part));
            rows = 0;
        }
    }
    cuts.retain(|cut| *cut > all.from_ns && *cut < all.to_ns);
    let begins = std::iter::once(all.from_ns).chain(cuts.iter().copied());
    let ends = cuts.iter().copied().chain(std::iter::once(all.to_ns));
    begins.zip(ends).map(|(from_ns, to_ns)| Window { from_ns, to_ns }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(number: i64, rows: u64) -> Minute {
        Minute { start_ns: number * MINUTE_NS, rows }
    }

    #[test]
    fn pieces_make_up_the_range_and_have_about_so_many_rows() {
        let all = Window { from_ns: MINUTE_NS / 2, to_ns: 10 * MINUTE_NS };
        let minutes = [minute(0, 50), minute(1, 60), minute(2, 10), minute(3, 350), minute(8, 20)];
        let pieces = split(all, &minutes, 100);
        let ends: Vec<i64> = pieces.iter().map(|piece| piece.to_ns / (MINUTE_NS / 3)).collect();
        assert_eq!(ends, [6, 10, 11, 12, 30]);
        assert_eq!(pieces[0].from_ns, all.from_ns);
        assert!(pieces.windows(2).all(|pair| pair[0].to_ns == pair[1].from_ns));
    }

    #[test]
    fn a_range_of_few_rows_is_one_piece() {
        let all = Window { from_ns: 0, to_ns: 7 };
        assert_eq!(split(all, &[], 100), [all]);
        assert_eq!(split(all, &[minute(-1, 1_000), minute(5, 1_000)], 100), [all], "cuts outside of it are none");
    }
}
