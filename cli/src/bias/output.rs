//! A file that is written at the end. It is begun beside its place before the runs, which take minutes and should not end in one that
//! cannot be written.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

use crate::failure::usage;

pub(super) struct Output {
    path: PathBuf,
    file: NamedTempFile,
}

impl Output {
    pub(super) fn begin(path: &Path) -> Result<Self> {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let mut builder = tempfile::Builder::new();
        let file = builder.prefix(".syncline-").permissions(Permissions::from_mode(0o666)).tempfile_in(directory);
        let refused = |what: &dyn std::fmt::Display| usage(format!("cannot write {}: {what}", path.display()));
        if path.is_dir() {
            return Err(refused(&"it is a directory"));
        }
        let file = file.map_err(|error| refused(&error))?;
        Ok(Self { path: path.to_owned(), file })
    }

    pub(super) fn finish(mut self, text: &str) -> Result<()> {
        let told = || format!("cannot write {}", self.path.display());
        self.file.write_all(text.as_bytes()).with_context(told)?;
        self.file.persist(&self.path).map(drop).with_context(told)
    }
}
