//! The demo's verdict: are the published times inside their bounds, and is the order of messages right?

use std::collections::HashMap;
use std::fmt;

use super::journal::{Message, Moment};
use super::plan::REGIONS;
use super::truth::{Judged, JudgedRow};

/// A wait belongs to a send or a receipt when it ended this shortly before it. Between the two lies only the service's
/// own code, but a busy machine may take the processor away.
const BELONGS_WITHIN_NS: i64 = 5_000_000;
/// Undoing the injection rounds by a nanosecond or two.
const ROUNDING_NS: i64 = 10;
/// How Go names the wait for a socket.
const IO_WAIT: &str = "IO wait";

const LEAST_PAIRS: usize = 1_000;
const LEAST_INSIDE: f64 = 0.999;

/// What was found. Times in nanoseconds.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Findings {
    pub(crate) events: Vec<usize>,
    pub(crate) outside: usize,
    pub(crate) unbounded: usize,
    pub(crate) error_p99_ns: i64,
    /// None when most moments have no bound.
    pub(crate) bound_p50_ns: Option<i64>,
    pub(crate) right: usize,
    pub(crate) wrong: usize,
    pub(crate) cannot_tell: usize,
    /// Messages of which a side has no captured wait: not a pair.
    pub(crate) unmatched: usize,
}

impl Findings {
    /// From all rows of the store and the messages sent while all agents were capturing.
    pub(crate) fn of(rows: &[JudgedRow], messages: &[Message]) -> Self {
        let mut findings = Self { events: vec![0; REGIONS.len()], ..Self::default() };
        findings.add_rows(rows);
        findings.add_messages(rows, messages);
        findings
    }

    fn add_rows(&mut self, rows: &[JudgedRow]) {
        for row in rows {
            if let Some(count) = self.events.get_mut(row.region) {
                *count += 1;
            }
            let bounded = row.start.bound_ns.is_some() && row.end.bound_ns.is_some();
            self.unbounded += usize::from(!bounded);
            self.outside += usize::from(bounded && !(row.start.is_inside() && row.end.is_inside()));
        }
        let moments = || rows.iter().flat_map(|row| [row.start, row.end]);
        self.error_p99_ns = percentile(moments().map(|moment| moment.error_ns()), 99).unwrap_or(0);
        let bounds = moments().map(|moment| moment.bound_ns.unwrap_or(i64::MAX));
        self.bound_p50_ns = percentile(bounds, 50).filter(|bound| *bound < i64::MAX);
    }

    fn add_messages(&mut self, rows: &[JudgedRow], messages: &[Message]) {
        let waits = Waits::of(rows);
        for message in messages {
            match (waits.ended_before(message.sent, false), waits.ended_before(message.received, true)) {
                (Some(sent), Some(received)) => match order(sent, received) {
                    Order::Before => self.right += 1,
                    Order::After => self.wrong += 1,
                    Order::CannotTell => self.cannot_tell += 1,
                },
                _ => self.unmatched += 1,
            }
        }
    }

    pub(crate) fn pairs(&self) -> usize {
        self.right + self.wrong + self.cannot_tell
    }

    pub(crate) fn all_events(&self) -> usize {
        self.events.iter().sum()
    }

    /// What the demo promises and this run does not show; empty when all is well.
    pub(crate) fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        for (region, events) in REGIONS.iter().zip(&self.events) {
            if *events == 0 {
                failures.push(format!("no event of region {}", region.name));
            }
        }
        let inside = self.all_events() - self.outside - self.unbounded;
        if (inside as f64) < LEAST_INSIDE * self.all_events() as f64 {
            failures.push(format!(
                "only {inside} of {} rows lie inside their bound ({} outside, {} unbounded)",
                self.all_events(),
                self.outside,
                self.unbounded
            ));
        }
        if self.pairs() < LEAST_PAIRS {
            failures.push(format!(
                "only {} pairs, {LEAST_PAIRS} are needed ({} unmatched)",
                self.pairs(),
                self.unmatched
            ));
        }
        if self.wrong > 0 {
            failures.push(format!("{} pairs in the wrong order", self.wrong));
        }
        failures
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let regions = self.events.iter().filter(|events| **events > 0).count();
        let micros = |ns: i64| format!("{:.1}", ns as f64 / 1e3);
        write!(f, "regions={regions} events={} pairs={} ", self.all_events(), self.pairs())?;
        write!(f, "wrong={} cannot_tell={} ", self.wrong, self.cannot_tell)?;
        let bound = self.bound_p50_ns.map_or_else(|| "unbounded".to_owned(), micros);
        write!(f, "offset_error_p99_us={} bound_p50_us={bound}", micros(self.error_p99_ns))
    }
}

/// The waits of each goroutine, by their true end.
struct Waits<'a>(HashMap<(usize, u64), Vec<&'a JudgedRow>>);

impl<'a> Waits<'a> {
    fn of(rows: &'a [JudgedRow]) -> Self {
        let mut waits: HashMap<_, Vec<_>> = HashMap::new();
        for row in rows {
            waits.entry((row.region, row.goid)).or_default().push(row);
        }
        for rows in waits.values_mut() {
            rows.sort_by_key(|row| row.end.true_mono_ns);
        }
        Self(waits)
    }

    /// The end of the goroutine's last wait before the moment, if the moment belongs to it. What received a message
    /// waited for its socket.
    fn ended_before(&self, moment: Moment, receipt: bool) -> Option<Judged> {
        let waits = self.0.get(&(moment.region, moment.goid))?;
        let after = waits.partition_point(|row| row.end.true_mono_ns <= moment.mono_ns.saturating_add(ROUNDING_NS));
        let last = waits.get(after.checked_sub(1)?)?;
        let belongs = moment.mono_ns.saturating_sub(last.end.true_mono_ns) <= BELONGS_WITHIN_NS;
        (belongs && (!receipt || last.reason == IO_WAIT)).then_some(last.end)
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Order {
    Before,
    After,
    CannotTell,
}

/// What the published times say about two moments.
fn order(first: Judged, second: Judged) -> Order {
    let (Some(first_bound), Some(second_bound)) = (first.bound_ns, second.bound_ns) else {
        return Order::CannotTell;
    };
    let apart = second.published_ns.saturating_sub(first.published_ns);
    let unsure = first_bound.saturating_add(second_bound);
    if apart > unsure {
        Order::Before
    } else if apart < unsure.saturating_neg() {
        Order::After
    } else {
        Order::CannotTell
    }
}

/// The smallest value that at least so many percent do not exceed.
pub(crate) fn percentile(values: impl Iterator<Item = i64>, percent: usize) -> Option<i64> {
    let mut values: Vec<_> = values.collect();
    let rank = (values.len() * percent).div_ceil(100).saturating_sub(1);
    if rank >= values.len() {
        return None;
    }
    let (_, value, _) = values.select_nth_unstable(rank);
    Some(*value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(true_ns: i64, error_ns: i64, bound_ns: i64) -> Judged {
        Judged { published_ns: true_ns + error_ns, bound_ns: Some(bound_ns), true_ns, true_mono_ns: true_ns }
    }

    fn wait(region: usize, goid: u64, end: Judged) -> JudgedRow {
        let start = moment(end.true_ns - 2_000_000, 0, 100);
        JudgedRow { region, goid, reason: IO_WAIT.into(), start, end }
    }

    fn message(sent: i64, received: i64) -> Message {
        Message {
            sent: Moment { region: 0, goid: 1, mono_ns: sent },
            received: Moment { region: 1, goid: 2, mono_ns: received },
        }
    }

    fn found(sent: Judged, received: Judged) -> Findings {
        let rows = [wait(0, 1, sent), wait(1, 2, received)];
        Findings::of(&rows, &[message(sent.true_ns + 500, received.true_ns + 500)])
    }

    #[test]
    fn the_published_intervals_decide_the_order() {
        let right = found(moment(10_000, 0, 100), moment(20_000, 0, 100));
        assert_eq!((right.right, right.wrong, right.cannot_tell), (1, 0, 0));
        let overlapping = found(moment(10_000, 0, 6_000), moment(20_000, 0, 6_000));
        assert_eq!((overlapping.right, overlapping.cannot_tell), (0, 1));
        let wrong = found(moment(10_000, 30_000, 100), moment(20_000, 0, 100));
        assert_eq!((wrong.wrong, wrong.outside), (1, 1));
        assert!(wrong.failures().iter().any(|failure| failure.contains("wrong order")));
    }

    #[test]
    fn a_message_far_from_its_wait_is_no_pair() {
        let rows = [wait(0, 1, moment(10_000, 0, 100)), wait(1, 2, moment(20_000, 0, 100))];
        let late = message(10_000 + BELONGS_WITHIN_NS + 1, 20_000);
        let early = message(9_000, 20_000);
        let findings = Findings::of(&rows, &[late, early]);
        assert_eq!((findings.pairs(), findings.unmatched), (0, 2));
    }

    #[test]
    fn a_receipt_needs_a_wait_for_the_socket() {
        let mut received = wait(1, 2, moment(20_000, 0, 100));
        received.reason = "sync.Mutex.Lock".into();
        let findings = Findings::of(&[wait(0, 1, moment(10_000, 0, 100)), received], &[message(10_500, 20_500)]);
        assert_eq!((findings.pairs(), findings.unmatched), (0, 1));
    }

    #[test]
    fn a_row_without_bound_counts_against_the_share() {
        let mut rows = vec![wait(0, 1, moment(10_000, 0, 100)); 998];
        rows.push(wait(1, 1, moment(10_000, 0, 100)));
        rows.push(wait(2, 1, moment(10_000, 0, 100)));
        let share = |rows: &[JudgedRow]| {
            Findings::of(rows, &[]).failures().iter().any(|failure| failure.contains("inside their bound"))
        };
        assert!(!share(&rows));
        rows[0].end.bound_ns = None;
        assert!(!share(&rows));
        rows[1].start.bound_ns = None;
        assert!(share(&rows));
    }

    #[test]
    fn the_last_line_has_its_form() {
        let mut findings = found(moment(10_000, 0, 100), moment(20_000, 1_250, 2_000));
        findings.events = vec![3, 2, 1];
        let line = "regions=3 events=6 pairs=1 wrong=0 cannot_tell=0 offset_error_p99_us=1.2 bound_p50_us=0.1";
        assert_eq!(findings.to_string(), line);
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        assert_eq!(percentile([3, 1, 2].into_iter(), 50), Some(2));
        assert_eq!(percentile(1..=100, 99), Some(99));
        assert_eq!(percentile([7].into_iter(), 99), Some(7));
        assert_eq!(percentile(std::iter::empty(), 50), None);
    }
}
