//! TCP: checked types to messages and back.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use syncline_event::{
    Direction, Flow, Messages, Opener, SendLatency, SessionEnd, StackId, TcpLoss, TcpLossCause, TcpSession,
};
use syncline_timebase::{Instant, Offset, Span};

use crate::columns::{deltas, running_sums};
use crate::decode::field;
use crate::error::WireError;
use crate::v1;

impl From<&Flow> for v1::Flow {
    fn from(flow: &Flow) -> Self {
        Self {
            local_address: octets(flow.local.ip()),
            local_port: flow.local.port().into(),
            remote_address: octets(flow.remote.ip()),
            remote_port: flow.remote.port().into(),
            netns: flow.netns,
        }
    }
}

impl TryFrom<v1::Flow> for Flow {
    type Error = WireError;
    fn try_from(message: v1::Flow) -> Result<Self, WireError> {
        Ok(Self {
            local: end("flows.local", &message.local_address, message.local_port)?,
            remote: end("flows.remote", &message.remote_address, message.remote_port)?,
            netns: message.netns,
        })
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address.to_canonical() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn end(name: &'static str, octets: &[u8], port: u32) -> Result<SocketAddr, WireError> {
    let address = match (<[u8; 4]>::try_from(octets), <[u8; 16]>::try_from(octets)) {
        (Ok(octets), _) => IpAddr::from(octets),
        // One address has one writing, or two ends would not meet.
        (_, Ok(octets)) => Ipv6Addr::from(octets).to_canonical(),
        _ => return Err(field(name, format!("an address of {} bytes", octets.len()))),
    };
    let port = u16::try_from(port).map_err(|_| field(name, format!("port {port}")))?;
    Ok(SocketAddr::new(address, port))
}

impl From<&Messages> for v1::Messages {
    fn from(messages: &Messages) -> Self {
        let shift = u32::from(messages.mark_shift);
        Self {
            mark_shift: shift,
            direction: messages.direction.iter().map(|direction| direction_number(*direction)).collect(),
            process: messages.process.clone(),
            flow: messages.flow.clone(),
            tid: messages.tid.clone(),
            goid_delta: deltas(messages.goid.iter().map(|goid| goid.cast_signed())),
            mono_delta_ns: deltas(messages.at.iter().map(|at| at.ns())),
            wall_offset_delta_ns: deltas(messages.wall_offset.iter().map(|offset| offset.ns())),
            mark: messages.mark.iter().map(|mark| mark.checked_shr(shift).unwrap_or(0)).collect(),
            marks: messages.marks.clone(),
        }
    }
}

impl TryFrom<v1::Messages> for Messages {
    type Error = WireError;
    fn try_from(message: v1::Messages) -> Result<Self, WireError> {
        let shift = message.mark_shift;
        let mark_shift = u8::try_from(shift).ok().filter(|shift| *shift < 32);
        let mark = |number: &u32| {
            let mark = u32::try_from(u64::from(*number) << shift.min(31));
            mark.map_err(|_| field("messages.mark", format!("{number} of a spacing of 2^{shift}")))
        };
        Ok(Self {
            mark_shift: mark_shift
                .ok_or_else(|| field("messages.mark_shift", format!("{shift}, at most 31 is possible")))?,
            direction: message.direction.iter().map(|number| direction(*number)).collect::<Result<_, _>>()?,
            process: message.process,
            flow: message.flow,
            tid: message.tid,
            goid: running_sums(&message.goid_delta).map(i64::cast_unsigned).collect(),
            at: running_sums(&message.mono_delta_ns).map(Instant::from_ns).collect(),
            wall_offset: running_sums(&message.wall_offset_delta_ns).map(Offset::from_ns).collect(),
            mark: message.mark.iter().map(mark).collect::<Result<_, _>>()?,
            marks: message.marks,
        })
    }
}

fn direction_number(direction: Direction) -> i32 {
    match direction {
        Direction::Send => v1::Direction::Send.into(),
        Direction::Receive => v1::Direction::Receive.into(),
    }
}

fn direction(number: i32) -> Result<Direction, WireError> {
    match v1::Direction::try_from(number) {
        Ok(v1::Direction::Send) => Ok(Direction::Send),
        Ok(v1::Direction::Receive) => Ok(Direction::Receive),
        _ => Err(field("messages.direction", format!("{number} is none"))),
    }
}

impl From<&TcpSession> for v1::TcpSession {
    fn from(session: &TcpSession) -> Self {
        let opener = match session.opener {
            Opener::Unknown => v1::Opener::Unspecified,
            Opener::Local => v1::Opener::Local,
            Opener::Remote => v1::Opener::Remote,
        };
        Self {
            process: session.process,
            flow: session.flow,
            tid: session.tid,
            goid: session.goid,
            stack_id: session.stack.0,
            socket: session.socket,
            opener: opener.into(),
            first_mono_ns: session.first.ns(),
            wall_offset_ns: session.wall_offset.ns(),
            handshake_ns: session.handshake_ns,
            updated_after_ns: (session.updated - session.first).ns().unsigned_abs(),
            bytes_sent: session.bytes_sent,
            bytes_received: session.bytes_received,
            retransmits: session.retransmits,
            srtt_us: session.srtt_us,
            min_rtt_us: session.min_rtt_us,
            end: session.end.map(|end| v1::SessionEnd { last_state: end.last_state.into(), error: end.error.into() }),
            sends: session.sends.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<v1::TcpSession> for TcpSession {
    type Error = WireError;
    fn try_from(message: v1::TcpSession) -> Result<Self, WireError> {
        let first = Instant::from_ns(message.first_mono_ns);
        let after =
            i64::try_from(message.updated_after_ns).ok().filter(|after| first.ns().checked_add(*after).is_some());
        let after = after.ok_or_else(|| field("tcp_sessions.updated_after_ns", "beyond any clock"))?;
        Ok(Self {
            process: message.process,
            flow: message.flow,
            tid: message.tid,
            goid: message.goid,
            stack: StackId(message.stack_id),
            socket: message.socket,
            opener: match v1::Opener::try_from(message.opener) {
                Ok(v1::Opener::Local) => Opener::Local,
                Ok(v1::Opener::Remote) => Opener::Remote,
                // One that a later version knows says nothing to this one.
                _ => Opener::Unknown,
            },
            first,
            wall_offset: Offset::from_ns(message.wall_offset_ns),
            handshake_ns: message.handshake_ns,
            updated: first + Span::from_ns(after),
            bytes_sent: message.bytes_sent,
            bytes_received: message.bytes_received,
            retransmits: message.retransmits,
            srtt_us: message.srtt_us,
            min_rtt_us: message.min_rtt_us,
            end: message.end.map(TryInto::try_into).transpose()?,
            sends: message.sends.map(Into::into),
        })
    }
}

impl From<&SendLatency> for v1::SendLatency {
    fn from(sends: &SendLatency) -> Self {
        Self {
            count: sends.count,
            total_ns: sends.total_ns,
            max_ns: sends.max_ns,
            histogram: sends.histogram.clone(),
            unmeasured: sends.unmeasured,
            unacknowledged: sends.unacknowledged,
        }
    }
}

impl From<v1::SendLatency> for SendLatency {
    fn from(message: v1::SendLatency) -> Self {
        Self {
            count: message.count,
            total_ns: message.total_ns,
            max_ns: message.max_ns,
            histogram: message.histogram,
            unmeasured: message.unmeasured,
            unacknowledged: message.unacknowledged,
        }
    }
}

impl TryFrom<v1::SessionEnd> for SessionEnd {
    type Error = WireError;
    fn try_from(message: v1::SessionEnd) -> Result<Self, WireError> {
        Ok(Self {
            last_state: u8::try_from(message.last_state)
                .map_err(|_| field("tcp_sessions.end.last_state", "above 255"))?,
            error: u16::try_from(message.error).map_err(|_| field("tcp_sessions.end.error", "above 65535"))?,
        })
    }
}

impl From<&TcpLoss> for v1::TcpLoss {
    fn from(loss: &TcpLoss) -> Self {
        let place = TcpLossCause::ALL.iter().position(|cause| *cause == loss.cause);
        let cause = place.and_then(|place| i32::try_from(place + 1).ok()).unwrap_or_default();
        Self { cause, count: loss.count }
    }
}

impl TryFrom<v1::TcpLoss> for TcpLoss {
    type Error = WireError;
    fn try_from(message: v1::TcpLoss) -> Result<Self, WireError> {
        let place = usize::try_from(message.cause).ok().and_then(|number| number.checked_sub(1));
        let cause = place.and_then(|place| TcpLossCause::ALL.get(place)).copied();
        let cause = cause.ok_or_else(|| field("tcp_losses.cause", format!("{} is unknown", message.cause)))?;
        Ok(Self { cause, count: message.count })
    }
}
