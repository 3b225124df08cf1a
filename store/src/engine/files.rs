//! The files of a data directory: locks, endpoint, secrets.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::StoreError;

/// The paths below a data directory.
#[derive(Clone, Debug)]
pub(crate) struct DataDir(PathBuf);

impl DataDir {
    /// Makes the directory where it is missing, for its owner only, and the path absolute.
    pub(crate) fn create(path: &Path) -> Result<Self, StoreError> {
        let failed = || format!("creating the data directory {}", path.display());
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(StoreError::io(failed()))?;
        let path = path.canonicalize().map_err(StoreError::io(failed()))?;
        let dir = Self(path);
        // The directory itself may have been made by somebody with other ideas; what the engine writes is for us alone.
        for private in [dir.tmp(), dir.clickhouse()] {
            DirBuilder::new().recursive(true).mode(0o700).create(&private).map_err(StoreError::io(failed()))?;
            fs::set_permissions(&private, Permissions::from_mode(0o700)).map_err(StoreError::io(failed()))?;
        }
        Ok(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.0.join("syncline.lock")
    }

    pub(crate) fn engine_lock(&self) -> PathBuf {
        self.0.join("engine.lock")
    }

    pub(crate) fn endpoint(&self) -> PathBuf {
        self.0.join("endpoint.json")
    }

    pub(crate) fn access(&self) -> PathBuf {
        self.0.join("access.json")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("engine.log")
    }

    pub(crate) fn server_xml(&self) -> PathBuf {
        self.0.join("engine.xml")
    }

    pub(crate) fn users_xml(&self) -> PathBuf {
        self.0.join("users.xml")
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.0.join("tmp")
    }

    pub(crate) fn clickhouse(&self) -> PathBuf {
        self.0.join("clickhouse")
    }
}

/// An exclusive lock on a file that names its holder. It ends with the process, however that ends.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "held for its lock")] File);

impl Lock {
    /// Takes the lock if it is free.
    pub(crate) fn try_take(path: &Path) -> Result<Option<Self>, StoreError> {
        let mut file = open_lock(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(StoreError::io(format!("locking {}", path.display()))(error.into())),
        }
        let failed = || format!("writing {}", path.display());
        file.set_len(0).map_err(StoreError::io(failed()))?;
        file.write_all(format!("{}\n", std::process::id()).as_bytes()).map_err(StoreError::io(failed()))?;
        Ok(Some(Self(file)))
    }

    /// Waits for the lock.
    pub(crate) fn take(path: &Path) -> Result<Self, StoreError> {
        let file = open_lock(path)?;
        flock(&file, FlockOperation::LockExclusive)
            .map_err(|error| StoreError::io(format!("locking {}", path.display()))(error.into()))?;
        Ok(Self(file))
    }

    /// Whether somebody holds it. Asks with a shared lock, which two askers do not take for each other's.
    pub(crate) fn is_held(path: &Path) -> Result<bool, StoreError> {
        match flock(open_lock(path)?, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(StoreError::io(format!("locking {}", path.display()))(error.into())),
        }
    }

    /// The holder's process id, if it has written it.
    pub(crate) fn holder(path: &Path) -> Option<u32> {
        let mut text = String::new();
        File::open(path).ok()?.take(32).read_to_string(&mut text).ok()?;
        text.trim().parse().ok()
    }
}

fn open_lock(path: &Path) -> Result<File, StoreError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(StoreError::io(format!("opening {}", path.display())))
}

/// How others reach a running engine. Valid only while `pid` holds the directory's lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    /// With the writer's name and password.
    pub(crate) url: String,
    /// With the reader's; a holder of an older version has none.
    #[serde(default)]
    pub(crate) reader_url: Option<String>,
    /// The process that holds the engine.
    pub(crate) pid: u32,
    /// The engine's own process.
    pub(crate) engine_pid: u32,
}

impl Endpoint {
    pub(crate) fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), StoreError> {
        let text =
            serde_json::to_string_pretty(self).map_err(|error| StoreError::Protocol { reason: error.to_string() })?;
        write_private(path, &text)
    }
}

/// Writes a file for its owner only, in one step: readers see the old content or the new.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), StoreError> {
    let failed = || format!("writing {}", path.display());
    let fresh = path.with_extension("new");
    remove(&fresh)?;
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh).map_err(StoreError::io(failed()))?;
    file.write_all(text.as_bytes()).map_err(StoreError::io(failed()))?;
    fs::rename(&fresh, path).map_err(StoreError::io(failed()))
}

/// Removes a file that may be missing.
pub(crate) fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::io(format!("removing {}", path.display()))(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_excludes_names_its_holder_and_ends_with_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let lock = Lock::try_take(&path).unwrap().unwrap();
        assert!(Lock::try_take(&path).unwrap().is_none());
        assert_eq!(Lock::holder(&path), Some(std::process::id()));
        drop(lock);
        assert!(Lock::try_take(&path).unwrap().is_some());
    }

    #[test]
    fn an_endpoint_survives_the_disk_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("endpoint.json");
        let endpoint = Endpoint {
            url: "http://u:p@127.0.0.1:1".into(),
            reader_url: Some("http://r:p@127.0.0.1:1".into()),
            pid: 1,
            engine_pid: 2,
        };
        endpoint.write(&path).unwrap();
        assert_eq!(Endpoint::read(&path), Some(endpoint));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "{").unwrap();
        assert_eq!(Endpoint::read(&path), None);
    }
}
