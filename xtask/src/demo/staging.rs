//! Where the services run while they are recorded.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Copies of the services under a path that is the same on every machine, gone when this is dropped. Agents tell the
/// path of what they observe, and a recording is for everybody.
pub(crate) struct Staged {
    dir: PathBuf,
    services: Vec<PathBuf>,
}

impl Staged {
    /// # Errors
    /// When the place is taken, or the copies cannot be made.
    pub(crate) fn create(services: &[PathBuf]) -> Result<Self> {
        Self::create_in(Path::new("/var/tmp/syncline-demo"), services)
    }

    fn create_in(dir: &Path, services: &[PathBuf]) -> Result<Self> {
        // The name is known to all and all may write there: what is there already is not ours to use.
        DirBuilder::new().mode(0o700).create(dir).with_context(|| match dir.exists() {
            true => format!("{} is there already: a recording is under way, or was cut off; remove it", dir.display()),
            false => format!("cannot create {}", dir.display()),
        })?;
        let mut staged = Self { dir: dir.to_owned(), services: Vec::new() };
        for service in services {
            staged.add(service)?;
        }
        Ok(staged)
    }

    fn add(&mut self, service: &Path) -> Result<()> {
        let copy = self.dir.join(service.file_name().context("a service is a file")?);
        fs::copy(service, &copy).with_context(|| format!("cannot copy {} to {}", service.display(), copy.display()))?;
        self.services.push(copy);
        Ok(())
    }

    /// In the order in which they were given.
    pub(crate) fn services(&self) -> &[PathBuf] {
        &self.services
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                eprintln!("xtask: cannot remove {}: {error}", self.dir.display());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_there_for_one_recording_at_a_time_and_then_gone() {
        let scratch = tempfile::tempdir().unwrap();
        let service = scratch.path().join("service-us");
        fs::write(&service, "program").unwrap();
        let dir = scratch.path().join("staged");
        let staged = Staged::create_in(&dir, std::slice::from_ref(&service)).unwrap();
        assert_eq!(fs::read_to_string(&staged.services()[0]).unwrap(), "program");
        let taken = Staged::create_in(&dir, &[]).err().unwrap();
        assert!(format!("{taken:#}").contains("there already"));
        drop(staged);
        assert!(!dir.exists() && service.exists());
    }

    #[test]
    fn nothing_is_left_when_a_copy_fails() {
        let scratch = tempfile::tempdir().unwrap();
        let dir = scratch.path().join("staged");
        assert!(Staged::create_in(&dir, &[scratch.path().join("none")]).is_err());
        assert!(!dir.exists());
    }
}
