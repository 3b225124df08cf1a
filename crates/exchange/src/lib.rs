//! Clock probes over UDP: four-stamp exchanges (RFC 5905, section 8) that nobody on the way can forge or replay.
//!
//! Pure: no sockets, no clock reads. What sends and receives gives it packets and stamps, and takes packets and finished
//! probes.
//!
//! ```text
//! node                                          aggregator
//!  request   number n, T1 kept here        ──►  ReplayWindow: once each number
//!  Pairing   ◄── reply      n, T2, T3 (as it was about to send)
//!            ◄── follow-up  n, T3 (as the kernel sent the reply)
//! ```
//!
//! The stamp of a packet's departure is known only once it is gone, so the aggregator's comes after it, in a packet of its
//! own, as in the two-step mode of PTP (IEEE 1588-2019, section 9.5.10). Where it gets lost the earlier T3 stands: a stamp
//! that is taken in user space makes the exchange longer than it was, and every bound wider, never wrong.
//!
//! Every packet is [`PACKET_BYTES`] long: a request earns no more bytes a packet than it cost, and only one that bears its
//! session's code (HMAC-SHA-256, RFC 2104) is answered at all.

mod key;
mod pacing;
mod packet;
mod pairing;
mod replay;

pub use key::{MasterKey, SessionId, SessionKey};
pub use pacing::{ANSWERED_PER_SECOND, LEAST_INTERVAL, Pacer, Pacing};
pub use packet::{BadPacket, Message, PACKET_BYTES, Packet};
pub use pairing::{Finished, Pairing, Refused, Stamped};
pub use replay::ReplayWindow;
