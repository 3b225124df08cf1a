//! Opening files that others name: never one that keeps the caller waiting, as a FIFO without a peer does for ever.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;

/// Opens a regular file for reading.
///
/// # Errors
/// If it cannot be opened, or is something else.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let file = without_waiting().read(true).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a regular file")) }
}

/// Opens a file for writing, created or emptied; a device such as /dev/null is welcome.
///
/// # Errors
/// If it cannot be opened, or is a FIFO, which would hold up the writer as soon as its reader does.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo()) {
        return Err(io::Error::other("it is a FIFO"));
    }
    without_waiting().write(true).create(true).truncate(true).open(path)
}

/// On regular files the flag means nothing further.
fn without_waiting() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(libc::O_NONBLOCK);
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[test]
    fn a_regular_file_is_written_and_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        create(&path).unwrap().write_all(b"text").unwrap();
        let mut text = String::new();
        open(&path).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
    }

    #[test]
    fn what_would_keep_us_waiting_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert!(open(&fifo).unwrap_err().to_string().contains("not a regular file"));
        assert!(create(&fifo).unwrap_err().to_string().contains("FIFO"));
        assert!(open(dir.path()).is_err());
        assert!(create(Path::new("/dev/null")).is_ok());
    }
}
