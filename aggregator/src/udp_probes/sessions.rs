//! Which packets are answered.

use std::collections::HashMap;

use syncline_exchange::{BadPacket, MasterKey, Message, Packet, ReplayWindow, SessionId, SessionKey};
use syncline_timebase::{Instant, Reference as ReferenceScale, Span};

use crate::allowance::{Allowance, Rate};

/// A session that was silent for so long gives its place up, where one is wanted.
const SILENT: Span = Span::from_s(600);

/// Why a packet is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Malformed,
    Forged,
    Replayed,
    TooMany,
    NoRoom,
}

/// The sessions whose packets came lately.
#[derive(Debug)]
pub(super) struct Sessions {
    master: MasterKey,
    run: u64,
    rate: Rate,
    capacity: usize,
    known: HashMap<SessionId, Session>,
    /// When silent ones were last looked for: with very many that takes long.
    swept: Option<Instant<ReferenceScale>>,
}

/// Between two searches for silent sessions.
const SWEPT_EVERY: Span = Span::from_s(1);

#[derive(Debug)]
struct Session {
    key: SessionKey,
    window: ReplayWindow,
    allowance: Allowance,
    used: Instant<ReferenceScale>,
}

impl Sessions {
    pub(super) fn new(master: MasterKey, run: u64, rate: Rate, capacity: usize) -> Self {
        Self { master, run, rate, capacity: capacity.max(1), known: HashMap::new(), swept: None }
    }

    /// The request that `bytes` are, with the key to answer it.
    pub(super) fn admit(
        &mut self,
        bytes: &[u8],
        now: Instant<ReferenceScale>,
    ) -> Result<(Packet, &SessionKey), Refused> {
        let packet = Packet::peek(bytes).map_err(|_| Refused::Malformed)?;
        if packet.message != Message::Request {
            return Err(Refused::Malformed);
        }
        if !self.known.contains_key(&packet.session) {
            self.begin(bytes, packet.session, now)?;
        }
        let session = self.known.get_mut(&packet.session).ok_or(Refused::NoRoom)?;
        verify(bytes, &session.key)?;
        session.used = now;
        if !session.window.accept(packet.number) {
            return Err(Refused::Replayed);
        }
        if !session.allowance.take(now) {
            return Err(Refused::TooMany);
        }
        Ok((packet, &session.key))
    }

    /// The key of `session`, if it is known.
    pub(super) fn key(&self, session: SessionId) -> Option<&SessionKey> {
        self.known.get(&session).map(|session| &session.key)
    }

    /// Takes a session in: the code of its first packet proves that its key was handed out.
    fn begin(&mut self, bytes: &[u8], id: SessionId, now: Instant<ReferenceScale>) -> Result<(), Refused> {
        let key = self.master.session(id, self.run);
        verify(bytes, &key)?;
        let is_due = self.swept.is_none_or(|swept| now - swept >= SWEPT_EVERY);
        if self.known.len() >= self.capacity && is_due {
            self.swept = Some(now);
            self.known.retain(|_, session| now - session.used < SILENT);
        }
        if self.known.len() >= self.capacity {
            return Err(Refused::NoRoom);
        }
        let (window, allowance) = (ReplayWindow::default(), Allowance::new(self.rate, now));
        self.known.insert(id, Session { key, window, allowance, used: now });
        Ok(())
    }
}

fn verify(bytes: &[u8], key: &SessionKey) -> Result<(), Refused> {
    Packet::open(bytes, key).map(drop).map_err(|why| match why {
        BadPacket::Malformed => Refused::Malformed,
        BadPacket::Forged => Refused::Forged,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(capacity: usize) -> Sessions {
        Sessions::new(MasterKey::from_random([1; 32]), 9, Rate { per_second: 10, burst: 5 }, capacity)
    }

    fn request(session: u64, number: u64, run: u64) -> [u8; 56] {
        let key = MasterKey::from_random([1; 32]).session(SessionId(session), run);
        Packet { session: SessionId(session), number, message: Message::Request }.seal(&key)
    }

    fn at(ms: i64) -> Instant<ReferenceScale> {
        Instant::from_ns(ms * 1_000_000)
    }

    #[test]
    fn a_request_is_answered_once_and_only_with_its_code() {
        let mut sessions = sessions(10);
        let request = request(1, 0, 9);
        assert_eq!(sessions.admit(&request, at(0)).map(|(packet, _)| packet.number), Ok(0));
        assert_eq!(sessions.admit(&request, at(1)).err(), Some(Refused::Replayed));
        let mut forged = tests::request(1, 1, 9);
        forged[55] ^= 1;
        assert_eq!(sessions.admit(&forged, at(2)).err(), Some(Refused::Forged));
        assert_eq!(sessions.admit(&tests::request(1, 1, 8), at(2)).err(), Some(Refused::Forged), "another run");
        assert_eq!(sessions.admit(&forged[..9], at(2)).err(), Some(Refused::Malformed));
        let answer = Message::FollowUp { replied: at(0) };
        let key = sessions.key(SessionId(1)).unwrap();
        let echoed = Packet { session: SessionId(1), number: 3, message: answer }.seal(key);
        assert_eq!(sessions.admit(&echoed, at(2)).err(), Some(Refused::Malformed), "our own packets come back");
    }

    #[test]
    fn what_was_forged_takes_no_place_and_numbers_of_a_forgery_are_not_used_up() {
        let mut sessions = sessions(1);
        let mut forged = request(1, 7, 9);
        forged[40] ^= 1;
        assert_eq!(sessions.admit(&forged, at(0)).err(), Some(Refused::Forged));
        assert!(sessions.known.is_empty());
        assert!(sessions.admit(&request(1, 7, 9), at(0)).is_ok());
        assert_eq!(sessions.admit(&request(2, 0, 9), at(1)).err(), Some(Refused::NoRoom));
        assert!(sessions.admit(&request(2, 0, 9), at(700_000)).is_ok(), "the first was silent");
    }

    #[test]
    fn a_session_has_its_rate() {
        let mut sessions = sessions(1);
        let answered = (0..20).filter(|number| sessions.admit(&request(1, *number, 9), at(0)).is_ok()).count();
        assert_eq!(answered, 5);
        assert!(sessions.admit(&request(1, 20, 9), at(100)).is_ok());
    }
}
