//! A trace as text, for estimators in other languages.

use std::fmt::Write;

use super::trace::{Record, Trace};

/// A trace as three files of comma-separated whole nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceCsv {
    /// What the reference receives, in order: `F,floor` once, then
    /// `K,mono,raw,wall`, `P,mono1,received,replied,mono4,wall1,wall4` and `E,id,mono,wall`.
    pub stream: String,
    /// `id,true` of each event, reference time.
    pub truth: String,
    /// `at,size,raw` or `at,size,wall` of each step, reference time.
    pub truth_steps: String,
}

impl Trace {
    /// The trace as text.
    pub fn to_csv(&self) -> TraceCsv {
        let mut csv = TraceCsv::default();
        // Writing to a string cannot fail.
        let _ = writeln!(csv.stream, "F,{}", self.floor.ns());
        for record in &self.records {
            let _ = write_record(&mut csv.stream, record);
        }
        for (id, event) in self.truth.iter().enumerate() {
            let _ = writeln!(csv.truth, "{id},{}", event.true_ns);
        }
        for step in &self.steps {
            let clock = if step.raw { "raw" } else { "wall" };
            let _ = writeln!(csv.truth_steps, "{},{},{clock}", step.at_ns, step.size_ns);
        }
        csv
    }
}

fn write_record(out: &mut String, record: &Record) -> std::fmt::Result {
    match record {
        Record::Knot(knot) => writeln!(out, "K,{},{},{}", knot.mono.ns(), knot.raw.ns(), knot.wall.ns()),
        Record::Probe { probe, walls } => {
            let (sent, returned) = (probe.sent.ns(), probe.returned.ns());
            let (received, replied) = (probe.received.ns(), probe.replied.ns());
            writeln!(out, "P,{sent},{received},{replied},{returned},{},{}", walls[0].ns(), walls[1].ns())
        }
        Record::Event { id, mono, wall } => writeln!(out, "E,{id},{},{}", mono.ns(), wall.ns()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{EventTruth, TrueStep};
    use super::*;
    use syncline_timebase::{Instant, Knot, Probe, Span};

    #[test]
    fn each_record_is_a_line_of_its_kind() {
        let trace = Trace {
            floor: Span::from_ns(7),
            records: vec![
                Record::Knot(Knot {
                    mono: Instant::from_ns(1),
                    raw: Instant::from_ns(2),
                    wall: Instant::from_ns(3),
                    bracket: Span::from_ns(120),
                }),
                Record::Probe {
                    probe: Probe {
                        sent: Instant::from_ns(4),
                        received: Instant::from_ns(5),
                        replied: Instant::from_ns(6),
                        returned: Instant::from_ns(7),
                    },
                    walls: [Instant::from_ns(8), Instant::from_ns(9)],
                },
                Record::Event { id: 0, mono: Instant::from_ns(-10), wall: Instant::from_ns(11) },
            ],
            truth: vec![EventTruth { true_ns: 12, asymmetry_ns: 0.0, round_trip_ns: 0.0, in_gap: false }],
            steps: vec![
                TrueStep { at_ns: 13, size_ns: 14, raw: true },
                TrueStep { at_ns: 15, size_ns: -16, raw: false },
            ],
            base_delays_ns: [0.0; 2],
            routes: Vec::new(),
        };
        let csv = trace.to_csv();
        assert_eq!(csv.stream, "F,7\nK,1,2,3\nP,4,5,6,7,8,9\nE,0,-10,11\n");
        assert_eq!(csv.truth, "0,12\n");
        assert_eq!(csv.truth_steps, "13,14,raw\n15,-16,wall\n");
    }
}
