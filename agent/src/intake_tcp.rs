//! From what capture hands out of TCP to what the batcher takes.

use syncline_bpf::tcp::{MessageDirection, TcpDirection, TcpMessageRecord, TcpSessionRecord};
use syncline_event::{Direction, Opener, SendLatency, SessionEnd, TcpLossCause};

use crate::batch::{SeenMessage, SeenSession};
use crate::capture::{Capture, TcpCounters, flow};
use crate::intake::Intake;

impl Intake {
    /// The message with its stamp on the node's clocks; none if nobody knows its process any more.
    pub(crate) fn message(&mut self, capture: &Capture, record: &TcpMessageRecord) -> Option<SeenMessage> {
        let known = self.known(capture, record.tgid, capture.process_at(record.tgid, record.mono_ns))?;
        Some(SeenMessage {
            process: known.process,
            flow: flow(&record.ends),
            direction: match record.direction {
                MessageDirection::Send => Direction::Send,
                MessageDirection::Receive => Direction::Receive,
            },
            tid: record.tid,
            goid: record.goid.unwrap_or_default(),
            at: self.clocks().kernel_mono(record.mono_ns),
            wall: self.clocks().kernel_wall(record.mono_ns, record.wall_ns),
            mark: record.mark,
            marks: record.marks,
        })
    }

    /// The session with its stamps on the node's clocks; none if nobody knows its process any more.
    pub(crate) fn session(
        &mut self,
        capture: &Capture,
        record: &TcpSessionRecord,
        stack: &[u64],
    ) -> Option<SeenSession> {
        let first_mono_ns = record.start_ns.map_or(record.first_mono_ns, |(mono_ns, _)| mono_ns);
        // Which program opened it, and with it what its stack means, is known of the latest ones only.
        let opener = capture.process_at(record.tgid, first_mono_ns);
        let stack = opener.map(|by| capture.stack_of(by, stack));
        let known = self.known(capture, record.tgid, opener)?;
        Some(SeenSession {
            process: known.process,
            symbolizer: known.symbolizer,
            flow: flow(&record.ends),
            tid: record.tid,
            goid: record.goid.unwrap_or_default(),
            stack: stack.unwrap_or_default(),
            socket: record.socket,
            opener: match record.direction {
                TcpDirection::Unknown => Opener::Unknown,
                TcpDirection::Active => Opener::Local,
                TcpDirection::Passive => Opener::Remote,
            },
            first: self.clocks().kernel_mono(first_mono_ns),
            wall: record.start_ns.and_then(|(mono_ns, wall_ns)| self.clocks().kernel_wall(mono_ns, wall_ns)),
            established: record.established_mono_ns.map(|ns| self.clocks().kernel_mono(ns)),
            updated: self.clocks().kernel_mono(record.updated_mono_ns),
            bytes_sent: record.bytes_sent,
            bytes_received: record.bytes_received,
            retransmits: record.retransmits,
            srtt_us: record.srtt_us,
            min_rtt_us: record.min_rtt_us,
            end: record.end.map(|end| SessionEnd {
                last_state: u8::try_from(end.last_state).unwrap_or(u8::MAX),
                error: u16::try_from(end.error.unsigned_abs()).unwrap_or(u16::MAX),
            }),
            sends: record.sends.as_ref().map(|sends| SendLatency {
                count: sends.count,
                total_ns: sends.total_ns,
                max_ns: sends.max_ns,
                histogram: sends.histogram.clone(),
                unmeasured: sends.unmeasured,
                unacknowledged: sends.unacknowledged,
            }),
        })
    }
}

/// What was lost of TCP between two readings of the counters, in the words of the stream.
pub(crate) fn tcp_losses(before: &TcpCounters, now: &TcpCounters) -> Vec<(TcpLossCause, u64)> {
    let grown = |of: fn(&TcpCounters) -> u64| of(now).saturating_sub(of(before));
    let all = [
        (TcpLossCause::SessionRingFull, grown(|counters| counters.sessions_ring_full)),
        (TcpLossCause::SessionMapFull, grown(|counters| counters.sessions_map_full)),
        (TcpLossCause::StartMapFull, grown(|counters| counters.embryos_map_full)),
        (TcpLossCause::Unowned, grown(|counters| counters.unowned)),
        (TcpLossCause::MessageRingFull, grown(|counters| counters.messages_ring_full)),
        (TcpLossCause::MessageRate, grown(|counters| counters.messages_rate)),
        (TcpLossCause::MarkUncertain, grown(|counters| counters.marks_uncertain)),
        (TcpLossCause::MessageUnstamped, grown(|counters| counters.messages_unstamped)),
    ];
    all.into_iter().filter(|(_, count)| *count > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loss_of_tcp_has_a_cause_in_the_stream() {
        let now = TcpCounters {
            sessions: 1_000,
            sessions_ring_full: 1,
            sessions_map_full: 2,
            embryos_map_full: 4,
            unowned: 8,
            messages: 2_000,
            messages_ring_full: 16,
            messages_rate: 32,
            marks_uncertain: 64,
            messages_unstamped: 128,
        };
        let all = tcp_losses(&TcpCounters::default(), &now);
        assert_eq!((all.len(), all.iter().map(|(_, count)| count).sum::<u64>()), (8, 255));
        assert!(tcp_losses(&now, &now).is_empty());
    }
}
