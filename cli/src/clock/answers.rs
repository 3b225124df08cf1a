//! What is written: answers and steps as lines, and the summary for people.

use std::fmt;
use std::path::{Path, PathBuf};

use syncline_timebase::{Instant, Reference};

use super::args::ReplayArgs;
use super::model::When;
use super::record::Event;
use super::replay::{Sink, Summary};
use crate::failure::usage;
use crate::output::{Output, check_distinct, to_standard_output};

/// All outputs of one replay.
pub(crate) struct Answers {
    answers: Output,
    steps: Option<Output>,
    smooth: Option<Output>,
}

impl Answers {
    /// Opens what is asked for, so that what cannot be written is known before the work.
    pub(crate) fn create(args: &ReplayArgs) -> anyhow::Result<Self> {
        let wanted_outputs = [Some(&args.answers), args.steps.as_ref(), args.smooth.as_ref()];
        to_standard_output(wanted_outputs.into_iter().flatten())?;
        let wanted =
            |option, path: &Option<PathBuf>| path.as_deref().map(|path| Output::create(option, path)).transpose();
        let created = Self {
            answers: Output::create("--answers", &args.answers)?,
            steps: wanted("--steps", &args.steps)?,
            smooth: wanted("--smooth", &args.smooth)?,
        };
        created.check_files(&args.stream)?;
        Ok(created)
    }

    /// Each file has one writer, and none of them replaces the stream.
    fn check_files(&self, stream: &Path) -> anyhow::Result<()> {
        let outputs: Vec<&Output> =
            [Some(&self.answers), self.steps.as_ref(), self.smooth.as_ref()].into_iter().flatten().collect();
        let stream = stream.canonicalize().ok();
        let is_stream = |output: &&&Output| stream.is_some() && output.file() == stream.as_deref();
        if let Some(output) = outputs.iter().find(is_stream) {
            return Err(usage(format!("{} would replace the stream: name another file", output.name())));
        }
        check_distinct(&outputs)
    }

    /// Makes all outputs appear, complete. Pipes come last: their reader may go away, which is no error.
    pub(crate) fn complete(self) -> anyhow::Result<()> {
        let outputs = [Some(self.answers), self.smooth, self.steps].into_iter().flatten();
        let (pipes, files): (Vec<Output>, Vec<Output>) = outputs.partition(|output| output.file().is_none());
        files.into_iter().chain(pipes).try_for_each(Output::complete)
    }
}

impl Sink for Answers {
    fn answer(&mut self, event: Event, when: When) -> anyhow::Result<()> {
        write_line(&mut self.answers, event, when)
    }

    fn smoothed(&mut self, event: Event, when: When) -> anyhow::Result<()> {
        self.smooth.as_mut().map_or(Ok(()), |smooth| write_line(smooth, event, when))
    }

    fn step(&mut self, declared_at: Instant<Reference>) -> anyhow::Result<()> {
        self.steps.as_mut().map_or(Ok(()), |steps| steps.write(|out| writeln!(out, "{}", declared_at.ns())))
    }
}

fn write_line(output: &mut Output, event: Event, when: When) -> anyhow::Result<()> {
    let (estimate, earliest, latest) = (when.estimate.ns(), when.bracket.earliest.ns(), when.bracket.latest.ns());
    output.write(|out| writeln!(out, "{},{estimate},{earliest},{latest}", event.id))
}

impl fmt::Display for Summary {
    /// One line of names and numbers, for people and for scripts.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { knots, probes, events, answered, smoothed, steps, refused } = self;
        write!(out, "knots={knots} probes={probes} events={events} answered={answered}")?;
        write!(out, " unanswered={} smoothed={smoothed} steps={steps}", events - answered)?;
        write!(out, " refused={}", refused.values().sum::<u64>())?;
        let causes: Vec<String> = refused.iter().map(|(cause, count)| format!("{cause}={count}")).collect();
        if causes.is_empty() { Ok(()) } else { write!(out, " ({})", causes.join(" ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_leaves_nothing_out() {
        let refused = [("probe_impossible", 2), ("knot_out_of_order", 1)].into();
        let summary = Summary { knots: 9, probes: 8, events: 7, answered: 5, smoothed: 6, steps: 4, refused };
        let text = "knots=9 probes=8 events=7 answered=5 unanswered=2 smoothed=6 steps=4 refused=3 \
                    (knot_out_of_order=1 probe_impossible=2)";
        assert_eq!(summary.to_string(), text);
        assert!(Summary::default().to_string().ends_with(" steps=0 refused=0"));
    }
}
