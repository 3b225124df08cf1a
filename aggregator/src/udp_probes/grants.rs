//! Sessions handed out.

use std::io;
use std::path::{Path, PathBuf};

use syncline_exchange::{MasterKey, SessionId, SessionKey};
use thiserror::Error;

use crate::state_file;

const FILE: &str = "probe.key";

/// Makes sessions.
#[derive(Clone, Debug)]
pub struct Grants {
    master: MasterKey,
    port: u16,
}

/// The key of the sessions' keys cannot be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum MasterKeyError {
    /// The state directory cannot be used.
    #[error("cannot keep the key of clock probes in {path}: {error}; give a writable directory with --state-dir")]
    State {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
    /// The file is there and is not ours.
    #[error(
        "{path} is no key of {} bytes: it has {found}; remove it, and nodes get new keys by themselves",
        SessionKey::BYTES
    )]
    Garbled {
        /// The file.
        path: PathBuf,
        /// Its length.
        found: usize,
    },
}

impl Grants {
    /// Sessions with the server at `port`.
    pub fn new(master: MasterKey, port: u16) -> Self {
        Self { master, port }
    }

    /// The server's port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A new session against run `run` of the reference.
    pub fn open(&self, run: u64) -> (SessionId, SessionKey) {
        let session = SessionId(u64::from_ne_bytes(random()));
        (session, self.master.session(session, run))
    }
}

/// The key kept in `state_dir`; a new one where there is none. Nobody but the owner may read it.
///
/// # Errors
/// It cannot be read or written, or is none.
pub fn open_master_key(state_dir: &Path) -> Result<MasterKey, MasterKeyError> {
    let path = state_dir.join(FILE);
    match std::fs::read(&path) {
        Ok(bytes) => {
            let key = <[u8; SessionKey::BYTES]>::try_from(bytes.as_slice());
            key.map(MasterKey::from_random).map_err(|_| MasterKeyError::Garbled { path, found: bytes.len() })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = random();
            state_file::save(state_dir, FILE, &key).map_err(|error| MasterKeyError::State { path, error })?;
            Ok(MasterKey::from_random(key))
        }
        Err(error) => Err(MasterKeyError::State { path, error }),
    }
}

/// From the kernel's generator, which does not fail once the machine is up.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        let rest = bytes.get_mut(filled..).unwrap_or_default();
        filled += rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty()).unwrap_or(0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_kept_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let session = |master: &MasterKey| master.session(SessionId(1), 2);
        let first = open_master_key(dir.path()).unwrap();
        let second = open_master_key(dir.path()).unwrap();
        assert_eq!(session(&first), session(&second));
        let path = dir.path().join(FILE);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(session(&first), session(&open_master_key(other.path()).unwrap()));
        std::fs::write(&path, "short").unwrap();
        let error = open_master_key(dir.path()).unwrap_err().to_string();
        assert!(error.contains("it has 5") && error.contains("probe.key"), "{error}");
        let error = open_master_key(&path).unwrap_err().to_string();
        assert!(error.contains("--state-dir"), "{error}");
    }

    #[test]
    fn sessions_differ() {
        let grants = Grants::new(MasterKey::from_random([1; 32]), 7);
        let [(one, key), (other, other_key)] = [grants.open(5), grants.open(5)];
        assert!(one != other && key != other_key && grants.port() == 7);
    }
}
