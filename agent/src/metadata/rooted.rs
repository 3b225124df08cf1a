//! Reading small files below a root that somebody else fills: a container's, or the node's.
//!
//! What a path leads to is never outside that root, whatever symbolic links are in it (openat2(2), `RESOLVE_IN_ROOT`). It is
//! looked at before it is opened, so that no device is, and no FIFO waits for its other end; and at most so much of it is read.
//! A file system that does not answer (FUSE, NFS) can keep the caller waiting all the same: see [`crate::patience`].

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};

/// A directory that is taken for the root of all paths.
#[derive(Debug)]
pub(crate) struct Root(OwnedFd);

impl Root {
    /// The root at `path`, seen from `directory`. The link `/proc/PID/root` leads to a process's own.
    ///
    /// # Errors
    /// If it is not there, no directory, or not for us.
    pub(crate) fn open(directory: impl AsFd, path: &str) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(openat(directory, path, flags, Mode::empty())?))
    }

    /// All of a regular file of at most `most_bytes`.
    ///
    /// # Errors
    /// If it cannot be opened or read, is no regular file, or is larger.
    pub(super) fn read(&self, path: &str, most_bytes: u64) -> io::Result<Vec<u8>> {
        read_at_most(self.file(path)?, most_bytes)
    }

    /// A regular file, open for reading.
    ///
    /// # Errors
    /// If it cannot be opened, or is something else.
    pub(crate) fn file(&self, path: &str) -> io::Result<File> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        regular(&openat2(&self.0, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)?)
    }

    /// The text of a regular file; none where there is none, or no UTF-8.
    pub(super) fn text(&self, path: &str, most_bytes: u64) -> Option<String> {
        String::from_utf8(self.read(path, most_bytes).ok()?).ok()
    }
}

/// What was found, open for reading.
///
/// # Errors
/// If it is no regular file, or not for us.
pub(crate) fn regular(found: &OwnedFd) -> io::Result<File> {
    if FileType::from_raw_mode(fstat(found)?.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("it is not a regular file"));
    }
    let same = format!("/proc/self/fd/{}", found.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(File::from(openat(CWD, same, flags, Mode::empty())?))
}

/// All of a file.
///
/// # Errors
/// If there is more than that.
pub(super) fn read_at_most(file: File, most_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = file.take(most_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    if read as u64 > most_bytes { Err(io::Error::other("it is too large")) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    fn root(path: &Path) -> Root {
        Root::open(CWD, path.to_str().unwrap()).unwrap()
    }

    #[test]
    fn links_are_followed_within_the_root_and_lead_nowhere_else() {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "secret").unwrap();
        let dir = tempfile::tempdir().unwrap();
        // As the kubelet writes a downward volume.
        std::fs::create_dir_all(dir.path().join("etc/podinfo/..2026_11_26")).unwrap();
        std::fs::write(dir.path().join("etc/podinfo/..2026_11_26/name"), "web-0").unwrap();
        symlink("..2026_11_26", dir.path().join("etc/podinfo/..data")).unwrap();
        symlink("..data/name", dir.path().join("etc/podinfo/name")).unwrap();
        assert_eq!(root(dir.path()).text("/etc/podinfo/name", 253).as_deref(), Some("web-0"));

        symlink(outside.path().join("secret"), dir.path().join("absolute")).unwrap();
        let up = format!("{}{}/secret", "../".repeat(30), outside.path().display());
        symlink(up, dir.path().join("relative")).unwrap();
        symlink("/proc/self/root/etc/passwd", dir.path().join("magic")).unwrap();
        symlink("loop", dir.path().join("loop")).unwrap();
        for path in ["absolute", "relative", "magic", "loop", "none", "../../../etc/passwd"] {
            assert!(root(dir.path()).read(path, 1_000).is_err(), "{path}");
        }
        std::fs::create_dir_all(dir.path().join(outside.path().strip_prefix("/").unwrap())).unwrap();
        std::fs::write(dir.path().join(outside.path().strip_prefix("/").unwrap()).join("secret"), "inside").unwrap();
        assert_eq!(root(dir.path()).text("absolute", 100).as_deref(), Some("inside"));
        assert_eq!(root(dir.path()).text("relative", 100).as_deref(), Some("inside"));
    }

    #[test]
    fn magic_links_of_proc_are_not_followed() {
        assert!(Root::open(CWD, "/proc/self").unwrap().read("cwd/Cargo.toml", 100_000).is_err());
        assert!(root(Path::new("/")).read("proc/self/exe", u64::MAX - 1).is_err());
    }

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str, kind, device| {
            let mode = Mode::from_raw_mode(0o600);
            rustix::fs::mknodat(CWD, dir.path().join(name), kind, mode, device)
        };
        make("fifo", FileType::Fifo, 0).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        std::fs::create_dir(dir.path().join("directory")).unwrap();
        let mut names = vec!["fifo", "socket", "directory"];
        // /dev/zero, where we may make it.
        if make("device", FileType::CharacterDevice, rustix::fs::makedev(1, 5)).is_ok() {
            names.push("device");
        }
        for name in names {
            let refused = root(dir.path()).read(name, 10).unwrap_err();
            assert!(refused.to_string().contains("not a regular file"), "{name}: {refused}");
        }
        drop(socket);
    }

    #[test]
    fn a_file_beyond_the_limit_is_refused_however_large_it_is() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("fits"), "12345").unwrap();
        File::create(dir.path().join("huge")).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(root(dir.path()).read("fits", 5).unwrap(), b"12345");
        for (name, most_bytes) in [("fits", 4), ("huge", 1 << 16)] {
            assert!(root(dir.path()).read(name, most_bytes).unwrap_err().to_string().contains("too large"));
        }
    }
}
