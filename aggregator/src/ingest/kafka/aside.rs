//! Records that will never be stored, as files, so that nobody waits behind them and nothing is gone that could be mended.

use std::io;
use std::path::{Path, PathBuf};

use crate::state_file;

/// Most bytes of records that are kept; beyond, they are counted only.
const MOST_BYTES: u64 = 256 << 20;

/// The directory of them.
#[derive(Clone, Debug)]
pub(super) struct Aside {
    dir: PathBuf,
}

/// What became of a record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is in this file.
    In(PathBuf),
    /// There are too many.
    Not,
}

impl Aside {
    pub(super) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Writes a record and why it is there, both durable afterwards. The same record again is the same file.
    pub(super) fn keep(
        &self,
        topic: &str,
        (partition, offset): (i32, i64),
        value: &[u8],
        why: &str,
    ) -> io::Result<Kept> {
        let name = format!("{topic}-{partition}-{offset}.batch");
        let path = self.dir.join(&name);
        let is_new = !path.exists();
        if is_new && taken(&self.dir)?.saturating_add(value.len() as u64) > MOST_BYTES {
            return Ok(Kept::Not);
        }
        state_file::save(&self.dir, &format!("{name}.txt"), format!("{why}\n").as_bytes())?;
        state_file::save(&self.dir, &name, value)?;
        Ok(Kept::In(path))
    }
}

fn taken(dir: &Path) -> io::Result<u64> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    entries.map(|entry| Ok(entry?.metadata()?.len())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_kept_with_its_reason_once() {
        let dir = tempfile::tempdir().unwrap();
        let aside = Aside::new(dir.path().join("aside"));
        for _ in 0..2 {
            let kept = aside.keep("t", (3, 77), b"no batch", "it is none").unwrap();
            assert_eq!(kept, Kept::In(dir.path().join("aside/t-3-77.batch")));
        }
        assert_eq!(std::fs::read(dir.path().join("aside/t-3-77.batch")).unwrap(), b"no batch");
        assert_eq!(std::fs::read_to_string(dir.path().join("aside/t-3-77.batch.txt")).unwrap(), "it is none\n");
        assert_eq!(std::fs::read_dir(dir.path().join("aside")).unwrap().count(), 2);
    }

    #[test]
    fn more_than_there_is_room_for_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let large = std::fs::File::create(dir.path().join("large")).unwrap();
        large.set_len(MOST_BYTES - 4).unwrap();
        let aside = Aside::new(dir.path().to_owned());
        assert_eq!(aside.keep("t", (0, 1), b"12345", "why").unwrap(), Kept::Not);
        assert!(matches!(aside.keep("t", (0, 1), b"123", "why").unwrap(), Kept::In(_)));
    }
}
