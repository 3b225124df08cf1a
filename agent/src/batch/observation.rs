//! How processes were observed, as it enters and waits for its batch.

use std::sync::Arc;

use syncline_event::{Observation, Process, limits};
use syncline_timebase::{Instant, Mono};

use super::Batcher;
use super::index::Indices;
use super::wait::{ProcessKey, process_key};
use crate::capture;
use crate::kinds::CaptureKind;

/// How a process was observed over some time, its stamps already on the node's clocks.
#[derive(Clone, Debug)]
pub struct SeenObservation {
    /// The process.
    pub process: Arc<Process>,
    /// Begin of the time.
    pub from: Instant<Mono>,
    /// Its end.
    pub to: Instant<Mono>,
    /// What was captured; its own stamps are not used.
    pub observation: capture::Observation,
}

impl Batcher {
    /// Takes how a process was observed. Beyond what a batch can hold the oldest goes: what is missing between two rows of a process is not
    /// known to have been observed.
    pub fn push_observation(&mut self, seen: SeenObservation) {
        if seen.from.ns() < 0 || seen.to < seen.from {
            return;
        }
        if self.observations.len() >= limits::OBSERVATIONS {
            self.observations.remove(0);
        }
        self.observations.push(seen);
    }
}

/// As rows.
pub(super) fn take(
    seen: &mut Vec<SeenObservation>,
    processes: &mut Indices<ProcessKey, Arc<Process>>,
) -> Vec<Observation> {
    let row = |SeenObservation { process, from, to, observation }: SeenObservation| {
        let settings = observation.settings;
        let without: Vec<&str> = settings.kinds.left_out().into_iter().map(CaptureKind::name).collect();
        let duration_ns = (to - from).ns().unsigned_abs();
        Observation {
            process: processes.index(process_key(&process), || process),
            from,
            duration_ns,
            observed_ns: observation.observed_ns.min(duration_ns),
            windows: observation.windows,
            stage: observation.stage,
            reason: observation.reason,
            threshold_ns: u64::try_from(settings.threshold.as_nanos()).unwrap_or(u64::MAX),
            without: without.join(","),
            budget_ppm: settings.budget.ppm().unwrap_or_default(),
            cost_ns: observation.cost_ns,
            cpu_ns: observation.cpu_ns,
        }
    };
    seen.drain(..).map(row).collect()
}
