//! The directory of the files: each is replaced as a whole, and the builds that were not used for longest go where there is no room.
//!
//! Several agents may share it. Each writes what it knows and what is there already; where two write at once one of them is in
//! vain, and what it knew is looked up again after a restart.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::file::{self, Damage, Symbols};
use crate::regular_file;

const SUFFIX: &str = ".symbols";
/// Files that are being written, or were when their agent was killed.
const WRITING: &str = ".writing-";
/// Nobody writes a file for so long.
const ABANDONED: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    most_bytes: u64,
}

impl Folder {
    /// The directory at `path`, made if it is not there, for at most so many bytes.
    pub(super) fn open(path: &Path, most_bytes: u64) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let folder = Self { path: path.to_owned(), most_bytes };
        folder.sweep()?;
        Ok(folder)
    }

    /// The symbols of a build, none if there is no file; using it keeps it from being the first to go.
    pub(super) fn read(&self, build_id: u64, identity: &str) -> Result<Symbols, Damage> {
        let file = match regular_file::open(&self.file(build_id)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Symbols::new()),
            Err(error) => return Err(Damage::Unreadable(error.to_string())),
        };
        let bytes = self.bytes_of(&file).map_err(|error| Damage::Unreadable(error.to_string()))?;
        let symbols = file::decode(&bytes, build_id, identity)?;
        // On a read-only disk it is as old as it is.
        let _ = file.set_modified(SystemTime::now());
        Ok(symbols)
    }

    /// Replaces the file of a build.
    pub(super) fn write(&self, build_id: u64, identity: &str, symbols: &Symbols) -> io::Result<()> {
        let bytes = file::encode(build_id, identity, symbols);
        let mut writing = tempfile::Builder::new().prefix(WRITING).tempfile_in(&self.path)?;
        writing.write_all(&bytes)?;
        writing.persist(self.file(build_id)).map_err(|error| error.error)?;
        self.bound()
    }

    /// Where the symbols of a build are.
    pub(super) fn file(&self, build_id: u64) -> PathBuf {
        self.path.join(format!("{build_id:016x}{SUFFIX}"))
    }

    fn bytes_of(&self, file: &File) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        file.take(self.most_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
        let fits = u64::try_from(bytes.len()).is_ok_and(|length| length <= self.most_bytes);
        if fits { Ok(bytes) } else { Err(io::Error::other("it is larger than all files together may be")) }
    }

    /// Removes the files that were not used for longest until there is room for the others.
    fn bound(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for (path, metadata) in self.entries(|name| name.ends_with(SUFFIX))? {
            files.push((metadata.modified()?, metadata.len(), path));
        }
        files.sort_unstable();
        let mut bytes: u64 = files.iter().map(|(_, length, _)| length).sum();
        for (_, length, path) in files {
            if bytes <= self.most_bytes {
                break;
            }
            remove(&path)?;
            bytes -= length;
        }
        Ok(())
    }

    /// Removes what agents left that were killed while they wrote.
    fn sweep(&self) -> io::Result<()> {
        for (path, metadata) in self.entries(|name| name.starts_with(WRITING))? {
            if metadata.modified()?.elapsed().is_ok_and(|age| age >= ABANDONED) {
                remove(&path)?;
            }
        }
        Ok(())
    }

    fn entries(&self, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<(PathBuf, fs::Metadata)>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if !entry.file_name().to_str().is_some_and(&wanted) {
                continue;
            }
            // Another agent may have removed it.
            if let Ok(metadata) = entry.metadata()
                && metadata.is_file()
            {
                entries.push((entry.path(), metadata));
            }
        }
        Ok(entries)
    }
}

/// Removes a file that may be gone.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::tests::{BUILD, symbols};
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn age(path: &Path, seconds: u64) {
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_modified(SystemTime::now() - Duration::from_secs(seconds))
            .unwrap();
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_another_build_in_its_place_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(&dir.path().join("a/b"), 1 << 20).unwrap();
        assert_eq!(folder.read(BUILD, "me"), Ok(Symbols::new()));
        for last in [20, 10] {
            folder.write(BUILD, "me", &symbols(0..last)).unwrap();
            assert_eq!(folder.read(BUILD, "me"), Ok(symbols(0..last)));
        }
        fs::copy(folder.file(BUILD), folder.file(5)).unwrap();
        assert_eq!(folder.read(5, "me"), Err(Damage::OtherBuild), "whatever its name says");
        assert_eq!(names(&dir.path().join("a/b")).len(), 2);
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        let length = file::encode(1, "me", &symbols(0..50)).len() as u64;
        let folder = Folder::open(dir.path(), length * 3 + 100).unwrap();
        for build_id in 1..=3 {
            folder.write(build_id, "me", &symbols(0..50)).unwrap();
            age(&folder.file(build_id), 100 - build_id);
        }
        folder.read(1, "me").unwrap();
        folder.write(4, "me", &symbols(0..50)).unwrap();
        assert!(folder.file(1).exists() && !folder.file(2).exists() && folder.file(4).exists());
        Folder::open(dir.path(), 10).unwrap().write(5, "me", &symbols(0..50)).unwrap();
        assert_eq!(names(dir.path()), <[String; 0]>::default(), "one that does not fit alone is not kept");
    }

    #[test]
    fn what_was_left_in_the_middle_of_a_write_harms_nobody_and_goes_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let [old, young] = [".writing-old", ".writing-young"].map(|name| dir.path().join(name));
        for path in [&old, &young] {
            fs::write(path, b"SYNCSYM1 half").unwrap();
        }
        age(&old, 3_600);
        let folder = Folder::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(names(dir.path()), [".writing-young"], "another agent may be at it");
        folder.write(BUILD, "me", &symbols(0..10)).unwrap();
        assert_eq!(folder.read(BUILD, "me"), Ok(symbols(0..10)));
    }

    #[test]
    fn what_would_keep_us_waiting_or_fill_the_memory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path(), 1_000).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, folder.file(1), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        fs::write(folder.file(2), vec![0; 1_001]).unwrap();
        for build_id in [1, 2] {
            assert!(matches!(folder.read(build_id, "me"), Err(Damage::Unreadable(_))), "{build_id}");
        }
    }
}
