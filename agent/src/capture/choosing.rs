//! What holds for which process.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::CaptureConfig;
use super::error::Refusal;
use super::executable::exe_link;
use super::process::{Chosen, ObservedProcess};
use crate::choice::{ProcessId, Rules, Settings, Subject};
use crate::metadata::{self, Metadata, MetadataReader};
use crate::proc_stat::start_time;

/// Options and rules, and what it takes to hold a process against them.
pub(super) struct Choosing {
    options: Settings,
    pub(super) rules: Rules,
    service: Option<String>,
    metadata: MetadataReader,
}

impl Choosing {
    pub(super) fn new(config: &CaptureConfig) -> Self {
        Self {
            options: config.options(),
            rules: config.rules.clone(),
            service: config.service.clone().map(metadata::fitting),
            metadata: MetadataReader::new(config.host_root.clone()),
        }
    }

    pub(super) fn defaults(&self) -> Settings {
        self.rules.defaults(self.options)
    }

    /// What holds for a process that is looked at for the first time.
    pub(super) fn of_new(&self, pid: u32) -> Result<Chosen, Refusal> {
        if self.rules == Rules::default() {
            return Ok(Chosen { settings: self.options, names: None });
        }
        let unreadable = |what: &str, cause| Refusal::of_proc_file(format!("/proc/{pid}/{what}").into(), cause);
        let start_time = start_time(pid).map_err(|e| unreadable("stat", e))?;
        let exe = std::fs::read_link(exe_link(pid)).map_err(|e| unreadable("exe", e))?;
        let exe = without_deleted_mark(&exe);
        let id = ProcessId { pid, start_time };
        let names = self.rules.need_names().then(|| self.names(id, &exe));
        Ok(Chosen { settings: self.settings(id, &exe, names.as_deref()), names })
    }

    /// What holds now for one that is observed, which keeps the names it had.
    pub(super) fn of_observed(&self, process: &ObservedProcess) -> Chosen {
        let id = ProcessId { pid: process.pid, start_time: process.start_time };
        let exe = without_deleted_mark(&process.exe);
        let read = || self.rules.need_names().then(|| self.names(id, &exe));
        let names = process.names.clone().or_else(read);
        Chosen { settings: self.settings(id, &exe, names.as_deref()), names }
    }

    fn settings(&self, id: ProcessId, exe: &Path, names: Option<&Metadata>) -> Settings {
        self.rules.settings_of(&Subject { id, exe, names }, self.options)
    }

    fn names(&self, id: ProcessId, exe: &Path) -> Arc<Metadata> {
        let read = self.metadata.read(id.pid, id.start_time, exe);
        let service = self.service.clone().unwrap_or(read.service);
        Arc::new(Metadata { service, ..read })
    }
}

/// What /proc shows of an executable whose file was replaced while it runs.
pub(crate) fn without_deleted_mark(path: &Path) -> PathBuf {
    path.to_string_lossy().strip_suffix(" (deleted)").map_or_else(|| path.to_owned(), PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_executable_keeps_its_name() {
        assert_eq!(without_deleted_mark(Path::new("/opt/app (deleted)")), Path::new("/opt/app"));
        assert_eq!(without_deleted_mark(Path::new("/opt/app")), Path::new("/opt/app"));
    }
}
