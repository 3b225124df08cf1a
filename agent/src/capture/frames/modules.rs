//! The files of code that were met, each build once however many processes map it from however many images.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::mapping::Mapping;
use super::module::Module;
use crate::metadata::rooted::{Root, regular};
use crate::patience::Patience;

/// Files held open at most.
const MOST: usize = 512;

/// Why there is no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unopened {
    /// It cannot be looked at, or is no file of code.
    Refused,
    /// It was not opened in time, or there is no room for it now.
    NotNow,
}

/// Modules by their builds.
#[derive(Debug, Default)]
pub(super) struct Modules {
    patience: Patience,
    by_build: Mutex<HashMap<u64, Weak<Module>>>,
}

impl Modules {
    /// The file behind a mapping of a process, if it is opened in this time.
    ///
    /// # Errors
    /// Why it is not.
    pub(super) fn open(&self, pid: u32, mapping: &Mapping, limit: Duration) -> Result<Arc<Module>, Unopened> {
        let wanted = mapping.clone();
        let (module, unfinished) = self.patience.wait_for(limit, move |found| match open(pid, &wanted) {
            Ok(module) => *found.lock() = Some(Arc::new(module)),
            Err(cause) => tracing::debug!(pid, path = wanted.path, %cause, "code that is not looked at"),
        });
        if let Some(why) = unfinished {
            tracing::warn!(pid, path = mapping.path, ?why, "a library does not answer: its functions have no names");
        }
        let unopened = if unfinished.is_some() { Unopened::NotNow } else { Unopened::Refused };
        self.one_of_a_build(module.ok_or(unopened)?)
    }

    fn one_of_a_build(&self, module: Arc<Module>) -> Result<Arc<Module>, Unopened> {
        let mut by_build = self.by_build.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = by_build.get(&module.build_id).and_then(Weak::upgrade) {
            return Ok(known);
        }
        if by_build.len() >= MOST {
            by_build.retain(|_, module| module.strong_count() > 0);
        }
        if by_build.len() >= MOST {
            return Err(Unopened::NotNow);
        }
        by_build.insert(module.build_id, Arc::downgrade(&module));
        Ok(module)
    }
}

fn open(pid: u32, mapping: &Mapping) -> io::Result<Module> {
    let name = Path::new(mapping.file_path()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    Module::of(open_mapped(pid, mapping)?, name)
}

/// The very file that is mapped, which takes CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN; else the one of that path where the process
/// sees it, if it is the same.
pub(in crate::capture) fn open_mapped(pid: u32, mapping: &Mapping) -> io::Result<File> {
    let link = format!("/proc/{pid}/map_files/{:x}-{:x}", mapping.start, mapping.end);
    let found = openat(CWD, link, OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    let by_path = || Root::open(CWD, &format!("/proc/{pid}/root"))?.file(mapping.file_path());
    let file = found.map_err(io::Error::from).and_then(|found| regular(&found)).or_else(|_| by_path())?;
    if file.metadata()?.ino() == mapping.inode {
        Ok(file)
    } else {
        Err(io::Error::other("another file is there by now"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::frames::mapping::mappings;

    const LONG: Duration = Duration::from_secs(60);

    fn own_code() -> Mapping {
        let maps = std::fs::read("/proc/self/maps").unwrap();
        mappings(&maps).find(|mapping| mapping.is_executable && mapping.inode != 0).unwrap()
    }

    #[test]
    fn one_build_is_opened_once() {
        let (modules, mapping) = (Modules::default(), own_code());
        let [first, second] = [0, 1].map(|_| modules.open(std::process::id(), &mapping, LONG).unwrap());
        assert!(Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn what_is_refused_is_told_from_what_is_late() {
        let (modules, mapping) = (Modules { patience: Patience::of(0), ..Modules::default() }, own_code());
        assert_eq!(modules.open(std::process::id(), &mapping, LONG).unwrap_err(), Unopened::NotNow);
        let no_code = Mapping { start: 0x1000, end: 0x2000, path: "/dev/null".to_owned(), ..mapping };
        assert_eq!(Modules::default().open(std::process::id(), &no_code, LONG).unwrap_err(), Unopened::Refused);
    }

    #[test]
    fn a_file_is_found_by_its_path_only_if_it_is_the_same() {
        let nowhere = |mapping: Mapping| Mapping { start: 0x1000, end: 0x2000, ..mapping };
        let by_path = nowhere(own_code());
        assert!(open_mapped(std::process::id(), &by_path).is_ok());
        let other = Mapping { inode: by_path.inode + 1, ..by_path.clone() };
        let refused = open_mapped(std::process::id(), &other).unwrap_err();
        assert!(refused.to_string().contains("another file"), "{refused}");
        assert!(open_mapped(std::process::id(), &Mapping { path: "/dev/null".to_owned(), ..by_path }).is_err());
    }
}
