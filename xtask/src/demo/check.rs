//! The demo's verdict: are the published times inside their bounds, and is the order of messages right?

use std::collections::HashMap;
use std::fmt;

use syncline_timeline::Order;

use super::journal::{Message, Moment};
use super::plan::REGIONS;
use super::questions::Questions;
use super::report::{Messages, Stored};
use super::truth::{Judged, JudgedRow};

/// A wait belongs to a send or a receipt when it ended this shortly before it. Between the two lies only the service's
/// own code, but a busy machine may take the processor away.
const BELONGS_WITHIN_NS: i64 = 5_000_000;
/// Undoing the injection rounds by a nanosecond or two.
const ROUNDING_NS: i64 = 10;
/// How Go names the wait for a socket.
const IO_WAIT: &str = "IO wait";

const LEAST_PAIRS: usize = 1_000;
/// Blocks of the feed and their answers, between two regions, as the agents saw them: some fifty a second each way.
const LEAST_MESSAGES: usize = 100;
const LEAST_INSIDE: f64 = 0.999;
/// Any bound holds if it is wide enough. On a busy machine it is well below 1 ms, and some 5 ms with `--wan-probes`.
const WIDEST_BOUND_P50_NS: i64 = 10_000_000;

/// What was found. Times in nanoseconds.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Findings {
    /// Rows found on the timeline, of each region.
    pub(crate) events: Vec<usize>,
    /// Rows of the store that the timeline does not have within a minute of the run: as wrong as a time can be.
    pub(crate) astray: usize,
    /// Rows of the timeline beyond one for each event.
    pub(crate) repeated: usize,
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
    /// What the kernels saw sent and received, by each two nodes; none of a recording, which may be from before there were any.
    pub(crate) fed: Option<Vec<Messages>>,
    /// How many questions of docs/schema.md were asked; none of a recording.
    pub(crate) questions: Option<usize>,
    /// Those without an answer.
    pub(crate) unanswered: Vec<String>,
}

impl Findings {
    /// From the rows of the timeline, what the store holds, and the messages sent while all agents were capturing.
    pub(crate) fn of(rows: &[JudgedRow], stored: Stored, messages: &[Message]) -> Self {
        let repeated = rows.len().saturating_sub(stored.events.saturating_sub(stored.astray));
        let mut findings = Self { events: vec![0; REGIONS.len()], astray: stored.astray, repeated, ..Self::default() };
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
                (Some(sent), Some(received)) => match Order::of(sent.bracket(), received.bracket()) {
                    Order::Before => self.right += 1,
                    Order::After => self.wrong += 1,
                    Order::CannotTell => self.cannot_tell += 1,
                },
                _ => self.unmatched += 1,
            }
        }
    }

    /// With what the kernels saw of the feeds.
    pub(crate) fn with_messages(self, fed: Option<Vec<Messages>>) -> Self {
        Self { fed, ..self }
    }

    /// With what docs/schema.md asks.
    pub(crate) fn with_questions(self, questions: Option<&Questions>) -> Self {
        let Some(asked) = questions.map(Questions::unanswered) else { return self };
        let (unanswered, all) = asked;
        Self { questions: Some(all), unanswered: unanswered.into_iter().map(str::to_owned).collect(), ..self }
    }

    fn message_failures(&self) -> Vec<String> {
        let Some(fed) = &self.fed else { return Vec::new() };
        let between = |src: &str, dst: &str| fed.iter().find(|fed| fed.src_node == src && fed.dst_node == dst);
        let ways = REGIONS.windows(2).flat_map(|two| [(two[0].node, two[1].node), (two[1].node, two[0].node)]);
        let few = ways.filter_map(|(src, dst)| {
            let pairs = between(src, dst).map_or(0, |fed| fed.pairs);
            (pairs < LEAST_MESSAGES)
                .then(|| format!("only {pairs} messages from {src} to {dst}, {LEAST_MESSAGES} are needed"))
        });
        let violated = fed.iter().filter(|fed| fed.violated > 0).map(|fed| {
            let Messages { src_node, dst_node, violated, pairs, .. } = fed;
            format!("{violated} of {pairs} messages from {src_node} to {dst_node} are proved to be received before they were sent")
        });
        few.chain(violated).collect()
    }

    pub(crate) fn pairs(&self) -> usize {
        self.right + self.wrong + self.cannot_tell
    }

    /// With those that the timeline does not show.
    pub(crate) fn all_events(&self) -> usize {
        self.events.iter().sum::<usize>() + self.astray
    }

    /// What the demo promises and this run does not show; empty when all is well.
    pub(crate) fn failures(&self) -> Vec<String> {
        let rows =
            self.missing_regions().chain(self.repeats()).chain(self.too_few_inside()).chain(self.useless_bound());
        let unanswered = self.unanswered.iter().map(|heading| format!("docs/schema.md: no answer to {heading:?}"));
        rows.chain(self.order_failures()).chain(self.message_failures()).chain(unanswered).collect()
    }

    fn missing_regions(&self) -> impl Iterator<Item = String> {
        let regions = REGIONS.iter().zip(&self.events).filter(|(_, events)| **events == 0);
        regions.map(|(region, _)| format!("no event of region {} is on the timeline", region.name))
    }

    fn repeats(&self) -> Option<String> {
        (self.repeated > 0).then(|| format!("the timeline shows {} rows too many: events are repeated", self.repeated))
    }

    /// Rows whose both ends are inside their published bounds, and all rows.
    pub(crate) fn inside(&self) -> (usize, usize) {
        let all = self.all_events();
        (all.saturating_sub(self.astray + self.outside + self.unbounded), all)
    }

    fn too_few_inside(&self) -> Option<String> {
        let (inside, all) = self.inside();
        ((inside as f64) < LEAST_INSIDE * all as f64).then(|| {
            format!(
                "only {inside} of {all} rows lie inside their bound ({} outside, {} unbounded, \
                 {} nowhere within a minute of the run)",
                self.outside, self.unbounded, self.astray
            )
        })
    }

    fn useless_bound(&self) -> Option<String> {
        let most = WIDEST_BOUND_P50_NS / 1_000_000;
        match self.bound_p50_ns {
            Some(bound) if bound <= WIDEST_BOUND_P50_NS => None,
            Some(bound) => {
                Some(format!("the median bound is {:.1} ms, {most} ms at most are of use", bound as f64 / 1e6))
            }
            None => Some("most moments have no bound".to_owned()),
        }
    }

    fn order_failures(&self) -> impl Iterator<Item = String> {
        let (pairs, unmatched) = (self.pairs(), self.unmatched);
        let few = (pairs < LEAST_PAIRS)
            .then(|| format!("only {pairs} pairs, {LEAST_PAIRS} are needed ({unmatched} unmatched)"));
        let wrong = (self.wrong > 0).then(|| format!("{} pairs in the wrong order", self.wrong));
        let undecided = (self.right == 0).then(|| format!("of {pairs} pairs the order of none could be told"));
        [few, wrong, undecided].into_iter().flatten()
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let regions = self.events.iter().filter(|events| **events > 0).count();
        let micros = |ns: i64| format!("{:.1}", ns as f64 / 1e3);
        write!(f, "regions={regions} events={} pairs={} ", self.all_events(), self.pairs())?;
        write!(f, "wrong={} cannot_tell={} ", self.wrong, self.cannot_tell)?;
        let bound = self.bound_p50_ns.map_or_else(|| "unbounded".to_owned(), micros);
        write!(f, "offset_error_p99_us={} bound_p50_us={bound}", micros(self.error_p99_ns))?;
        let Some(fed) = &self.fed else { return Ok(()) };
        let sum = |number: fn(&Messages) -> usize| fed.iter().map(number).sum::<usize>();
        write!(f, " messages={} violated={}", sum(|fed| fed.pairs), sum(|fed| fed.violated))?;
        let Some(questions) = self.questions else { return Ok(()) };
        write!(f, " questions={questions} answered={}", questions.saturating_sub(self.unanswered.len()))
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

    /// The timeline has all that the store has.
    fn judged(rows: &[JudgedRow], messages: &[Message]) -> Findings {
        Findings::of(rows, Stored { events: rows.len(), astray: 0 }, messages)
    }

    fn fails(findings: &Findings, why: &str) -> bool {
        findings.failures().iter().any(|failure| failure.contains(why))
    }

    fn found(sent: Judged, received: Judged) -> Findings {
        let rows = [wait(0, 1, sent), wait(1, 2, received)];
        judged(&rows, &[message(sent.true_ns + 500, received.true_ns + 500)])
    }

    #[test]
    fn the_published_intervals_decide_the_order() {
        let right = found(moment(10_000, 0, 100), moment(20_000, 0, 100));
        assert_eq!((right.right, right.wrong, right.cannot_tell), (1, 0, 0));
        let overlapping = found(moment(10_000, 0, 6_000), moment(20_000, 0, 6_000));
        assert_eq!((overlapping.right, overlapping.cannot_tell), (0, 1));
        let wrong = found(moment(10_000, 30_000, 100), moment(20_000, 0, 100));
        assert_eq!((wrong.wrong, wrong.outside), (1, 1));
        assert!(fails(&wrong, "wrong order") && !fails(&right, "wrong order"));
        assert!(fails(&overlapping, "order of none") && !fails(&right, "order of none"));
    }

    #[test]
    fn a_message_far_from_its_wait_is_no_pair() {
        let rows = [wait(0, 1, moment(10_000, 0, 100)), wait(1, 2, moment(20_000, 0, 100))];
        let late = message(10_000 + BELONGS_WITHIN_NS + 1, 20_000);
        let early = message(9_000, 20_000);
        let findings = judged(&rows, &[late, early]);
        assert_eq!((findings.pairs(), findings.unmatched), (0, 2));
    }

    #[test]
    fn a_receipt_needs_a_wait_for_the_socket() {
        let mut received = wait(1, 2, moment(20_000, 0, 100));
        received.reason = "sync.Mutex.Lock".into();
        let findings = judged(&[wait(0, 1, moment(10_000, 0, 100)), received], &[message(10_500, 20_500)]);
        assert_eq!((findings.pairs(), findings.unmatched), (0, 1));
    }

    #[test]
    fn a_row_without_bound_counts_against_the_share() {
        let mut rows = vec![wait(0, 1, moment(10_000, 0, 100)); 998];
        rows.push(wait(1, 1, moment(10_000, 0, 100)));
        rows.push(wait(2, 1, moment(10_000, 0, 100)));
        let share = |rows: &[JudgedRow]| fails(&judged(rows, &[]), "inside their bound");
        assert!(!share(&rows));
        rows[0].end.bound_ns = None;
        assert!(!share(&rows));
        rows[1].start.bound_ns = None;
        assert!(share(&rows));
    }

    #[test]
    fn a_row_that_is_nowhere_near_counts_as_outside() {
        let rows = vec![wait(0, 1, moment(10_000, 0, 100)); 999];
        let with_astray = |astray| Findings::of(&rows, Stored { events: 999 + astray, astray }, &[]);
        assert_eq!(with_astray(1).all_events(), 1_000);
        assert!(!fails(&with_astray(1), "inside their bound"));
        assert!(fails(&with_astray(2), "2 nowhere within a minute"));
    }

    #[test]
    fn an_event_shown_twice_is_a_failure() {
        let rows = vec![wait(0, 1, moment(10_000, 0, 100)); 4];
        let findings = Findings::of(&rows, Stored { events: 4, astray: 1 }, &[]);
        assert_eq!(findings.repeated, 1);
        assert!(fails(&findings, "repeated") && !fails(&judged(&rows, &[]), "repeated"));
    }

    #[test]
    fn a_bound_too_wide_to_be_of_use_is_a_failure() {
        let with_bound = |bound_ns| {
            let moment = Judged { bound_ns, ..moment(10_000, 0, 0) };
            judged(&[JudgedRow { start: moment, ..wait(0, 1, moment) }], &[])
        };
        assert!(!fails(&with_bound(Some(WIDEST_BOUND_P50_NS)), "bound"));
        assert!(fails(&with_bound(Some(3_600_000_000_000)), "median bound is 3600000.0 ms"));
        assert!(fails(&with_bound(None), "most moments have no bound"));
    }

    #[test]
    fn the_last_line_has_its_form() {
        let mut findings = found(moment(10_000, 0, 100), moment(20_000, 1_250, 2_000));
        findings.events = vec![3, 2, 1];
        let line = "regions=3 events=6 pairs=1 wrong=0 cannot_tell=0 offset_error_p99_us=1.2 bound_p50_us=0.1";
        assert_eq!(findings.to_string(), line);
    }

    #[test]
    fn a_message_that_contradicts_the_clocks_is_a_failure_and_so_are_too_few() {
        let fed = |src: &str, dst: &str, pairs, violated| Messages {
            src_node: src.into(),
            dst_node: dst.into(),
            pairs,
            violated,
            cannot_tell: 0,
        };
        let all = vec![
            fed("us-1", "eu-1", 500, 0),
            fed("eu-1", "us-1", 500, 1),
            fed("eu-1", "ap-1", 500, 0),
            fed("ap-1", "eu-1", 99, 0),
        ];
        let findings = found(moment(10_000, 0, 100), moment(20_000, 0, 100)).with_messages(Some(all));
        let failures: Vec<_> = findings.message_failures();
        assert_eq!(failures.len(), 2, "{failures:?}");
        assert!(fails(&findings, "only 99 messages from ap-1 to eu-1"));
        assert!(fails(&findings, "1 of 500 messages from eu-1 to us-1 are proved"));
        assert!(findings.to_string().ends_with(" messages=1599 violated=1"), "{findings}");
        assert!(found(moment(10_000, 0, 100), moment(20_000, 0, 100)).message_failures().is_empty());
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        assert_eq!(percentile([3, 1, 2].into_iter(), 50), Some(2));
        assert_eq!(percentile(1..=100, 99), Some(99));
        assert_eq!(percentile([7].into_iter(), 99), Some(7));
        assert_eq!(percentile(std::iter::empty(), 50), None);
    }
}
