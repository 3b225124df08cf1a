//! Outputs that are there complete or not at all.
//!
//! A file is written beside its place and renamed into it at the end. What cannot be renamed (standard output, a device, a
//! named pipe) is given everything at the end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::{NamedTempFile, SpooledTempFile};

use crate::failure::usage;

/// What is kept in memory until it may go down a pipe; more goes to the directory of temporary files.
const SPOOLED_IN_MEMORY: usize = 8 << 20;
const STANDARD_OUTPUT: &str = "-";
/// Names of what a shell has already opened: whatever is behind them, replacing it is not what was meant.
const OPENED_BY_OTHERS: [&str; 4] = ["/dev/stdout", "/dev/stderr", "/dev/fd", "/proc/self/fd"];

/// Something that is written to.
pub(crate) struct Output {
    /// As a person named it.
    name: String,
    way: Way,
}

enum Way {
    File { fresh: BufWriter<NamedTempFile>, target: PathBuf },
    Pipe { spool: BufWriter<SpooledTempFile>, end: Box<dyn Write> },
}

impl Output {
    /// Opens the output that an option names; nothing of it is to be seen yet.
    pub(crate) fn create(option: &str, path: &Path) -> anyhow::Result<Self> {
        let name = format!("{option} {}", path.display());
        let way = match fs::metadata(path) {
            _ if path == Path::new(STANDARD_OUTPUT) => pipe(Box::new(io::stdout())),
            Ok(found) if found.is_dir() => return Err(usage(format!("{name} is a directory: name a file in it"))),
            Ok(found) if !found.is_file() || opened_by_others(path) => {
                pipe(Box::new(OpenOptions::new().append(true).open(path).with_context(|| cannot_write(&name))?))
            }
            found => file(&name, path, found.map_or(0o666, |found| found.permissions().mode()))?,
        };
        Ok(Self { name, way })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The file that will be replaced, if it is one, by the one name that it has.
    pub(crate) fn file(&self) -> Option<&Path> {
        match &self.way {
            Way::File { target, .. } => Some(target),
            Way::Pipe { .. } => None,
        }
    }

    pub(crate) fn write(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
        let written = match &mut self.way {
            Way::File { fresh, .. } => write(fresh),
            Way::Pipe { spool, .. } => write(spool),
        };
        written.with_context(|| cannot_write(&self.name))
    }

    /// Lets all that was written appear.
    pub(crate) fn complete(self) -> anyhow::Result<()> {
        let completed = match self.way {
            Way::File { fresh, target } => replace(fresh, &target),
            Way::Pipe { spool, end } => pass_on(spool, end),
        };
        completed.with_context(|| cannot_write(&self.name))
    }
}

/// Checks that each file has one writer.
pub(crate) fn check_distinct(outputs: &[&Output]) -> anyhow::Result<()> {
    for (position, output) in outputs.iter().enumerate() {
        let Some(file) = output.file() else { continue };
        if let Some(other) = outputs[..position].iter().find(|other| other.file() == Some(file)) {
            return Err(usage(format!("{} and {} are one file: name two", other.name(), output.name())));
        }
    }
    Ok(())
}

/// How many of these options ask for standard output, of which only one can have it.
pub(crate) fn to_standard_output<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> anyhow::Result<usize> {
    match paths.into_iter().filter(|path| path.as_path() == Path::new(STANDARD_OUTPUT)).count() {
        many @ (0 | 1) => Ok(many),
        _ => Err(usage("only one output can go to standard output: name files for the others")),
    }
}

fn pipe(end: Box<dyn Write>) -> Way {
    Way::Pipe { spool: BufWriter::new(SpooledTempFile::new(SPOOLED_IN_MEMORY)), end }
}

fn file(name: &str, path: &Path, mode: u32) -> anyhow::Result<Way> {
    let target = resolved(name, path)?;
    let dir = target.parent().unwrap_or(Path::new("/"));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".syncline-").permissions(fs::Permissions::from_mode(mode));
    let fresh = builder.tempfile_in(dir).with_context(|| cannot_write(name))?;
    Ok(Way::File { fresh: BufWriter::new(fresh), target })
}

/// The path without links, so that the file behind a link is replaced and not the link.
fn resolved(name: &str, path: &Path) -> anyhow::Result<PathBuf> {
    if let Ok(found) = path.canonicalize() {
        return Ok(found);
    }
    let file_name = path.file_name().ok_or_else(|| usage(format!("{name} names no file")))?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match dir.canonicalize() {
        Ok(found) if found.is_dir() => Ok(found.join(file_name)),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).with_context(|| cannot_write(name)),
        _ => Err(usage(format!("{name}: there is no directory {}: make it first", dir.display()))),
    }
}

fn opened_by_others(path: &Path) -> bool {
    OPENED_BY_OTHERS.iter().any(|opened| path.starts_with(opened))
}

fn replace(fresh: BufWriter<NamedTempFile>, target: &Path) -> io::Result<()> {
    let fresh = fresh.into_inner().map_err(io::IntoInnerError::into_error)?;
    // Some file systems tell only now that there was no room.
    fresh.as_file().sync_all()?;
    let replaced: Result<File, _> = fresh.persist(target);
    replaced.map(|_| ()).map_err(|error| error.error)
}

fn pass_on(spool: BufWriter<SpooledTempFile>, mut end: Box<dyn Write>) -> io::Result<()> {
    let mut spool = spool.into_inner().map_err(io::IntoInnerError::into_error)?;
    spool.rewind()?;
    io::copy(&mut spool, &mut end)?;
    end.flush()
}

fn cannot_write(name: &str) -> String {
    format!("cannot write {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, text: &str) -> Output {
        let mut output = Output::create("--answers", path).unwrap();
        output.write(|out| out.write_all(text.as_bytes())).unwrap();
        output
    }

    #[test]
    fn a_file_appears_complete_or_stays_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        drop(write(&path, "half"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        write(&path, "old").complete().unwrap();
        drop(write(&path, "half"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        write(&path, "new").complete().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_stays_and_a_private_file_stays_private() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("a.csv"), dir.path().join("link"));
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        write(&link, "new").complete().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        write(Path::new("/dev/null"), "text").complete().unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        let error = format!("{:#}", write(Path::new("/dev/full"), "text").complete().unwrap_err());
        assert!(error.starts_with("cannot write --answers /dev/full: No space left"), "{error}");
    }
}
