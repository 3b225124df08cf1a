//! An explanation as a person reads it.

use super::{Bounds, Explanation};
use crate::{time, units};

/// What would narrow the bound.
pub(super) fn hints(explanation: &Explanation) -> Vec<String> {
    let mut hints = Vec::new();
    let carriers = &explanation.carried_by;
    let half_trip = carriers.least_round_trip_ns / 2;
    let width = explanation.bounds.half_width_ns;
    if half_trip * 2 > width {
        hints.push(format!(
            "half of the least round trip is {} of the bound's {}: one way may have had it all, and nothing but a shorter path can show that \
             it did not (an aggregator that is nearer)",
            units::span(half_trip),
            units::span(width)
        ));
    }
    if carriers.by_kernel_stamps * 2 < carriers.probes {
        hints.push(
            "most probes are stamped in user space, over gRPC: let UDP through to the aggregator's port, and the kernels stamp them"
                .to_owned(),
        );
    }
    if carriers.age_ns > 16_000_000_000 {
        hints.push(format!(
            "the newest probe is {} older: until the next one the oscillator alone carries the estimate",
            units::span(carriers.age_ns.unsigned_abs())
        ));
    }
    if width > 2 * half_trip && carriers.age_ns.abs() < 16_000_000_000 {
        hints.push(
            "the bound is wider than the paths make it: few probes were made since the start or the last disruption; more of them narrow it"
                .to_owned(),
        );
    }
    hints
}

impl Explanation {
    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut lines = Vec::new();
        let mut line = |text: String| lines.push(text);
        line(format!(
            "node {} (region {}, boot {}) at {}",
            self.node,
            self.region,
            self.boot,
            time::date_and_time(self.at_ns)
        ));
        line(format!("  status     {}, {} disruptions before in this stream", self.status, self.epoch));
        let half = |[low, high]: [i64; 2]| units::bound(Some(high.abs_diff(low) / 2));
        let Bounds { hard_ns, budgeted_ns, tight_ns, half_width_ns } = self.bounds;
        line(format!("  bound      {} around the time given", units::bound(Some(half_width_ns))));
        line(format!("  intervals  hard {}, budgeted {}, tight {}", half(hard_ns), half(budgeted_ns), half(tight_ns)));
        line(format!("  oscillator {} against the reference", units::ppm(-self.rate_ppb.round() as i64)));
        let carriers = &self.carried_by;
        line(format!(
            "  carried by {} probes within 5 minutes, {} of them stamped by the kernels; round trips {} at least, {} in the middle",
            carriers.probes,
            carriers.by_kernel_stamps,
            units::span(carriers.least_round_trip_ns),
            units::span(carriers.median_round_trip_ns)
        ));
        for (name, support) in [("lower end", &self.low_end), ("upper end", &self.high_end)] {
            if let Some(support) = support {
                line(format!(
                    "  {name}  rests on the probe of {} (round trip {}), and {} for the time since and the readings",
                    time::time_of_day(support.at_ns, 3),
                    units::span(support.round_trip_ns),
                    units::span(support.carried_ns.unsigned_abs())
                ));
            }
        }
        for (title, events) in
            [("disruptions", &self.disruptions), ("wall clock", &self.wall_steps), ("routes", &self.routes)]
        {
            for event in events {
                line(format!("  {title:<11}{}: {}", time::time_of_day(event.at_ns, 3), event.what));
            }
        }
        if self.refused > 0 {
            line(format!("  refused    {} samples that cannot be, or came twice", self.refused));
        }
        for hint in &self.hints {
            line(format!("  hint       {hint}"));
        }
        lines.push(String::new());
        lines.join("\n")
    }
}
