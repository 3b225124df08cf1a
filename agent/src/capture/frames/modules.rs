//! The files of code that were met, each build once however many processes map it from however many images.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::mapping::Mapping;
use super::module::Module;
use crate::patience::Patience;
use crate::regular_file;

/// How long a file may keep whoever reads the ring waiting. It is in memory, as a rule: a process executes it.
const LONGEST: Duration = Duration::from_millis(200);
/// Files held open at most.
const MOST: usize = 512;

/// Modules by their builds.
#[derive(Debug, Default)]
pub(super) struct Modules {
    patience: Patience,
    by_build: Mutex<HashMap<u64, Weak<Module>>>,
}

impl Modules {
    /// The file behind a mapping of a process; none if it cannot be looked at.
    pub(super) fn open(&self, pid: u32, mapping: &Mapping) -> Option<Arc<Module>> {
        let wanted = mapping.clone();
        let (module, unfinished) = self.patience.wait_for(LONGEST, move |found| match open(pid, &wanted) {
            Ok(module) => *found.lock() = Some(Arc::new(module)),
            Err(cause) => tracing::debug!(pid, path = wanted.path, %cause, "code that is not looked at"),
        });
        if let Some(why) = unfinished {
            tracing::warn!(pid, path = mapping.path, ?why, "a library does not answer: its functions have no names");
        }
        self.one_of_a_build(module?)
    }

    fn one_of_a_build(&self, module: Arc<Module>) -> Option<Arc<Module>> {
        let mut by_build = self.by_build.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = by_build.get(&module.build_id).and_then(Weak::upgrade) {
            return Some(known);
        }
        if by_build.len() >= MOST {
            by_build.retain(|_, module| module.strong_count() > 0);
        }
        if by_build.len() >= MOST {
            return None;
        }
        by_build.insert(module.build_id, Arc::downgrade(&module));
        Some(module)
    }
}

fn open(pid: u32, mapping: &Mapping) -> io::Result<Module> {
    let path = mapping.path.strip_suffix(" (deleted)").unwrap_or(&mapping.path);
    let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned();
    Module::of(open_mapped(pid, mapping, path)?, name)
}

/// The very file that is mapped, which takes CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN; else the one of that path where the process
/// sees it, if it is the same.
fn open_mapped(pid: u32, mapping: &Mapping, path: &str) -> io::Result<File> {
    let link = PathBuf::from(format!("/proc/{pid}/map_files/{:x}-{:x}", mapping.start, mapping.end));
    let by_path = || regular_file::open(Path::new(&format!("/proc/{pid}/root{path}")));
    let file = regular_file::open(&link).or_else(|_| by_path())?;
    if file.metadata()?.ino() == mapping.inode {
        Ok(file)
    } else {
        Err(io::Error::other("another file is there by now"))
    }
}
