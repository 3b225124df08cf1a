//! chrony's claim: the `tracking` report of its command port, protocol version 6.
//!
//! Written from the protocol's description in chrony's documentation and what its daemon answers (4.3): a request of 104 bytes, as long
//! as the reply, so that the port amplifies nothing; all numbers big-endian; floats of 7 bits of exponent and 25 of coefficient.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use thiserror::Error;

use crate::{UtcClaim, nanoseconds};

/// Where chronyd listens for commands unless told otherwise.
const COMMAND_PORT: u16 = 323;
const VERSION: u8 = 6;
const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const TRACKING: u16 = 33;
const TRACKING_REPLY: u16 = 5;
/// Both ways.
const PACKET_BYTES: usize = 104;
const UNSYNCHRONIZED: u16 = 3;

/// A chronyd on this machine.
#[derive(Clone, Copy, Debug)]
pub struct Chrony {
    address: SocketAddr,
}

/// chrony did not say.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ChronyError {
    /// Nobody answers.
    #[error("no chronyd answers at {address}: {error}")]
    Silent {
        /// Where it was asked.
        address: SocketAddr,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// It is not what we know.
    #[error("what answers at {address} is no chronyd that this version knows: {why}")]
    Strange {
        /// Where it was asked.
        address: SocketAddr,
        /// What is wrong.
        why: &'static str,
    },
}

impl Default for Chrony {
    /// The daemon of this machine, at its usual port.
    fn default() -> Self {
        Self::at(([127, 0, 0, 1], COMMAND_PORT).into())
    }
}

impl Chrony {
    /// A daemon with its command port elsewhere.
    pub fn at(address: SocketAddr) -> Self {
        Self { address }
    }

    /// What it claims, asked for no longer than `patience`; `None` where it is not synchronized.
    ///
    /// UTC - WALL is its current correction, the bound root dispersion + root delay / 2, as AWS ClockBound takes it.
    ///
    /// # Errors
    /// There is none, or it speaks otherwise.
    pub fn ask(&self, patience: Duration) -> Result<Option<UtcClaim>, ChronyError> {
        let sequence = std::process::id();
        let reply =
            self.exchange(sequence, patience).map_err(|error| ChronyError::Silent { address: self.address, error })?;
        parse(&reply, sequence).map_err(|why| ChronyError::Strange { address: self.address, why })
    }

    fn exchange(&self, sequence: u32, patience: Duration) -> io::Result<Vec<u8>> {
        let any: SocketAddr = if self.address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
        let socket = UdpSocket::bind(any)?;
        socket.set_read_timeout(Some(patience))?;
        socket.connect(self.address)?;
        socket.send(&request(sequence))?;
        let mut reply = vec![0; 2 * PACKET_BYTES];
        let len = socket.recv(&mut reply)?;
        reply.truncate(len);
        Ok(reply)
    }
}

fn request(sequence: u32) -> [u8; PACKET_BYTES] {
    let mut packet = [0; PACKET_BYTES];
    packet[..2].copy_from_slice(&[VERSION, REQUEST]);
    packet[4..6].copy_from_slice(&TRACKING.to_be_bytes());
    packet[8..12].copy_from_slice(&sequence.to_be_bytes());
    packet
}

fn parse(reply: &[u8], sequence: u32) -> Result<Option<UtcClaim>, &'static str> {
    let short = |at: usize| reply.get(at..at + 2).and_then(|bytes| bytes.try_into().ok()).map(u16::from_be_bytes);
    let word = |at: usize| reply.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
    if reply.get(..2) != Some(&[VERSION, REPLY]) {
        return Err("it has another version of the protocol");
    }
    if (short(4), word(16)) != (Some(TRACKING), Some(sequence)) {
        return Err("its reply is to something else");
    }
    if short(8) != Some(0) {
        return Err("it refuses");
    }
    let (Some(TRACKING_REPLY), Some(leap)) = (short(6), short(54)) else { return Err("its reply is another") };
    if leap == UNSYNCHRONIZED {
        return Ok(None);
    }
    let seconds = |at: usize| word(at).map(float).and_then(nanoseconds);
    let (Some(correction), Some(delay), Some(dispersion)) = (seconds(68), seconds(92), seconds(96)) else {
        return Err("its reply is cut off, or no number of seconds");
    };
    // A negative one is none.
    let bound_ns = u64::try_from(dispersion.saturating_add(delay / 2)).map_err(|_| "its bound is negative")?;
    Ok(Some(UtcClaim { utc_minus_wall_ns: correction, bound_ns }))
}

/// 7 bits of signed exponent, 25 of signed coefficient.
fn float(bits: u32) -> f64 {
    let exponent = bits.cast_signed() >> 25;
    let coefficient = (bits << 7).cast_signed() >> 7;
    f64::from(coefficient) * f64::from(exponent - 25).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As chronyd has it: the largest coefficient that fits.
    fn bits(value: f64) -> u32 {
        let exponent = value.abs().log2().ceil() as i32;
        let coefficient = (value * f64::from(25 - exponent - 1).exp2()).round() as i32;
        ((exponent + 1) as u32) << 25 | coefficient.cast_unsigned() & 0x1ff_ffff
    }

    fn reply(leap: u16, correction: f64, delay: f64, dispersion: f64) -> Vec<u8> {
        let mut packet = vec![0; PACKET_BYTES];
        packet[..2].copy_from_slice(&[VERSION, REPLY]);
        packet[4..6].copy_from_slice(&TRACKING.to_be_bytes());
        packet[6..8].copy_from_slice(&TRACKING_REPLY.to_be_bytes());
        packet[16..20].copy_from_slice(&7u32.to_be_bytes());
        packet[54..56].copy_from_slice(&leap.to_be_bytes());
        for (at, value) in [(68, correction), (92, delay), (96, dispersion)] {
            packet[at..at + 4].copy_from_slice(&bits(value).to_be_bytes());
        }
        packet
    }

    #[test]
    fn a_claim_is_the_correction_within_dispersion_and_half_the_delay() {
        let claim = parse(&reply(0, -0.000_25, 0.002, 0.001), 7).unwrap().unwrap();
        assert!((claim.utc_minus_wall_ns + 250_000).abs() < 2 && claim.bound_ns.abs_diff(2_000_000) < 2, "{claim:?}");
        assert_eq!(parse(&reply(UNSYNCHRONIZED, 1.0, 1.0, 1.0), 7), Ok(None));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let good = reply(0, 0.1, 0.1, 0.1);
        let changed = |at: usize, byte: u8| {
            let mut packet = good.clone();
            packet[at] = byte;
            parse(&packet, 7)
        };
        assert_eq!(changed(0, 5), Err("it has another version of the protocol"));
        assert_eq!(changed(19, 8), Err("its reply is to something else"));
        assert_eq!(changed(9, 2), Err("it refuses"));
        assert_eq!(changed(7, 1), Err("its reply is another"));
        assert!(parse(&good[..90], 7).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_can_break_it(bytes in prop::collection::vec(any::<u8>(), 0..200), sequence: u32) {
            let _ = parse(&bytes, sequence);
        }

        #[test]
        fn floats_are_what_they_were(value in prop_oneof![1e-9..1e6f64, -1e6..-1e-9f64]) {
            prop_assert!((float(bits(value)) - value).abs() <= value.abs() * 1e-6);
        }
    }
}
