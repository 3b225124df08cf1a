//! Keys.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// Bytes of a code: half of HMAC-SHA-256, the least that RFC 2104 (section 5) advises.
pub(crate) const CODE_BYTES: usize = 16;

/// Names a session of one node with one aggregator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// What both ends of a session know, and nobody else.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey([u8; Self::BYTES]);

/// What an aggregator makes the keys of its sessions from, so that it need not keep them.
#[derive(Clone)]
pub struct MasterKey([u8; SessionKey::BYTES]);

impl SessionKey {
    /// Its length.
    pub const BYTES: usize = 32;

    /// The key that was handed out as `bytes`; `None` where these are not [`Self::BYTES`].
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// To be handed out, over a channel that nobody else reads.
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    pub(crate) fn code(&self, text: &[u8]) -> [u8; CODE_BYTES] {
        let mut code = [0; CODE_BYTES];
        code.copy_from_slice(&digest(&self.0, text).finalize().into_bytes()[..CODE_BYTES]);
        code
    }

    /// Takes the same time wherever the two differ.
    pub(crate) fn verifies(&self, text: &[u8], code: &[u8]) -> bool {
        code.len() == CODE_BYTES && digest(&self.0, text).verify_truncated_left(code).is_ok()
    }
}

impl MasterKey {
    /// From bytes that nobody can guess.
    pub fn from_random(bytes: [u8; SessionKey::BYTES]) -> Self {
        Self(bytes)
    }

    /// The key of `session` with run `run` of the aggregator's reference: another run has other keys, so that no node takes
    /// its stamps for those of the run before.
    pub fn session(&self, session: SessionId, run: u64) -> SessionKey {
        let mut text = [0; 16];
        text[..8].copy_from_slice(&session.0.to_be_bytes());
        text[8..].copy_from_slice(&run.to_be_bytes());
        SessionKey(digest(&self.0, &text).finalize().into_bytes().into())
    }
}

fn digest(key: &[u8; SessionKey::BYTES], text: &[u8]) -> Hmac<Sha256> {
    // A key of the block's length takes the path that cannot fail: HMAC pads a shorter one with zeros anyway.
    let mut block = [0; 64];
    block[..SessionKey::BYTES].copy_from_slice(key);
    let mut digest = <Hmac<Sha256> as hmac::digest::KeyInit>::new(&block.into());
    digest.update(text);
    digest
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test cases 1 and 2, whose keys are shorter: HMAC pads them with zeros just so.
    #[test]
    fn codes_are_those_of_the_standard() {
        let key = |bytes: &[u8]| {
            let mut key = [0; 32];
            key[..bytes.len()].copy_from_slice(bytes);
            SessionKey(key)
        };
        let hex = |code: [u8; 16]| code.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        assert_eq!(hex(key(&[0x0b; 20]).code(b"Hi There")), "b0344c61d8db38535ca8afceaf0bf12b");
        assert_eq!(hex(key(b"Jefe").code(b"what do ya want for nothing?")), "5bdcc146bf60754e6a042426089575c7");
    }

    #[test]
    fn a_session_has_a_key_of_its_own_and_none_is_printed() {
        let master = MasterKey::from_random([7; 32]);
        let [one, two] = [1, 2].map(|session| master.session(SessionId(session), 9));
        assert!(one != two && one == master.session(SessionId(1), 9) && one != master.session(SessionId(1), 8));
        assert_eq!(SessionKey::from_bytes(one.as_bytes()), Some(one.clone()));
        assert!(SessionKey::from_bytes(&[0; 31]).is_none());
        assert_eq!(format!("{one:?} {master:?}"), "SessionKey(..) MasterKey(..)");
    }
}
