//! Both sides of a run, read from what the program, the reader of its trace, and the agent print.

use std::collections::{BTreeMap, HashMap};

use anyhow::{Context, Result};
use serde::Deserialize;

use super::clock::{Anchor, TraceClock};
use super::interval::{Interval, Kind};

/// One run.
#[derive(Debug, Default)]
pub(super) struct Observation {
    pub(super) ours: Vec<Interval>,
    pub(super) theirs: Vec<Interval>,
    pub(super) workloads: BTreeMap<u64, String>,
    /// Intervals that the begin or the end of the trace or of the capture cuts: ours, the tracer's.
    pub(super) cut: (u64, u64),
}

/// A line of the program.
#[derive(Deserialize)]
#[serde(untagged)]
enum Told {
    Member { goid: u64, workload: String },
    Anchor { anchor: usize, before_mono_ns: i64, after_mono_ns: i64 },
}

/// A line of the reader of the trace.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Traced {
    Park(TracedInterval),
    Syscall(TracedInterval),
    Anchor { anchor: usize, time_ns: i64 },
    Extent { start_ns: i64, end_ns: i64 },
}

#[derive(Deserialize)]
struct TracedInterval {
    goid: u64,
    start_ns: i64,
    ready_ns: Option<i64>,
    run_ns: Option<i64>,
    before: bool,
    reason: String,
    waker: Option<u64>,
    coroutine: bool,
    function: String,
}

/// A line of the agent.
#[derive(Deserialize)]
struct Captured {
    kind: String,
    reason: String,
    goid: u64,
    start_mono_ns: i64,
    duration_ns: i64,
    runnable_ns: Option<i64>,
    open: bool,
    abandoned: bool,
    began_before: bool,
    waker_goid: Option<u64>,
    stack: Vec<Call>,
}

#[derive(Deserialize)]
struct Call {
    function: String,
}

impl Observation {
    /// Puts together what the program, the reader and the agent said.
    ///
    /// # Errors
    /// When one of them says what is not understood, or the clock of the trace is not known.
    pub(super) fn read(program: &[String], reader: &str, agent: &str) -> Result<Self> {
        let mut observation = Self::default();
        let mut readings = HashMap::new();
        for line in program {
            match serde_json::from_str(line).with_context(|| format!("the program says {line}"))? {
                Told::Member { goid, workload } => drop(observation.workloads.insert(goid, workload)),
                Told::Anchor { anchor, before_mono_ns, after_mono_ns } => {
                    readings.insert(anchor, (before_mono_ns, after_mono_ns));
                }
            }
        }
        let (mut traced, mut anchors, mut extent) = (Vec::new(), Vec::new(), None);
        for line in reader.lines() {
            match serde_json::from_str(line).with_context(|| format!("the reader of the trace says {line}"))? {
                Traced::Park(one) => traced.push((Kind::Park, one)),
                Traced::Syscall(one) => traced.push((Kind::Syscall, one)),
                Traced::Extent { start_ns, end_ns } => extent = Some((start_ns, end_ns)),
                Traced::Anchor { anchor, time_ns } => {
                    let &(before_mono_ns, after_mono_ns) =
                        readings.get(&anchor).context("an anchor without readings")?;
                    anchors.push(Anchor { trace_ns: time_ns, before_mono_ns, after_mono_ns });
                }
            }
        }
        let clock = TraceClock::through(&anchors)?;
        let (begin, end) = extent.context("an empty trace")?;
        observation.take_traced(traced, &clock);
        observation.take_captured(agent, clock.mono_ns(begin)..=clock.mono_ns(end))?;
        Ok(observation)
    }

    fn take_traced(&mut self, traced: Vec<(Kind, TracedInterval)>, clock: &TraceClock) {
        for (kind, one) in traced {
            let Some(run_ns) = one.run_ns.filter(|_| !one.before) else {
                self.cut.1 += 1;
                continue;
            };
            self.theirs.push(Interval {
                kind,
                goid: one.goid,
                start_ns: clock.mono_ns(one.start_ns),
                ready_ns: one.ready_ns.map(|ready| clock.mono_ns(ready)),
                run_ns: clock.mono_ns(run_ns),
                has_stack: !one.function.is_empty(),
                reason: if kind == Kind::Park { one.reason } else { one.function },
                waker: one.waker,
                is_coroutine: one.coroutine && kind == Kind::Park,
                is_announced: true,
            });
        }
    }

    fn take_captured(&mut self, agent: &str, extent: std::ops::RangeInclusive<i64>) -> Result<()> {
        for line in agent.lines() {
            let one: Captured = serde_json::from_str(line).with_context(|| format!("the agent says {line}"))?;
            let kind = match one.kind.as_str() {
                "goroutine" => Kind::Park,
                "syscall" => Kind::Syscall,
                _ => continue,
            };
            let (start_ns, run_ns) = (one.start_mono_ns, one.start_mono_ns + one.duration_ns);
            // What goes on has another line when it ends.
            if one.open && !one.abandoned {
                continue;
            }
            if one.abandoned || one.began_before || !extent.contains(&start_ns) || !extent.contains(&run_ns) {
                self.cut.0 += 1;
                continue;
            }
            self.ours.push(Interval {
                kind,
                goid: one.goid,
                start_ns,
                ready_ns: one.runnable_ns.map(|runnable| run_ns - runnable),
                run_ns,
                has_stack: !one.stack.is_empty(),
                reason: one.reason,
                waker: one.waker_goid,
                is_coroutine: false,
                is_announced: one.stack.iter().any(|call| is_announcing(&call.function)),
            });
        }
        Ok(())
    }
}

/// Functions that tell the scheduler of a system call before they make it.
fn is_announcing(function: &str) -> bool {
    matches!(function, "syscall.Syscall" | "syscall.Syscall6" | "runtime.entersyscall" | "runtime.cgocall")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_put_together_and_what_the_trace_cuts_is_left_out() {
        let mut program: Vec<String> = (0..40)
            .map(|i: i64| {
                let mono_ns = 1_000_000 + i * 10_000;
                format!(r#"{{"anchor":{i},"before_mono_ns":{},"after_mono_ns":{}}}"#, mono_ns - 10, mono_ns + 10)
            })
            .collect();
        program.push(r#"{"goid":7,"workload":"channels"}"#.to_owned());
        let park = |start: i64, run: &str| {
            format!(
                r#"{{"kind":"park","goid":7,"start_ns":{start},"ready_ns":null,"run_ns":{run},"before":false,"reason":"sleep","waker":null,"coroutine":false,"function":"f"}}"#
            )
        };
        let anchors = (0..40).map(|i| format!(r#"{{"kind":"anchor","anchor":{i},"time_ns":{}}}"#, i * 10_000));
        let extent = r#"{"kind":"extent","start_ns":0,"end_ns":400000}"#.to_owned();
        let reader: Vec<_> = anchors.chain([park(100, "5100"), park(9_000, "null"), extent]).collect();
        let wait = |start: i64| {
            format!(
                r#"{{"kind":"goroutine","reason":"sleep","goid":7,"start_mono_ns":{start},"duration_ns":5000,"runnable_ns":1000,"open":false,"abandoned":false,"began_before":false,"waker_goid":null,"stack":[]}}"#
            )
        };
        let agent = [wait(1_000_100), wait(900_000)].join("\n");
        let observation = Observation::read(&program, &reader.join("\n"), &agent).unwrap();
        assert_eq!((observation.ours.len(), observation.theirs.len(), observation.cut), (1, 1, (1, 1)));
        assert_eq!(observation.ours[0].ready_ns, Some(1_004_100));
        assert!((observation.theirs[0].start_ns - 1_000_100).abs() <= 2);
        assert_eq!(observation.workloads[&7], "channels");
    }
}
