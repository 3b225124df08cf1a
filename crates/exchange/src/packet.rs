//! What goes over the network.
//!
//! All numbers big-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | `SLX` and the version of this format, 1 |
//! | 4 | 1 request, 2 reply, 3 follow-up |
//! | 5 | reply: 1 if a follow-up comes |
//! | 6..8 | 0 |
//! | 8..16 | session |
//! | 16..24 | number |
//! | 24..32 | T2 (reply), T3 (follow-up), 0 (request) |
//! | 32..40 | T3 (reply), 0 |
//! | 40..56 | the first half of HMAC-SHA-256 of all before |

use syncline_timebase::{Instant, Reference};

use crate::key::{CODE_BYTES, SessionId, SessionKey};

/// Length of every packet.
pub const PACKET_BYTES: usize = TEXT_BYTES + CODE_BYTES;

const TEXT_BYTES: usize = 40;
const MAGIC: [u8; 4] = *b"SLX\x01";
const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const FOLLOW_UP: u8 = 3;

/// A packet of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Whose.
    pub session: SessionId,
    /// Of the exchange: each is used once in a session, and they grow.
    pub number: u64,
    /// What it says.
    pub message: Message,
}

/// What a packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// A node asks for the time. T1 stays with the node.
    Request,
    /// The answer.
    Reply {
        /// T2.
        received: Instant<Reference>,
        /// T3, as it was about to send this.
        replied: Instant<Reference>,
        /// T3 as the kernel saw it will follow.
        has_follow_up: bool,
    },
    /// The departure of the reply.
    FollowUp {
        /// T3.
        replied: Instant<Reference>,
    },
}

/// A packet that is not to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPacket {
    /// It is no packet of this format and version.
    Malformed,
    /// It does not bear the code of its session.
    Forged,
}

impl Packet {
    /// The packet's bytes, with the code of its session.
    pub fn seal(&self, key: &SessionKey) -> [u8; PACKET_BYTES] {
        let mut bytes = [0; PACKET_BYTES];
        let (text, code) = bytes.split_at_mut(TEXT_BYTES);
        text.copy_from_slice(&self.text());
        code.copy_from_slice(&key.code(text));
        bytes
    }

    /// The session and number that `bytes` claim, and what kind they are; nothing is proved yet.
    ///
    /// # Errors
    /// [`BadPacket::Malformed`].
    pub fn peek(bytes: &[u8]) -> Result<Self, BadPacket> {
        let text = bytes.get(..TEXT_BYTES).filter(|_| bytes.len() == PACKET_BYTES).ok_or(BadPacket::Malformed)?;
        Self::parse(text).ok_or(BadPacket::Malformed)
    }

    /// The packet that `bytes` are, if they bear the code that `key` makes.
    ///
    /// # Errors
    /// They are malformed, or forged.
    pub fn open(bytes: &[u8], key: &SessionKey) -> Result<Self, BadPacket> {
        let packet = Self::peek(bytes)?;
        let (text, code) = bytes.split_at(TEXT_BYTES);
        if key.verifies(text, code) { Ok(packet) } else { Err(BadPacket::Forged) }
    }

    fn text(&self) -> [u8; TEXT_BYTES] {
        let (kind, flags, stamps) = match self.message {
            Message::Request => (REQUEST, 0, [0, 0]),
            Message::Reply { received, replied, has_follow_up } => {
                (REPLY, u8::from(has_follow_up), [received.ns(), replied.ns()])
            }
            Message::FollowUp { replied } => (FOLLOW_UP, 0, [replied.ns(), 0]),
        };
        let mut text = [0; TEXT_BYTES];
        text[..4].copy_from_slice(&MAGIC);
        text[4..6].copy_from_slice(&[kind, flags]);
        text[8..16].copy_from_slice(&self.session.0.to_be_bytes());
        text[16..24].copy_from_slice(&self.number.to_be_bytes());
        text[24..32].copy_from_slice(&stamps[0].to_be_bytes());
        text[32..40].copy_from_slice(&stamps[1].to_be_bytes());
        text
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u64::from_be_bytes(text.get(at..at + 8)?.try_into().ok()?));
        let stamp = |at: usize| Some(Instant::from_ns(word(at)?.cast_signed()));
        let message = match (text.get(4)?, text.get(5)?) {
            (&REQUEST, 0) => Message::Request,
            (&REPLY, flags @ (0 | 1)) => {
                Message::Reply { received: stamp(24)?, replied: stamp(32)?, has_follow_up: *flags == 1 }
            }
            (&FOLLOW_UP, 0) => Message::FollowUp { replied: stamp(24)? },
            _ => return None,
        };
        let packet = Self { session: SessionId(word(8)?), number: word(16)?, message };
        // What is written otherwise than we write it is not ours.
        (packet.text() == text).then_some(packet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::MasterKey;
    use proptest::prelude::*;

    fn key(session: u64) -> SessionKey {
        MasterKey::from_random([3; 32]).session(SessionId(session), 7)
    }

    fn message() -> impl Strategy<Value = Message> {
        let at = || any::<i64>().prop_map(Instant::from_ns);
        prop_oneof![
            Just(Message::Request),
            (at(), at(), any::<bool>()).prop_map(|(received, replied, has_follow_up)| Message::Reply {
                received,
                replied,
                has_follow_up
            }),
            at().prop_map(|replied| Message::FollowUp { replied }),
        ]
    }

    proptest! {
        #[test]
        fn a_packet_opens_as_it_was_sealed_and_no_changed_bit_passes(
            session: u64, number: u64, message in message(), bit in 0..PACKET_BYTES * 8,
        ) {
            let packet = Packet { session: SessionId(session), number, message };
            let mut bytes = packet.seal(&key(1));
            prop_assert_eq!(Packet::open(&bytes, &key(1)), Ok(packet));
            prop_assert_eq!(Packet::open(&bytes, &key(2)), Err(BadPacket::Forged));
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Packet::open(&bytes, &key(1)).is_err());
        }

        #[test]
        fn bytes_from_anybody_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(Packet::open(&bytes, &key(1)).is_err());
        }
    }

    #[test]
    fn another_version_is_malformed() {
        let mut bytes = Packet { session: SessionId(1), number: 2, message: Message::Request }.seal(&key(1));
        bytes[3] = 2;
        assert_eq!(Packet::open(&bytes, &key(1)), Err(BadPacket::Malformed));
        assert_eq!(Packet::peek(&bytes[..55]), Err(BadPacket::Malformed));
    }
}
