//! How the engine of a data directory is reached: the same from start to start, so that whoever was told the URL (another
//! region's aggregator, a dashboard) still reaches it after a restart.

use std::fs::{self, File};
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};

use serde::{Deserialize, Serialize};

use super::files::{DataDir, write_private};
use crate::StoreError;

/// Passwords and last port of a data directory's engine, in a file for its owner only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Access {
    /// The writer's.
    pub(super) password: String,
    /// The reader's; older versions had no such user.
    #[serde(default)]
    pub(super) reader_password: String,
    /// The port of the last start; another is taken when it is not free.
    port: Option<u16>,
}

impl Access {
    /// What the directory's last start used; new passwords where there were none, or their file cannot be read.
    pub(super) fn of(dir: &DataDir) -> Result<Self, StoreError> {
        let kept = fs::read(dir.access()).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let mut access = kept.unwrap_or(Self { password: String::new(), reader_password: String::new(), port: None });
        for missing in [&mut access.password, &mut access.reader_password].into_iter().filter(|text| text.is_empty()) {
            *missing = new_password()?;
        }
        Ok(access)
    }

    /// A free port: the last one if it is.
    pub(super) fn free_port(&self) -> Result<u16, StoreError> {
        let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
        self.port.filter(is_free).map_or_else(any_free_port, Ok)
    }

    /// Keeps what worked.
    pub(super) fn keep(&mut self, port: u16, dir: &DataDir) -> Result<(), StoreError> {
        self.port = Some(port);
        let text =
            serde_json::to_string_pretty(self).map_err(|error| StoreError::Protocol { reason: error.to_string() })?;
        write_private(&dir.access(), &text)
    }
}

fn any_free_port() -> Result<u16, StoreError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(StoreError::io("looking for a free port"))?;
    Ok(listener.local_addr().map_err(StoreError::io("looking for a free port"))?.port())
}

/// 128 random bits in hex.
///
/// # Errors
/// The system gives none.
pub fn new_password() -> Result<String, StoreError> {
    let mut bytes = [0u8; 16];
    File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .map_err(StoreError::io("reading /dev/urandom"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_start_is_reached_as_the_last_one_unless_its_port_is_taken() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::create(temp.path()).unwrap();
        let mut first = Access::of(&dir).unwrap();
        let port = first.free_port().unwrap();
        first.keep(port, &dir).unwrap();
        let second = Access::of(&dir).unwrap();
        assert_eq!((&second.password, &second.reader_password), (&first.password, &first.reader_password));
        assert_ne!(first.password, first.reader_password);
        assert_eq!(second.free_port().unwrap(), port);
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert_ne!(second.free_port().unwrap(), port);
    }

    #[test]
    fn what_an_older_version_kept_gets_a_reader() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::create(temp.path()).unwrap();
        write_private(&dir.access(), r#"{"password":"kept","port":null}"#).unwrap();
        let access = Access::of(&dir).unwrap();
        assert_eq!((access.password.as_str(), access.reader_password.len()), ("kept", 32));
    }
}
