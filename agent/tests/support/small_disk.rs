//! A file system of a few MiB.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

pub struct SmallDisk {
    pub path: PathBuf,
    _directory: tempfile::TempDir,
}

impl SmallDisk {
    /// None, in words, where none can be mounted.
    pub fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("mounted");
        std::fs::create_dir(&path).unwrap();
        if !run("mount", &["-t", "tmpfs", "-o", "size=4m", "none"], &[&path]) {
            println!("skipped: no small disk can be mounted here; root can");
            return None;
        }
        Some(Self { path, _directory: directory })
    }

    /// Leaves no room for anything; gives the file that takes it.
    pub fn fill(&self) -> PathBuf {
        let path = self.path.join("filler");
        let mut file = File::create(&path).unwrap();
        for bytes in [64 << 10, 4 << 10, 1] {
            while file.write_all(&vec![1; bytes]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &[], &[&self.path]);
    }
}

fn run(program: &str, options: &[&str], paths: &[&Path]) -> bool {
    Command::new(program).args(options).args(paths).output().is_ok_and(|output| output.status.success())
}
