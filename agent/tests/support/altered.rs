//! Programs that are not what their toolchain made of them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::go_program::Build;

/// A copy of a program in which one text stands in the place of another everywhere.
pub struct Altered {
    directory: tempfile::TempDir,
    name: String,
}

impl Altered {
    pub fn new(build: Build, name: &str, from: &str, to: &str) -> Self {
        let altered = replaced(&std::fs::read(build.program(name)).unwrap(), from.as_bytes(), to.as_bytes());
        let copy = Self { directory: tempfile::tempdir().unwrap(), name: name.to_owned() };
        std::fs::write(copy.path(), altered).unwrap();
        std::fs::set_permissions(copy.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        copy
    }

    /// As if a Go version had built it that nobody knows; and what it is called then.
    pub fn of_unknown_version(build: Build, name: &str) -> (Self, String) {
        let unknown = format!("go1.9{}", build.toolchain.strip_prefix("go1.2").unwrap());
        (Self::new(build, name, build.toolchain, &unknown), unknown)
    }

    pub fn path(&self) -> PathBuf {
        Path::new(self.directory.path()).join(&self.name)
    }
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let places: Vec<usize> = (0..bytes.len() - from.len()).filter(|&i| bytes[i..].starts_with(from)).collect();
    assert!(!places.is_empty());
    for place in places {
        bytes[place..place + to.len()].copy_from_slice(to);
    }
    bytes
}
