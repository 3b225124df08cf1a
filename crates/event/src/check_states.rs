//! Checks of what a batch says of goroutines' states.

use syncline_timebase::{Instant, Mono};

use crate::check::{at_most, indices_inside};
use crate::{Batch, BatchError, GoroutineState, GoroutineStates, Observation, StateTimes, limits};

impl Batch {
    pub(crate) fn check_states(&self) -> Result<(), BatchError> {
        at_most("processes' states", self.process_states.len(), limits::PROCESS_STATES)?;
        at_most("goroutines' states", self.goroutine_states.len(), limits::GOROUTINE_STATES)?;
        let processes: Vec<u32> = self.process_states.iter().map(|states| states.process).collect();
        indices_inside("process_states.process", &processes, self.processes.len())?;
        let processes: Vec<u32> = self.goroutine_states.iter().map(|states| states.process).collect();
        indices_inside("goroutine_states.process", &processes, self.processes.len())?;
        self.check_observations()?;
        for (row, states) in self.process_states.iter().enumerate() {
            check_time("process's states", row, states.from, states.duration_ns)?;
            self.check_blocked("process_states.times.blocked.reason", &states.times)?;
        }
        for (row, states) in self.goroutine_states.iter().enumerate() {
            check_time("goroutine's states", row, states.first, states.duration_ns)?;
            self.check_blocked("goroutine_states.times.blocked.reason", &states.times)?;
            self.check_goroutine(row, states)?;
        }
        Ok(())
    }

    fn check_observations(&self) -> Result<(), BatchError> {
        at_most("observations", self.observations.len(), limits::OBSERVATIONS)?;
        let processes: Vec<u32> = self.observations.iter().map(|one| one.process).collect();
        indices_inside("observations.process", &processes, self.processes.len())?;
        for (row, one) in self.observations.iter().enumerate() {
            check_time("observation", row, one.from, one.duration_ns)?;
            at_most("bytes of a text", one.without.len(), limits::TEXT_BYTES)?;
            if one.observed_ns > one.duration_ns {
                let Observation { observed_ns, duration_ns, .. } = *one;
                return Err(BatchError::ObservedTooLong { row, observed_ns, duration_ns });
            }
        }
        Ok(())
    }

    fn check_goroutine(&self, row: usize, states: &GoroutineStates) -> Result<(), BatchError> {
        let (sum_ns, duration_ns) = (states.times.sum_ns(), states.duration_ns);
        if sum_ns.abs_diff(duration_ns) > limits::states_tolerance_ns(duration_ns) {
            return Err(BatchError::StatesUnlikeDuration { row, sum_ns, duration_ns });
        }
        if states.state_ns > duration_ns {
            return Err(BatchError::StateTooLong { row, state_ns: states.state_ns, duration_ns });
        }
        let Some(index) = states.reason else { return Ok(()) };
        if states.state != GoroutineState::Blocked {
            return Err(BatchError::ReasonOfNone { row, state: states.state.name() });
        }
        self.check_reason("goroutine_states.reason", row, index)
    }

    fn check_blocked(&self, column: &'static str, times: &StateTimes) -> Result<(), BatchError> {
        at_most("reasons of one blocked", times.blocked.len(), limits::BLOCKED_REASONS)?;
        let mut reasons = times.blocked.iter().enumerate().filter_map(|(row, blocked)| Some((row, blocked.reason?)));
        reasons.try_for_each(|(row, index)| self.check_reason(column, row, index))
    }

    fn check_reason(&self, column: &'static str, row: usize, index: u32) -> Result<(), BatchError> {
        let len = self.reasons.len();
        if (index as usize) < len { Ok(()) } else { Err(BatchError::IndexOutside { column, row, index, len }) }
    }
}

fn check_time(what: &'static str, row: usize, from: Instant<Mono>, duration_ns: u64) -> Result<(), BatchError> {
    let end = i128::from(from.ns()) + i128::from(duration_ns);
    if from.ns() < 0 || end > i128::from(i64::MAX) {
        return Err(BatchError::ImpossibleTime { what, row, ns: end });
    }
    Ok(())
}
