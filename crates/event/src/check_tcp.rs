//! Checks of what a batch says of TCP.

use crate::check::{at_most, indices_inside};
use crate::{Batch, BatchError, Messages, limits};

impl Batch {
    pub(crate) fn check_tcp(&self) -> Result<(), BatchError> {
        at_most("flows", self.flows.len(), limits::FLOWS)?;
        at_most("messages", self.messages.len(), limits::MESSAGES)?;
        at_most("TCP sessions", self.tcp_sessions.len(), limits::TCP_SESSIONS)?;
        at_most("TCP losses", self.tcp_losses.len(), limits::DICTIONARY)?;
        let expected = self.messages.len();
        for (column, found) in self.messages.lengths() {
            if found != expected {
                return Err(BatchError::UnevenColumns { column, found, expected });
            }
        }
        indices_inside("messages.process", &self.messages.process, self.processes.len())?;
        indices_inside("messages.flow", &self.messages.flow, self.flows.len())?;
        let processes: Vec<u32> = self.tcp_sessions.iter().map(|session| session.process).collect();
        let flows: Vec<u32> = self.tcp_sessions.iter().map(|session| session.flow).collect();
        indices_inside("tcp_sessions.process", &processes, self.processes.len())?;
        indices_inside("tcp_sessions.flow", &flows, self.flows.len())?;
        check_marks(&self.messages)?;
        for sends in self.tcp_sessions.iter().filter_map(|session| session.sends.as_ref()) {
            at_most("histogram buckets of a TCP session", sends.histogram.len(), limits::HISTOGRAM_BUCKETS)?;
        }
        self.check_tcp_times()
    }

    fn check_tcp_times(&self) -> Result<(), BatchError> {
        let impossible = |what, row, ns: i64| Err(BatchError::ImpossibleTime { what, row, ns: i128::from(ns) });
        if let Some(row) = self.messages.at.iter().position(|at| at.ns() < 0) {
            return impossible("message", row, self.messages.at[row].ns());
        }
        match self.tcp_sessions.iter().position(|session| session.first.ns() < 0 || session.updated < session.first) {
            Some(row) => impossible("TCP session", row, self.tcp_sessions[row].updated.ns()),
            None => Ok(()),
        }
    }
}

fn check_marks(messages: &Messages) -> Result<(), BatchError> {
    let shift = u32::from(messages.mark_shift);
    if shift > limits::MARK_SHIFT {
        return Err(BatchError::TooMany { what: "bits between marks", found: shift as usize, limit: 31 });
    }
    for (row, (mark, marks)) in messages.mark.iter().zip(&messages.marks).enumerate() {
        at_most("marks of a message", *marks as usize, limits::MARKS)?;
        if *marks == 0 || mark.trailing_zeros() < shift {
            return Err(BatchError::NoMark { row, mark: *mark, marks: *marks, shift });
        }
    }
    Ok(())
}
