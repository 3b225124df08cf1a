//! Whether the promises held in spite of all. Pure.

use std::fmt;

use super::steps::Steps;
use crate::demo::check::{Findings, percentile};
use crate::demo::relay::Traffic;
use crate::demo::truth::JudgedRow;

/// Of this many rows one may be outside its bound, or have none where it should.
const ONE_IN: usize = 10_000;

/// Rows as they were placed at some time, held against the truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Placement {
    pub(super) rows: usize,
    pub(super) outside: usize,
    /// Rows of which nothing is claimed.
    pub(super) unbounded: usize,
    pub(super) error_p99_ns: i64,
}

impl Placement {
    pub(super) fn of<'a>(rows: impl Iterator<Item = &'a JudgedRow> + Clone) -> Self {
        let is_bounded = |row: &&JudgedRow| row.start.bound_ns.is_some() && row.end.bound_ns.is_some();
        let errors = rows.clone().flat_map(|row| [row.start.error_ns(), row.end.error_ns()]);
        Self {
            rows: rows.clone().count(),
            outside: rows.clone().filter(|row| is_outside(row)).count(),
            unbounded: rows.filter(|row| !is_bounded(row)).count(),
            error_p99_ns: percentile(errors, 99).unwrap_or(0),
        }
    }
}

/// Whether an end of it is elsewhere than it is said to be.
pub(super) fn is_outside(row: &JudgedRow) -> bool {
    [row.start, row.end].iter().any(|moment| moment.bound_ns.is_some() && !moment.is_inside())
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// The rows of the honest nodes on the fleet's timeline, at the end, and the messages between them.
    pub(super) timeline: Findings,
    /// The same rows on their regions' clocks, as they were first stored.
    pub(super) at_once: Placement,
    /// Of these, those that had their minute.
    pub(super) at_once_settled: Placement,
    /// Those that had their minute, as they were placed again.
    pub(super) settled: Placement,
    /// The rows of the node that lies.
    pub(super) liar: Placement,
    pub(super) steps: Steps,
    /// Disruptions that were declared of honest nodes' clocks and of references, of which none comes: what the plan does to MONO and RAW is drift and slews,
    /// an agent that is stopped leaves them going on, and a reference that is stepped is another run.
    pub(super) false_disruptions: usize,
    /// Packets of clock probes on all paths.
    pub(super) traffic: Traffic,
    /// Exchanges of the honest nodes that went over UDP, and all.
    pub(super) udp_probes: usize,
    pub(super) probes: usize,
    /// Waits that the honest nodes' agents captured.
    pub(super) captured: usize,
}

impl Verdict {
    /// How many rows are inside their bounds, and all, where the share is the least: on the timeline, where every row wants a
    /// bound, or on their regions' clocks at once or placed again, where some may claim nothing yet.
    fn inside(&self) -> (usize, usize) {
        let of = |placement: &Placement| (placement.rows - placement.outside, placement.rows);
        let all = [self.timeline.inside(), of(&self.at_once), of(&self.settled)];
        // a/b < c/d, without division.
        all.into_iter().min_by(|(a, b), (c, d)| (a * d).cmp(&(c * b))).unwrap_or_default()
    }

    /// What was promised and is not so; empty when all is well.
    pub(crate) fn failures(&self) -> Vec<String> {
        let mut failures = self.timeline.failures();
        failures.extend(self.harm());
        failures.extend(self.nothing_shown());
        failures
    }

    fn harm(&self) -> impl Iterator<Item = String> {
        let (inside, all) = self.inside();
        let outside = (all - inside).saturating_mul(ONE_IN) > all;
        let outside = outside.then(|| format!("only {inside} of {all} rows of honest nodes lie inside their bound"));
        let Steps { injected, found, spurious } = self.steps;
        let missed = (found < injected).then(|| format!("only {found} of {injected} steps of wall clocks were found"));
        let spurious = (spurious > 0).then(|| format!("{spurious} steps were found that nobody made"));
        let disruptions = self.false_disruptions;
        let disrupted =
            (disruptions > 0).then(|| format!("{disruptions} disruptions of clocks were declared that nobody made"));
        let (captured, stored) = (self.captured, self.timeline.all_events());
        let lost = (captured != stored).then(|| format!("{captured} waits were captured, {stored} are in the store"));
        [outside, missed, spurious, disrupted, lost].into_iter().flatten()
    }

    /// A fault that did not come proves nothing.
    fn nothing_shown(&self) -> impl Iterator<Item = String> {
        let is_harmless = self.liar.outside * 2 < self.liar.rows || self.liar.rows == 0;
        let Placement { rows, outside, .. } = self.liar;
        let harmless = is_harmless.then(|| format!("of {rows} rows of the liar {outside} are wrong: it did not lie"));
        let unsettled = (self.settled.rows == 0).then(|| "no row had its minute to be placed again".to_owned());
        let smooth = (self.traffic.lost == 0).then(|| "no packet of a clock probe was lost".to_owned());
        let past = (self.udp_probes * 10 < self.probes * 9 || self.probes == 0).then(|| {
            format!(
                "of {} clock probes {} went over UDP: the others did not take the paths",
                self.probes, self.udp_probes
            )
        });
        [harmless, unsettled, smooth, past].into_iter().flatten()
    }

    /// For the reader.
    pub(super) fn show(&self) {
        println!("\n-- both ends of the honest nodes' waits, held against the truth");
        println!("{:44} {:>8} {:>8} {:>10} {:>14}", "", "rows", "outside", "unbounded", "error p99, us");
        let line = |what: &str, placed: &Placement| {
            let Placement { rows, outside, unbounded, error_p99_ns } = placed;
            println!("{what:44} {rows:>8} {outside:>8} {unbounded:>10} {:>14}", micros(*error_p99_ns));
        };
        line("as first stored, on their regions' clocks", &self.at_once);
        line("  those of them that had their minute", &self.at_once_settled);
        line("  the same, placed again (events_live)", &self.settled);
        line("at the end, on the fleet's clock (timeline)", &self.on_timeline());
        line("of the node that lies, on its region's clock", &self.liar);
        let Findings { right, wrong, cannot_tell, unmatched, .. } = &self.timeline;
        println!("\n-- order of messages between regions: right {right}, wrong {wrong}, cannot tell {cannot_tell}");
        println!("   ({unmatched} more had no captured wait on one side)");
        let Traffic { carried, lost } = self.traffic;
        println!("-- packets of clock probes: {carried} carried, {lost} lost\n");
    }

    fn on_timeline(&self) -> Placement {
        let Findings { outside, unbounded, error_p99_ns, astray, .. } = self.timeline;
        Placement { rows: self.timeline.all_events(), outside: outside + astray, unbounded, error_p99_ns }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (inside, all) = self.inside();
        // Rounded down: 1 is said of all alone.
        let millionths = inside * 1_000_000 / all.max(1);
        let Steps { injected, found, spurious } = self.steps;
        write!(f, "rows={} inside_hard=", self.timeline.all_events())?;
        write!(f, "{}.{:06} ", millionths / 1_000_000, millionths % 1_000_000)?;
        write!(f, "steps={found}/{injected} false_steps={spurious} ")?;
        write!(f, "error_p99_us={} ", micros(self.at_once_settled.error_p99_ns))?;
        write!(f, "smoothed_p99_us={} ", micros(self.settled.error_p99_ns))?;
        write!(f, "pairs={} wrong={} ", self.timeline.pairs(), self.timeline.wrong)?;
        write!(f, "false_disruptions={}", self.false_disruptions)
    }
}

fn micros(ns: i64) -> String {
    format!("{:.1}", ns as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::truth::Judged;

    fn row(error_ns: i64, bound_ns: Option<i64>) -> JudgedRow {
        let end = Judged { published_ns: 1_000 + error_ns, bound_ns, true_ns: 1_000, true_mono_ns: 1_000 };
        JudgedRow { region: 0, goid: 1, reason: String::new(), start: end, end }
    }

    fn placed(rows: usize, outside: usize) -> Placement {
        Placement { rows, outside, unbounded: 0, error_p99_ns: 1_250 }
    }

    fn good() -> Verdict {
        let timeline = Findings { events: vec![10_000; 3], right: 2_000, bound_p50_ns: Some(5), ..Findings::default() };
        Verdict {
            timeline,
            at_once: placed(30_000, 0),
            at_once_settled: placed(20_000, 0),
            settled: placed(20_000, 0),
            liar: placed(100, 100),
            steps: Steps { injected: 5, found: 5, spurious: 0 },
            false_disruptions: 0,
            traffic: Traffic { carried: 100, lost: 3 },
            udp_probes: 95,
            probes: 100,
            captured: 30_000,
        }
    }

    fn fails(change: impl FnOnce(&mut Verdict), why: &str) -> bool {
        let mut verdict = good();
        change(&mut verdict);
        verdict.failures().iter().any(|failure| failure.contains(why))
    }

    #[test]
    fn all_well_is_no_failure_and_the_line_has_its_form() {
        let none: [String; 0] = [];
        assert_eq!(good().failures(), none);
        let line = "rows=30000 inside_hard=1.000000 steps=5/5 false_steps=0 error_p99_us=1.2 smoothed_p99_us=1.2 \
                    pairs=2000 wrong=0 false_disruptions=0";
        assert_eq!(good().to_string(), line);
    }

    #[test]
    fn one_row_in_ten_thousand_may_be_outside_wherever_it_is_judged() {
        let why = "inside their bound";
        assert!(
            !fails(|verdict| verdict.timeline.outside = 3, why) && fails(|verdict| verdict.timeline.outside = 4, why)
        );
        assert!(fails(|verdict| verdict.timeline.unbounded = 4, why));
        assert!(
            !fails(|verdict| verdict.at_once.outside = 3, why) && fails(|verdict| verdict.at_once.outside = 4, why)
        );
        assert!(
            !fails(|verdict| verdict.settled.outside = 2, why) && fails(|verdict| verdict.settled.outside = 3, why)
        );
        assert!(!fails(|verdict| verdict.at_once.unbounded = 9_000, why), "nothing was claimed of them");
        let mut verdict = good();
        verdict.settled.outside = 1;
        assert!(verdict.to_string().contains("inside_hard=0.999950 "), "{verdict}");
    }

    #[test]
    fn steps_messages_lost_waits_and_the_lie_count() {
        assert!(fails(|verdict| verdict.captured = 30_001, "30001 waits were captured"));
        assert!(fails(|verdict| verdict.steps.found = 4, "4 of 5 steps"));
        assert!(fails(|verdict| verdict.steps.spurious = 1, "1 steps were found that nobody made"));
        assert!(fails(
            |verdict| verdict.false_disruptions = 1,
            "1 disruptions of clocks were declared that nobody made"
        ));
        assert!(fails(|verdict| verdict.timeline.wrong = 1, "wrong order"));
        assert!(fails(|verdict| verdict.liar.outside = 0, "did not lie"));
        assert!(fails(|verdict| verdict.traffic.lost = 0, "was lost"));
        assert!(fails(|verdict| verdict.udp_probes = 80, "over UDP"));
    }

    #[test]
    fn a_row_is_outside_where_it_claims_too_much() {
        let rows = [row(31, Some(30)), row(30, Some(30)), row(99, None)];
        let placement = Placement::of(rows.iter());
        assert_eq!(placement, Placement { rows: 3, outside: 1, unbounded: 1, error_p99_ns: 99 });
    }
}
