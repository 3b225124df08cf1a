//! Rows of TCP: messages, sessions, and what was lost of them.

use syncline_event::{Batch, Direction, Opener, SendLatency};
use syncline_store::Arrays;
use syncline_store::rows::{MessageDirection, MessageRows, SessionOpener, TcpLossRows, TcpSessionRows};
use syncline_timeline::Placed;

use super::ends::Ends;
use super::{ONLINE_REVISION, Whose, bounds, mono_ns, offsets, texts};
use crate::pipeline::bucket;
use crate::segment::{bound_class, clock_status};

/// The messages, aligned to `run` of the reference as waits are.
pub(crate) fn messages(batch: &Batch, placed: &Placed, run: u64) -> MessageRows {
    let (messages, rows) = (&batch.messages, batch.messages.len());
    let Whose { region, node, boot } = Whose::of(batch, rows);
    let Ends { local_address, local_port, peer_address, peer_port, netns } =
        Ends::of(messages.flow.iter().map(|flow| batch.flows.get(*flow as usize)));
    let process = |row: usize| batch.processes.get(messages.process[row] as usize);
    MessageRows {
        bucket: messages.at.iter().map(|at| bucket::of_event(batch, *at)).collect(),
        region,
        service: texts((0..rows).map(|row| process(row).map_or("", |process| &process.service))),
        node,
        boot,
        pid: (0..rows).map(|row| process(row).map_or(0, |process| process.pid)).collect(),
        tid: messages.tid.clone(),
        goid: messages.goid.clone(),
        direction: messages.direction.iter().map(|direction| message_direction(*direction)).collect(),
        local_address,
        local_port,
        peer_address,
        peer_port,
        netns,
        mark: messages.mark.clone(),
        marks: messages.marks.clone(),
        mark_shift: vec![messages.mark_shift; rows],
        mono_ns: messages.at.iter().map(|at| mono_ns(*at)).collect(),
        wall_off: messages.wall_offset.iter().map(|offset| offset.ns()).collect(),
        ref_run: vec![run; rows],
        al_off: offsets(batch, &placed.moments),
        err_ns: bounds(&placed.moments.bound),
        bound_class: placed.moments.bound.iter().map(|bound| bound_class(*bound)).collect(),
        clock_status: placed.status.iter().map(|status| clock_status(*status)).collect(),
        epoch: placed.epoch.clone(),
        model_rev: vec![ONLINE_REVISION; rows],
    }
}

/// The sessions; `start` and `end` are where they were first seen, and as of when the numbers are.
pub(crate) fn tcp_sessions(batch: &Batch, start: &Placed, end: &Placed, run: u64) -> TcpSessionRows {
    let (sessions, rows) = (&batch.tcp_sessions, batch.tcp_sessions.len());
    let Whose { region, node, boot } = Whose::of(batch, rows);
    let Ends { local_address, local_port, peer_address, peer_port, netns } =
        Ends::of(sessions.iter().map(|session| batch.flows.get(session.flow as usize)));
    let process = |index: u32| batch.processes.get(index as usize);
    let of_sends = |number: fn(&SendLatency) -> u64| {
        sessions.iter().map(|session| session.sends.as_ref().map_or(0, number)).collect()
    };
    let mut send_hist = Arrays::default();
    sessions.iter().for_each(|session| send_hist.push(session.sends.as_ref().map_or(&[], |sends| &sends.histogram)));
    TcpSessionRows {
        bucket: sessions.iter().map(|session| bucket::of_event(batch, session.first)).collect(),
        region,
        service: texts(sessions.iter().map(|session| process(session.process).map_or("", |process| &process.service))),
        node,
        boot,
        pid: sessions.iter().map(|session| process(session.process).map_or(0, |process| process.pid)).collect(),
        tid: sessions.iter().map(|session| session.tid).collect(),
        goid: sessions.iter().map(|session| session.goid).collect(),
        stack_id: sessions.iter().map(|session| session.stack.0).collect(),
        socket: sessions.iter().map(|session| session.socket).collect(),
        opener: sessions.iter().map(|session| opener(session.opener)).collect(),
        local_address,
        local_port,
        peer_address,
        peer_port,
        netns,
        mono_ns: sessions.iter().map(|session| mono_ns(session.first)).collect(),
        wall_off: sessions.iter().map(|session| session.wall_offset.ns()).collect(),
        handshake_ns: sessions.iter().map(|session| session.handshake_ns.unwrap_or(0)).collect(),
        dur_ns: sessions.iter().map(|session| (session.updated - session.first).ns().unsigned_abs()).collect(),
        ended: sessions.iter().map(|session| u8::from(session.end.is_some())).collect(),
        last_state: texts(sessions.iter().map(|session| session.end.map_or("", |end| state_name(end.last_state)))),
        error: sessions.iter().map(|session| session.end.map_or(0, |end| end.error)).collect(),
        bytes_sent: sessions.iter().map(|session| session.bytes_sent).collect(),
        bytes_received: sessions.iter().map(|session| session.bytes_received).collect(),
        retransmits: sessions.iter().map(|session| session.retransmits).collect(),
        srtt_us: sessions.iter().map(|session| session.srtt_us).collect(),
        min_rtt_us: sessions.iter().map(|session| session.min_rtt_us.unwrap_or(u32::MAX)).collect(),
        ref_run: vec![run; rows],
        al_off: offsets(batch, &start.moments),
        al_end_off: offsets(batch, &end.moments),
        err_ns: bounds(&start.moments.bound),
        err_end_ns: bounds(&end.moments.bound),
        sends_watched: sessions.iter().map(|session| u8::from(session.sends.is_some())).collect(),
        sends: of_sends(|sends| sends.count),
        send_total_ns: of_sends(|sends| sends.total_ns),
        send_max_ns: of_sends(|sends| sends.max_ns),
        send_hist,
        sends_unmeasured: of_sends(|sends| sends.unmeasured),
        sends_unacknowledged: of_sends(|sends| sends.unacknowledged),
    }
}

/// What was lost of TCP.
pub(crate) fn tcp_losses(batch: &Batch) -> TcpLossRows {
    let (losses, rows) = (&batch.tcp_losses, batch.tcp_losses.len());
    let Whose { region, node, boot } = Whose::of(batch, rows);
    TcpLossRows {
        bucket: vec![bucket::of_batch(batch); rows],
        region,
        node,
        boot,
        run_seq: vec![batch.origin.run_first_seq; rows],
        cause: texts(losses.iter().map(|loss| loss.cause.name())),
        count: losses.iter().map(|loss| loss.count).collect(),
        batch: vec![batch.number; rows],
    }
}

fn message_direction(direction: Direction) -> MessageDirection {
    match direction {
        Direction::Send => MessageDirection::Send,
        Direction::Receive => MessageDirection::Receive,
    }
}

fn opener(opener: Opener) -> SessionOpener {
    match opener {
        Opener::Unknown => SessionOpener::Unknown,
        Opener::Local => SessionOpener::Local,
        Opener::Remote => SessionOpener::Remote,
    }
}

/// The kernel's states by number (include/net/tcp_states.h).
fn state_name(state: u8) -> &'static str {
    const NAMES: [&str; 13] = [
        "",
        "ESTABLISHED",
        "SYN_SENT",
        "SYN_RECV",
        "FIN_WAIT1",
        "FIN_WAIT2",
        "TIME_WAIT",
        "CLOSE",
        "CLOSE_WAIT",
        "LAST_ACK",
        "LISTEN",
        "CLOSING",
        "NEW_SYN_RECV",
    ];
    NAMES.get(usize::from(state)).copied().filter(|name| !name.is_empty()).unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use syncline_clock::{NodeClock, Tolerance};
    use syncline_event::{Flow, Messages, SessionEnd, StackId, TcpLoss, TcpLossCause, TcpSession};
    use syncline_store::rows::UNBOUNDED_NS;
    use syncline_timebase::{Instant, Offset};
    use syncline_timeline::place;

    use super::*;
    use crate::pipeline::samples::{self, OFFSET, SECOND};

    fn batch() -> Batch {
        let mut batch = samples::batch("n", 5);
        let flow = Flow { local: "[fd00::1]:443".parse().unwrap(), remote: "10.0.0.2:5".parse().unwrap(), netns: 7 };
        batch.flows = vec![flow];
        batch.messages = Messages {
            mark_shift: 12,
            direction: vec![Direction::Receive],
            process: vec![0],
            flow: vec![0],
            tid: vec![8],
            goid: vec![9],
            at: vec![Instant::from_ns(5 * SECOND + 7)],
            wall_offset: vec![Offset::from_ns(OFFSET)],
            mark: vec![1 << 12],
            marks: vec![2],
        };
        batch.tcp_sessions = vec![TcpSession {
            process: 0,
            flow: 0,
            tid: 1,
            goid: 2,
            stack: StackId(3),
            socket: 4,
            opener: Opener::Local,
            first: Instant::from_ns(5 * SECOND),
            wall_offset: Offset::from_ns(OFFSET),
            handshake_ns: Some(5),
            updated: Instant::from_ns(5 * SECOND + 500),
            bytes_sent: 6,
            bytes_received: 7,
            retransmits: 8,
            srtt_us: 9,
            min_rtt_us: None,
            end: Some(SessionEnd { last_state: 9, error: 104 }),
            sends: Some(SendLatency {
                count: 3,
                total_ns: 30,
                max_ns: 20,
                histogram: vec![0, 0, 1, 1, 1],
                unmeasured: 4,
                unacknowledged: 5,
            }),
        }];
        batch.tcp_losses = vec![TcpLoss { cause: TcpLossCause::MessageRate, count: 3 }];
        batch.check().unwrap();
        batch
    }

    #[test]
    fn messages_and_sessions_keep_their_raw_stamps_and_get_places_with_bounds() {
        let batch = batch();
        let mut clock = NodeClock::new(Tolerance::default());
        clock.observe(&batch.knots, &batch.probes);
        let message = messages(&batch, &place(batch.messages.at.iter().copied(), &clock), 7);
        assert_eq!((message.mono_ns[0], message.marks[0], message.pid[0]), (5_000_000_007, 2, 42));
        assert!(message.al_off[0].abs_diff(OFFSET) <= message.err_ns[0] && message.err_ns[0] < 1_000_000);
        let start = place(batch.tcp_sessions.iter().map(|session| session.first), &clock);
        let end = place(std::iter::once(Instant::from_ns(9 * SECOND)), &NodeClock::new(Tolerance::default()));
        let session = tcp_sessions(&batch, &start, &end, 7);
        assert_eq!(
            (session.al_off[0], session.err_ns[0]),
            (offsets(&batch, &start.moments)[0], start.moments.bound[0].ns())
        );
        assert_eq!((session.al_end_off[0], session.err_end_ns[0]), (OFFSET + 777, UNBOUNDED_NS));
        assert_eq!(
            (session.dur_ns[0], session.ended[0], session.error[0], session.min_rtt_us[0]),
            (500, 1, 104, u32::MAX)
        );
        assert!(format!("{:?}", session.last_state).contains("LAST_ACK"));
        assert_eq!(
            (session.sends_watched[0], session.sends[0], session.send_total_ns[0], session.send_max_ns[0]),
            (1, 3, 30, 20)
        );
        assert_eq!((session.sends_unmeasured[0], session.sends_unacknowledged[0]), (4, 5));
        assert!(message.into_block().is_ok() && session.into_block().is_ok());
        assert!(format!("{:?}", tcp_losses(&batch).cause).contains("message_rate"));
    }

    #[test]
    fn a_state_that_no_kernel_had_so_far_is_a_question_mark() {
        assert_eq!(
            [state_name(1), state_name(11), state_name(0), state_name(200)],
            ["ESTABLISHED", "CLOSING", "?", "?"]
        );
    }
}
