//! What the embedded store needs here: its engine, space, memory, and who is using it.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock, statvfs};
use syncline_store::{Location, StoreError, libchdb_path};

use super::check::{Check, Need};
use crate::units;

/// Below this the engine's library cannot be whole (it is some 560 MB).
const SMALLEST_LIBRARY: u64 = 100 << 20;
const LITTLE_SPACE: u64 = 2 << 30;
const TOO_LITTLE_SPACE: u64 = 200 << 20;
const LITTLE_MEMORY: u64 = 1 << 30;

/// All checks of this file; `location` is where the store is or would be.
pub(crate) fn checks(location: anyhow::Result<Location>) -> Vec<Check> {
    let mut checks = vec![library(&libchdb_path()), memory(available_memory())];
    match location {
        Ok(Location::Embedded(dir)) => checks.extend([space(&dir), directory(&dir)]),
        Ok(Location::Url(url)) => {
            checks.push(Check::ok("store", Need::Store, format!("a server, {}", without_password(&url))));
        }
        Err(error) => {
            checks.push(Check::fail(
                "store",
                Need::Store,
                error.to_string(),
                "name the store with --store DIR or --url URL",
            ));
        }
    }
    checks
}

fn library(path: &Path) -> Check {
    const NAME: &str = "libchdb";
    let at = path.display();
    match examine(path) {
        Ok(size) => Check::ok(NAME, Need::Store, format!("{at}, {}", units::bytes(size))),
        Err(Flaw::Missing) => {
            let missing = StoreError::LibraryMissing { path: path.to_owned() };
            Check::fail(NAME, Need::Store, format!("{at} is missing"), hint_of(&missing))
        }
        Err(Flaw::Forbidden) => Check::fail(
            NAME,
            Need::Store,
            format!("{at} cannot be read by this user"),
            "let this user read it, or point SYNCLINE_LIBCHDB to one that it can read",
        ),
        Err(Flaw::Other(what)) => Check::fail(
            NAME,
            Need::Store,
            format!("{at} {what}"),
            "fetch it again: cargo xtask fetch libchdb, or point SYNCLINE_LIBCHDB to a whole one",
        ),
    }
}

/// The part of the store's own message that says how to mend it.
fn hint_of(error: &StoreError) -> String {
    let text = error.to_string();
    text.split_once(": ").map_or(text.clone(), |(_, hint)| hint.to_owned())
}

enum Flaw {
    Missing,
    Forbidden,
    Other(String),
}

/// The size of a library that this machine can load, as far as its header and size tell.
fn examine(path: &Path) -> Result<u64, Flaw> {
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Flaw::Missing,
        std::io::ErrorKind::PermissionDenied => Flaw::Forbidden,
        _ => Flaw::Other(format!("cannot be read: {error}")),
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let mut header = [0u8; 20];
    file.read_exact(&mut header).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    match header {
        [0x7f, b'E', b'L', b'F', 2, 1, .., low, high] if Some(u16::from_le_bytes([low, high])) == elf_machine() => {}
        [0x7f, b'E', b'L', b'F', ..] => return Err(Flaw::Other("is for another kind of machine".to_owned())),
        _ => return Err(Flaw::Other("is not a shared library".to_owned())),
    }
    if size < SMALLEST_LIBRARY {
        return Err(Flaw::Other(format!("has only {}: it is not whole", units::bytes(size))));
    }
    Ok(size)
}

/// `e_machine` of this program's own kind of machine (elf.h).
fn elf_machine() -> Option<u16> {
    match std::env::consts::ARCH {
        "x86_64" => Some(62),
        "aarch64" => Some(183),
        _ => None,
    }
}

fn available_memory() -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok()?.checked_mul(1024)
}

fn memory(available: Option<u64>) -> Check {
    const NAME: &str = "memory";
    match available {
        None => {
            Check::warn(NAME, Need::Store, "unknown", "/proc/meminfo does not tell; the embedded store wants 1 GiB")
        }
        Some(size) if size < LITTLE_MEMORY => Check::warn(
            NAME,
            Need::Store,
            format!("{} available", units::bytes(size)),
            "the embedded store wants 1 GiB; large queries will be refused with less",
        ),
        Some(size) => Check::ok(NAME, Need::Store, format!("{} available", units::bytes(size))),
    }
}

/// Free space where the store is, or where it would be made.
fn space(dir: &Path) -> Check {
    const NAME: &str = "disk-space";
    let Some(existing) = dir.ancestors().find(|path| path.is_dir()).or(Some(Path::new("."))) else {
        return Check::warn(NAME, Need::Store, "unknown", "name the store with --store");
    };
    let free = match statvfs(existing) {
        Ok(stat) => stat.f_bavail.saturating_mul(stat.f_frsize),
        Err(error) => {
            let found = format!("{} cannot be examined: {error}", existing.display());
            return Check::warn(NAME, Need::Store, found, "see that its file system is mounted and readable");
        }
    };
    let found = format!("{} free at {}", units::bytes(free), existing.display());
    match free {
        free if free < TOO_LITTLE_SPACE => {
            Check::fail(NAME, Need::Store, found, "make room, or put the store elsewhere with --store")
        }
        free if free < LITTLE_SPACE => {
            Check::warn(NAME, Need::Store, found, "busy fleets fill this within hours: make room")
        }
        _ => Check::ok(NAME, Need::Store, found),
    }
}

fn directory(dir: &Path) -> Check {
    const NAME: &str = "store";
    let at = dir.display();
    if !dir.exists() {
        return Check::ok(NAME, Need::Store, format!("none yet at {at}; an aggregator makes it"));
    }
    let lock = dir.join("syncline.lock");
    match holder(&lock) {
        Ok(Some(pid)) => Check::ok(NAME, Need::Store, format!("{at}, served by process {pid}")),
        Ok(None) => {
            Check::ok(NAME, Need::Store, format!("{at}, in use by nobody; commands start its engine themselves"))
        }
        Err(error) => Check::fail(
            NAME,
            Need::Store,
            format!("{} cannot be examined: {error}", lock.display()),
            "run as the user that owns the store",
        ),
    }
}

/// Who holds the lock. Asks by trying a shared lock, without making the file.
fn holder(lock: &PathBuf) -> std::io::Result<Option<String>> {
    let mut file = match File::open(lock) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(None),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut pid = String::new();
            file.read_to_string(&mut pid)?;
            Ok(Some(pid.trim().to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}

fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Status;
    use super::*;

    #[test]
    fn a_missing_a_foreign_and_a_cut_library_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("libchdb.so");
        let missing = library(&path);
        assert!(missing.found.ends_with("is missing") && missing.hint.unwrap().contains("SYNCLINE_LIBCHDB"));
        fs::write(&path, "<html>not a library at all</html>").unwrap();
        assert!(library(&path).found.ends_with("is not a shared library"));
        let mut header = [0u8; 64];
        header[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1]);
        header[18] = 243;
        fs::write(&path, header).unwrap();
        assert!(library(&path).found.ends_with("another kind of machine"));
        header[18..20].copy_from_slice(&elf_machine().unwrap().to_le_bytes());
        fs::write(&path, header).unwrap();
        assert!(library(&path).found.ends_with("it is not whole"));
    }

    #[test]
    fn a_held_lock_names_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("syncline.lock");
        assert_eq!(holder(&path).unwrap(), None);
        fs::write(&path, "4711\n").unwrap();
        assert_eq!(holder(&path).unwrap(), None);
        let held = File::open(&path).unwrap();
        flock(&held, FlockOperation::LockExclusive).unwrap();
        assert_eq!(holder(&path).unwrap().as_deref(), Some("4711"));
        assert!(directory(dir.path()).found.contains("served by process 4711"));
    }

    #[test]
    fn space_is_looked_up_where_the_store_would_be() {
        let dir = tempfile::tempdir().unwrap();
        let check = space(&dir.path().join("not/yet"));
        assert!(check.found.contains(&dir.path().display().to_string()), "{}", check.found);
        assert_eq!(memory(Some(5 << 20)).status, Status::Warn);
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(without_password("http://me:secret@db:8123"), "http://db:8123");
        assert_eq!(without_password("http://db:8123"), "http://db:8123");
    }
}
