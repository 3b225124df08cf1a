//! The socket's place in the file system.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, fchmod, flock};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};

use super::error::SocketError;

/// Connections that wait to be taken.
const BACKLOG: i32 = 16;

/// A socket that is listened on; removed when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// Held as long as the socket is ours: whoever has it may remove a socket that an agent which was killed left behind.
    _lock: File,
}

/// Makes the socket, for its owner only.
pub(super) fn open(path: &Path) -> Result<(UnixListener, Place), SocketError> {
    let refused = |cause: io::Error| SocketError::Refused { path: path.to_owned(), cause };
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o755).create(directory).map_err(refused)?;
    }
    let lock = lock(path).map_err(refused)?.ok_or_else(|| SocketError::InUse(path.to_owned()))?;
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(SocketError::NotASocket(path.to_owned())),
        Ok(_) => std::fs::remove_file(path).map_err(refused)?,
        Err(_) => {}
    }
    let listener = bound(path).map_err(refused)?;
    Ok((listener, Place { path: path.to_owned(), _lock: lock }))
}

/// None if somebody else holds it.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let mut name = OsString::from(path);
    name.push(".lock");
    // The lock stays where it is when the agent ends: removing it would let two hold it.
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(name)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn bound(path: &Path) -> io::Result<UnixListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // Before it has a name: at no moment may anybody else connect.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, BACKLOG)?;
    Ok(UnixListener::from(socket))
}

impl Drop for Place {
    fn drop(&mut self) {
        // It may be gone already, and there is nobody left to be told.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_socket_is_for_its_owner_and_one_agent_and_goes_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("made/agent.sock");
        let (_listener, place) = open(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(open(&path), Err(SocketError::InUse(_))));
        drop(place);
        assert!(!path.exists());
        open(&path).unwrap();
    }

    #[test]
    fn one_that_was_left_behind_is_replaced_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        drop(open(&path).unwrap());
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(open(&path), Err(SocketError::NotASocket(_))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        let below = path.join("agent.sock");
        assert!(matches!(open(&below), Err(SocketError::Refused { .. })));
        let long = dir.path().join("x".repeat(200));
        assert!(open(&long).unwrap_err().to_string().contains("--control"));
    }
}
