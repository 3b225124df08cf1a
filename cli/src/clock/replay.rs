//! Records in, answers out: a pure function of the stream, so two replays of one stream are alike to the last byte.
//!
//! ```text
//! knots, probes ──► Model ◄── when? ── events (at once, or held back by Lag) ──► answers
//!           │         └──► steps, refusals   │
//!           └─ if asked for ─► Hindsight ◄───┴─ kept until the end ────────────► smoothed answers
//! ```

use std::collections::BTreeMap;

use syncline_clock::Tolerance;
use syncline_timebase::{Instant, Mono, Reference, Span};

use super::lag::Lag;
use super::model::{Claim, Hindsight, Model, Steps, When};
use super::record::{Event, Record};

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Options {
    pub(crate) claim: Claim,
    /// What bounds assume of oscillators; the floor of the paths is the stream's.
    pub(crate) assumed: Tolerance,
    /// How long each event is held back; `None` answers it on the spot.
    pub(crate) lag: Option<Span>,
    /// Whether events are kept to be answered again in hindsight.
    pub(crate) smooth: bool,
}

/// Where the answers go, as they are found: a stream may be longer than memory.
pub(crate) trait Sink {
    fn answer(&mut self, event: Event, when: When) -> anyhow::Result<()>;
    fn smoothed(&mut self, event: Event, when: When) -> anyhow::Result<()>;
    fn step(&mut self, declared_at: Instant<Reference>) -> anyhow::Result<()>;
}

/// What went in and what came out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) knots: u64,
    pub(crate) probes: u64,
    pub(crate) events: u64,
    pub(crate) answered: u64,
    pub(crate) smoothed: u64,
    pub(crate) steps: u64,
    /// Samples that the model did not take, by cause.
    pub(crate) refused: BTreeMap<&'static str, u64>,
}

/// Replays the records.
///
/// # Errors
/// The first error among the records, or of the sink.
pub(crate) fn replay<S: Sink>(
    records: impl IntoIterator<Item = anyhow::Result<Record>>,
    options: &Options,
    sink: &mut S,
) -> anyhow::Result<Summary> {
    let mut replay = Replay::new(options, sink);
    for record in records {
        replay.take(record?)?;
    }
    replay.end()
}

struct Replay<'a, S> {
    claim: Claim,
    assumed: Tolerance,
    model: Model,
    lag: Option<Lag>,
    smoothing: Option<Smoothing>,
    sink: &'a mut S,
    summary: Summary,
}

/// What is answered once more at the end.
struct Smoothing {
    hindsight: Hindsight,
    kept: Vec<Event>,
}

impl<'a, S: Sink> Replay<'a, S> {
    fn new(options: &Options, sink: &'a mut S) -> Self {
        Self {
            claim: options.claim,
            assumed: options.assumed,
            model: Model::new(options.assumed, options.claim),
            lag: options.lag.map(Lag::new),
            smoothing: options.smooth.then(|| Smoothing::new(options.assumed, options.claim)),
            sink,
            summary: Summary::default(),
        }
    }

    fn take(&mut self, record: Record) -> anyhow::Result<()> {
        match record {
            // Nothing stands above it, so nothing is lost.
            Record::Floor(floor) => {
                let assumed = Tolerance { path_floor: floor, ..self.assumed };
                self.model = Model::new(assumed, self.claim);
                self.smoothing = self.smoothing.as_ref().map(|_| Smoothing::new(assumed, self.claim));
            }
            Record::Event(event) => return self.take_event(event),
            Record::Knot(read) => {
                self.summary.knots += 1;
                self.answer_what_is_due(read.mono)?;
                let steps = self.model.take_knot(read);
                self.smoothing.iter_mut().for_each(|smoothing| smoothing.hindsight.take_knot(read));
                self.declare(steps)?;
            }
            Record::Probe(probe) => {
                self.summary.probes += 1;
                self.answer_what_is_due(probe.returned)?;
                let steps = self.model.take_probe(probe);
                self.smoothing.iter_mut().for_each(|smoothing| smoothing.hindsight.take_probe(probe));
                self.declare(steps)?;
            }
            Record::Disruption(told) => {
                let steps = self.model.take_told(told);
                self.smoothing.iter_mut().for_each(|smoothing| smoothing.hindsight.take_told(told));
                self.declare(steps)?;
            }
        }
        Ok(())
    }

    fn take_event(&mut self, event: Event) -> anyhow::Result<()> {
        self.summary.events += 1;
        self.smoothing.iter_mut().for_each(|smoothing| smoothing.kept.push(event));
        match &mut self.lag {
            Some(lag) => lag.admit(event),
            None => self.answer(event)?,
        }
        Ok(())
    }

    fn answer_what_is_due(&mut self, now: Instant<Mono>) -> anyhow::Result<()> {
        if let Some(lag) = &mut self.lag {
            lag.advance(now);
        }
        while let Some(event) = self.lag.as_mut().and_then(Lag::due) {
            self.answer(event)?;
        }
        Ok(())
    }

    fn answer(&mut self, event: Event) -> anyhow::Result<()> {
        if let Some(when) = self.model.when(event.mono) {
            self.summary.answered += 1;
            self.sink.answer(event, when)?;
        }
        Ok(())
    }

    fn declare(&mut self, steps: Steps) -> anyhow::Result<()> {
        self.summary.steps += steps.len() as u64;
        steps.into_iter().try_for_each(|declared_at| self.sink.step(declared_at))
    }

    fn end(mut self) -> anyhow::Result<Summary> {
        let steps = self.model.end();
        self.declare(steps)?;
        while let Some(event) = self.lag.as_mut().and_then(Lag::next) {
            self.answer(event)?;
        }
        self.summary.refused.clone_from(self.model.refused());
        self.smooth()?;
        Ok(self.summary)
    }

    fn smooth(&mut self) -> anyhow::Result<()> {
        let Some(Smoothing { hindsight, kept }) = self.smoothing.take() else { return Ok(()) };
        let hindsight = hindsight.end();
        for event in kept {
            if let Some(when) = hindsight.when(event.mono) {
                self.summary.smoothed += 1;
                self.sink.smoothed(event, when)?;
            }
        }
        Ok(())
    }
}

impl Smoothing {
    fn new(assumed: Tolerance, claim: Claim) -> Self {
        Self { hindsight: Hindsight::new(assumed, claim), kept: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::stream::Stream;

    /// Keeps all that it is given.
    #[derive(Debug, Default, PartialEq)]
    struct Kept {
        answers: Vec<(i64, When)>,
        smoothed: Vec<(i64, When)>,
        steps: Steps,
    }

    impl Sink for Kept {
        fn answer(&mut self, event: Event, when: When) -> anyhow::Result<()> {
            self.answers.push((event.id, when));
            Ok(())
        }

        fn smoothed(&mut self, event: Event, when: When) -> anyhow::Result<()> {
            self.smoothed.push((event.id, when));
            Ok(())
        }

        fn step(&mut self, declared_at: Instant<Reference>) -> anyhow::Result<()> {
            self.steps.push(declared_at);
            Ok(())
        }
    }

    fn replayed(text: &str, lag: Option<Span>) -> (Kept, Summary) {
        let (mut kept, options) =
            (Kept::default(), Options { claim: Claim::Hard, assumed: Tolerance::default(), lag, smooth: true });
        let summary = replay(Stream::new("s".to_owned(), text.as_bytes()), &options, &mut kept).unwrap();
        (kept, summary)
    }

    /// One probe, 10 ms after the event and 9 ms after its record.
    const PROBE_AFTER_EVENT: &str = "\
F,1000
K,0,0,0
K,1000000,1000000,0
E,1,0,0
P,9000000,509500000,509500000,10000000,0,0
K,11000000,11000000,0
K,99000000,99000000,0
E,2,0,0
";

    #[test]
    fn without_a_lag_only_what_stands_above_counts() {
        let (kept, summary) = replayed(PROBE_AFTER_EVENT, None);
        assert_eq!(kept.answers.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2]);
        assert_eq!(kept.smoothed.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 2]);
        let expected = Summary { knots: 4, probes: 1, events: 2, answered: 1, smoothed: 2, ..Summary::default() };
        assert_eq!(summary, expected);
    }

    #[test]
    fn with_a_lag_what_stands_within_it_counts() {
        let answered = |ms| replayed(PROBE_AFTER_EVENT, Some(Span::from_ms(ms))).1.answered;
        assert_eq!((answered(0), answered(8), answered(9), answered(1_000)), (1, 1, 2, 2));
    }

    #[test]
    fn what_is_told_ends_what_was_known_and_is_a_step() {
        let told = "D,99000000,99500000\nE,3,100000000,0\nP,110000000,610500000,610500000,111000000,0,0\nK,112000000,112000000,0\n";
        let (kept, summary) = replayed(&format!("{PROBE_AFTER_EVENT}{told}E,4,110500000,0\n"), None);
        assert_eq!(kept.answers.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2, 4], "of 3 nothing is known");
        assert_eq!(kept.smoothed.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 2, 3, 4]);
        assert_eq!(summary.steps, 1);
    }

    #[test]
    fn the_floor_narrows_the_bounds() {
        let width = |text: &str| {
            let (_, when) = replayed(text, None).0.answers[0];
            (when.bracket.latest - when.bracket.earliest).ns()
        };
        let without = width(&PROBE_AFTER_EVENT.replace("F,1000\n", ""));
        assert_eq!(without, width(&PROBE_AFTER_EVENT.replace("F,1000", "F,0")));
        assert_eq!(without - width(PROBE_AFTER_EVENT), 2_000);
    }

    #[test]
    fn the_first_error_is_the_end() {
        let options = Options { claim: Claim::Hard, assumed: Tolerance::default(), lag: None, smooth: false };
        let stream = Stream::new("s".to_owned(), &b"K,0,0,0\nK,0\nX\n"[..]);
        let error = replay(stream, &options, &mut Kept::default()).unwrap_err();
        assert!(error.to_string().starts_with("s, line 2: K has 1 numbers"), "{error}");
    }
}
