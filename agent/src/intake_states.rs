//! From how goroutines were seen to spend their time to what the batcher takes.

use crate::batch::{SeenGoroutine, SeenObservation, SeenProcessTimes};
use crate::capture::{Capture, GoroutineSplit, Observation, ProcessTimes};
use crate::intake::Intake;

impl Intake {
    /// The times with their stamps on the node's clocks; none if nobody knows their process any more.
    pub(crate) fn process_times(&mut self, capture: &Capture, times: ProcessTimes) -> Option<SeenProcessTimes> {
        let then = capture.process_at(times.tgid, times.to_mono_ns);
        Some(SeenProcessTimes {
            process: self.known(capture, times.tgid, then)?.process,
            from: self.clocks().kernel_mono(times.from_mono_ns),
            to: self.clocks().kernel_mono(times.to_mono_ns),
            times,
        })
    }

    /// The same of how a process was observed.
    pub(crate) fn observation(&mut self, capture: &Capture, observation: Observation) -> Option<SeenObservation> {
        let then = capture.process_at(observation.tgid, observation.from_mono_ns);
        Some(SeenObservation {
            process: self.known(capture, observation.tgid, then)?.process,
            from: self.clocks().kernel_mono(observation.from_mono_ns),
            to: self.clocks().kernel_mono(observation.to_mono_ns),
            observation,
        })
    }

    /// The same of a goroutine.
    pub(crate) fn goroutine(&mut self, capture: &Capture, split: GoroutineSplit) -> Option<SeenGoroutine> {
        let then = capture.process_at(split.tgid, split.at_mono_ns);
        Some(SeenGoroutine {
            process: self.known(capture, split.tgid, then)?.process,
            first: self.clocks().kernel_mono(split.first_mono_ns),
            wall: self.clocks().kernel_wall(split.first_mono_ns, split.first_wall_ns),
            at: self.clocks().kernel_mono(split.at_mono_ns),
            split,
        })
    }
}
