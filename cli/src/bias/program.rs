//! The program: where it is, and whether it can be observed.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use syncline_gosym::{BUILD_INFO_SECTION, GoBinary};

use crate::failure::usage;

/// A Go program that can be captured.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) path: PathBuf,
    /// As `{rate}` and `{profile}` stand in them.
    pub(super) arguments: Vec<String>,
    /// The version of Go that it was built with.
    pub(super) go: String,
}

impl Program {
    /// Finds it and looks into it.
    ///
    /// # Errors
    /// If it is not there, no Go program, or one that cannot be captured.
    pub(super) fn find(command: &[String]) -> Result<Self> {
        let (name, arguments) = command.split_first().context("there is no program")?;
        let path = executable(name).ok_or_else(|| {
            let place = if name.contains('/') {
                "there is no such executable file"
            } else {
                "it is not in PATH: write ./NAME for one here"
            };
            usage(format!("{name}: {place}"))
        })?;
        let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let go = version(&bytes).map_err(|what| usage(format!("{}: {what}", path.display())))?;
        Ok(Self { path, arguments: arguments.to_vec(), go })
    }

    /// The name of its file.
    pub(super) fn name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }
}

/// A program by its path, or by its name in PATH; with a directory, so that nobody looks in PATH again.
pub(super) fn executable(name: &str) -> Option<PathBuf> {
    let is_executable = |path: &Path| {
        std::fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|path| is_executable(path));
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|path| is_executable(path))
}

/// Its version of Go; otherwise what is wrong and how to mend it.
fn version(bytes: &[u8]) -> Result<String, String> {
    if bytes.starts_with(b"#!") {
        return Err("it is a script: give the Go program itself, which `go build` makes".to_owned());
    }
    let binary = GoBinary::parse(bytes).map_err(|error| {
        format!("{error} (a Go program has a section {BUILD_INFO_SECTION}; `go build` makes one, `go run` hides it)")
    })?;
    let sites = binary.probe_sites().map(drop).and_then(|()| binary.layout().map(drop));
    sites.map_err(|error| format!("it cannot be captured: {error}"))?;
    Ok(binary.version().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(command: &str) -> String {
        Program::find(&[command.to_owned()]).unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_observed_is_refused_with_what_to_give() {
        assert!(refusal("no-such-program").contains("not in PATH: write ./NAME"));
        assert!(refusal("/nowhere/worker").contains("no such executable file"));
        assert!(refusal("/etc/passwd").contains("no such executable file"));
        assert!(refusal("sh").contains(BUILD_INFO_SECTION));
        assert!(version(b"#!/bin/sh\n").unwrap_err().contains("script"));
    }
}
