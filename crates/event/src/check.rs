//! Checks of a batch that came from outside.

use thiserror::Error;

use crate::{Batch, Stack, StackId, Waits, limits};

/// A batch contradicts itself or is beyond a limit; nothing of it is taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BatchError {
    /// Two columns of unlike length.
    #[error("column {column} has {found} rows where start has {expected}")]
    UnevenColumns {
        /// The column.
        column: &'static str,
        /// Its length.
        found: usize,
        /// Length of the first column.
        expected: usize,
    },
    /// An index points outside its dictionary.
    #[error("{column}[{row}] = {index} is outside a dictionary of {len}")]
    IndexOutside {
        /// Column of the index.
        column: &'static str,
        /// Its row.
        row: usize,
        /// The index.
        index: u32,
        /// Entries of the dictionary.
        len: usize,
    },
    /// More of something than a batch may hold.
    #[error("{found} {what}, at most {limit} are allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// A duration or run delay that cannot be.
    #[error("wait {row}: run delay {run_delay_ns} ns is longer than the whole wait of {duration_ns} ns")]
    RunDelayTooLong {
        /// Row of the wait.
        row: usize,
        /// Its run delay.
        run_delay_ns: u64,
        /// Its duration.
        duration_ns: u64,
    },
    /// A time stamp outside what a clock can show.
    #[error("{what} {row}: {ns} ns is no time that a clock shows")]
    ImpossibleTime {
        /// Of what.
        what: &'static str,
        /// Its row.
        row: usize,
        /// The value.
        ns: i128,
    },
    /// A stack's id is not that of its frames.
    #[error("stack {id:#x} is not the identity of its frames")]
    WrongStackId {
        /// The id claimed.
        id: u64,
    },
    /// A message has no mark, or one that is none.
    #[error("message {row}: {marks} marks from {mark} on are none of a spacing of 2^{shift}")]
    NoMark {
        /// Row of the message.
        row: usize,
        /// Its first mark.
        mark: u32,
        /// How many.
        marks: u32,
        /// Bits of the spacing.
        shift: u32,
    },
    /// What a goroutine did is not what it lived.
    #[error("goroutine's states {row}: {sum_ns} ns in all states, of a duration of {duration_ns} ns")]
    StatesUnlikeDuration {
        /// Row of the goroutine.
        row: usize,
        /// Its states together.
        sum_ns: u64,
        /// Its duration.
        duration_ns: u64,
    },
    /// A goroutine has been in its state for longer than it is known.
    #[error("goroutine's states {row}: {state_ns} ns in the last state, of a duration of {duration_ns} ns")]
    StateTooLong {
        /// Row of the goroutine.
        row: usize,
        /// In its last state.
        state_ns: u64,
        /// Its duration.
        duration_ns: u64,
    },
    /// A process was observed for longer than there was time.
    #[error("observation {row}: observed for {observed_ns} ns of {duration_ns} ns")]
    ObservedTooLong {
        /// Row of the observation.
        row: usize,
        /// Observed.
        observed_ns: u64,
        /// Of that time.
        duration_ns: u64,
    },
    /// A goroutine that is not blocked has a reason for it.
    #[error("goroutine's states {row}: a reason to be blocked of one that is {state}")]
    ReasonOfNone {
        /// Row of the goroutine.
        row: usize,
        /// Its state.
        state: &'static str,
    },
    /// A run that begins after its own batches.
    #[error("dropped batch {number} is of a run that begins later, at {run_first_seq}")]
    DroppedBeforeItsRun {
        /// Number of the batch.
        number: u64,
        /// First sequence number of the run.
        run_first_seq: u64,
    },
    /// Sequence numbers would pass the end of their range.
    #[error("sequence number {first_seq} + {count} overflows")]
    SequenceOverflow {
        /// Of the first wait.
        first_seq: u64,
        /// Waits.
        count: usize,
    },
}

impl Batch {
    /// Refuses a batch that contradicts itself or is beyond [`limits`].
    ///
    /// # Errors
    /// The first contradiction found.
    pub fn check(&self) -> Result<(), BatchError> {
        self.check_sizes()?;
        self.check_columns()?;
        self.check_times()?;
        self.check_short_waits()?;
        self.check_tcp()?;
        self.check_states()?;
        self.check_dropped()?;
        self.stacks.iter().try_for_each(check_stack)
    }

    fn check_dropped(&self) -> Result<(), BatchError> {
        let early = self.dropped.iter().find(|dropped| dropped.number < dropped.run_first_seq);
        early.map_or(Ok(()), |dropped| {
            Err(BatchError::DroppedBeforeItsRun { number: dropped.number, run_first_seq: dropped.run_first_seq })
        })
    }

    fn check_sizes(&self) -> Result<(), BatchError> {
        at_most("waits", self.waits.len(), limits::WAITS)?;
        at_most("open waits", self.open_waits.len(), limits::OPEN_WAITS)?;
        at_most("dropped batches", self.dropped.len(), limits::DROPPED)?;
        at_most("reasons", self.reasons.len(), limits::DICTIONARY)?;
        at_most("file types", self.file_types.len(), limits::DICTIONARY)?;
        at_most("processes", self.processes.len(), limits::DICTIONARY)?;
        at_most("stacks", self.stacks.len(), limits::DICTIONARY)?;
        at_most("short waits", self.short_waits.len(), limits::DICTIONARY)?;
        at_most("symbols", self.symbols.len(), limits::SYMBOLS)?;
        at_most("knots", self.knots.len(), limits::CLOCK_SAMPLES)?;
        at_most("probes", self.probes.len(), limits::CLOCK_SAMPLES)?;
        at_most("claims", self.claims.len(), limits::CLOCK_SAMPLES)?;
        at_most("disruptions", self.disruptions.len(), limits::DISRUPTIONS)?;
        at_most("bytes of region name", self.origin.region.len(), limits::TEXT_BYTES)?;
        at_most("bytes of agent version", self.origin.agent_version.len(), limits::TEXT_BYTES)?;
        at_most("bytes of kernel release", self.origin.kernel.len(), limits::TEXT_BYTES)?;
        let texts = self.reasons.iter().chain(&self.file_types);
        let texts = texts.chain(self.processes.iter().flat_map(|p| [&p.service, &p.executable, &p.go_version]));
        let texts = texts.chain(self.processes.iter().flat_map(|p| p.container.texts()));
        let mut texts = texts.chain(self.symbols.iter().flat_map(|s| [&s.function, &s.file]));
        texts.try_for_each(|text| at_most("bytes of a text", text.len(), limits::TEXT_BYTES))
    }

    fn check_columns(&self) -> Result<(), BatchError> {
        self.check_columns_of(&self.waits)?;
        self.check_columns_of(&self.open_waits)?;
        let (expected, found) = (self.probes.len(), self.probe_paths.len());
        if found != expected {
            return Err(BatchError::UnevenColumns { column: "probe_paths", found, expected });
        }
        let count = self.waits.len();
        if self.first_seq.checked_add(count as u64).is_none() {
            return Err(BatchError::SequenceOverflow { first_seq: self.first_seq, count });
        }
        Ok(())
    }

    fn check_columns_of(&self, waits: &Waits) -> Result<(), BatchError> {
        let expected = waits.len();
        for (column, found) in waits.lengths() {
            if found != expected {
                return Err(BatchError::UnevenColumns { column, found, expected });
            }
        }
        indices_inside("reason", &waits.reason, self.reasons.len())?;
        indices_inside("process", &waits.process, self.processes.len())?;
        // 1 + index, or 0.
        let file_types: Vec<u32> = waits.target.iter().map(|target| target.file_type).collect();
        indices_inside("file_type", &file_types, self.file_types.len().saturating_add(1))?;
        let flows: Vec<u32> = waits.target.iter().map(|target| target.flow).collect();
        indices_inside("flow", &flows, self.flows.len().saturating_add(1))
    }

    fn check_times(&self) -> Result<(), BatchError> {
        check_times_of(&self.waits)?;
        check_times_of(&self.open_waits)?;
        for (row, disruption) in self.disruptions.iter().enumerate() {
            if disruption.since.ns() < 0 || disruption.until < disruption.since {
                return Err(BatchError::ImpossibleTime {
                    what: "disruption",
                    row,
                    ns: i128::from(disruption.until.ns()),
                });
            }
        }
        for (row, probe) in self.probes.iter().enumerate() {
            if probe.sent.ns() < 0 || probe.returned < probe.sent {
                return Err(BatchError::ImpossibleTime { what: "probe", row, ns: i128::from(probe.returned.ns()) });
            }
        }
        Ok(())
    }

    fn check_short_waits(&self) -> Result<(), BatchError> {
        let reasons: Vec<u32> = self.short_waits.iter().map(|s| s.reason).collect();
        let processes: Vec<u32> = self.short_waits.iter().map(|s| s.process).collect();
        indices_inside("short wait reason", &reasons, self.reasons.len())?;
        indices_inside("short wait process", &processes, self.processes.len())?;
        self.short_waits
            .iter()
            .try_for_each(|s| at_most("histogram buckets", s.histogram.len(), limits::HISTOGRAM_BUCKETS))
    }
}

fn check_times_of(waits: &Waits) -> Result<(), BatchError> {
    for row in 0..waits.len() {
        let (start, duration_ns) = (waits.start[row].ns(), waits.duration_ns[row]);
        let run_delay_ns = waits.run_delay_ns[row];
        if run_delay_ns > duration_ns {
            return Err(BatchError::RunDelayTooLong { row, run_delay_ns, duration_ns });
        }
        let end = i128::from(start) + i128::from(duration_ns);
        if start < 0 || end > i128::from(i64::MAX) {
            return Err(BatchError::ImpossibleTime { what: "wait", row, ns: end });
        }
    }
    Ok(())
}

fn check_stack(stack: &Stack) -> Result<(), BatchError> {
    at_most("frames of a stack", stack.pcs.len(), limits::STACK_DEPTH)?;
    if stack.id == StackId::NONE || stack.id != Stack::id_of(stack.build_id, &stack.pcs) {
        return Err(BatchError::WrongStackId { id: stack.id.0 });
    }
    Ok(())
}

pub(crate) fn at_most(what: &'static str, found: usize, limit: usize) -> Result<(), BatchError> {
    if found > limit { Err(BatchError::TooMany { what, found, limit }) } else { Ok(()) }
}

pub(crate) fn indices_inside(column: &'static str, indices: &[u32], len: usize) -> Result<(), BatchError> {
    match indices.iter().position(|index| *index as usize >= len) {
        Some(row) => Err(BatchError::IndexOutside { column, row, index: indices[row], len }),
        None => Ok(()),
    }
}
