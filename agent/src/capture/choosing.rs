//! What holds for which process, and changing that while the capture runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use syncline_bpf::Watched;

use super::Capture;
use super::config::{CaptureConfig, threshold_ns};
use super::error::{KernelError, Refusal};
use super::executable::exe_link;
use super::kinds::{CaptureKind, Kinds};
use super::process::{ObservedProcess, mono_ns, start_time};
use super::states::LetGo;
use crate::choice::{ProcessId, Rules, Settings, Subject};
use crate::metadata::{self, Metadata, MetadataReader};

/// Options and rules, and what it takes to hold a process against them.
pub(super) struct Choosing {
    options: Settings,
    pub(super) rules: Rules,
    service: Option<String>,
    metadata: MetadataReader,
}

/// What was found to hold for a process.
pub(super) struct Chosen {
    pub(super) settings: Settings,
    /// Its names, if they were asked for.
    pub(super) names: Option<Arc<Metadata>>,
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
    fn of_observed(&self, process: &ObservedProcess) -> Chosen {
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

impl Capture {
    /// What holds where no rule fits.
    #[must_use]
    pub fn defaults(&self) -> Settings {
        self.choosing.defaults()
    }

    /// The rules that hold.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.choosing.rules
    }

    /// Has other rules hold from now on, also for what is observed. Whether a wait is captured was decided when it began, by what held
    /// then; whether it becomes an event or part of a sum is decided when it ends. Of processes that are left out from now on, waits
    /// that go on are forgotten.
    pub fn set_rules(&mut self, rules: Rules) {
        self.forget_left_out();
        self.let_go();
        self.choosing.rules = rules;
        self.set_defaults();
        for pid in self.processes.observed_pids() {
            self.choose_again(pid);
        }
        for pid in self.processes.left_out_pids() {
            self.look_again_at_left_out(pid);
        }
        self.forget_left_out();
        self.let_go();
        self.hold_what_is_needed();
        self.find_what_waits_anew();
    }

    /// Names of the raw tracepoints that have a program of ours now.
    #[must_use]
    pub fn tracepoints(&self) -> Vec<&'static str> {
        self.tracepoints.names().into_iter().chain(self.tcp.tracepoints()).collect()
    }

    /// Pids of the processes that are observed, in order.
    #[must_use]
    pub fn observed_pids(&self) -> Vec<u32> {
        self.processes.observed_pids()
    }

    /// Pids of the Go processes that are left out by what holds for them, in order.
    #[must_use]
    pub fn left_out_pids(&self) -> Vec<u32> {
        self.processes.left_out_pids()
    }

    /// Tells the kernel side what holds for processes that it does not know.
    pub(super) fn set_defaults(&mut self) {
        let needed = self.bound_kinds.unwrap_or(Kinds::NONE);
        let settings = self.frame.settings(&self.defaults(), needed);
        if let Err(error) = self.maps.config.set(0, settings.encode(), 0) {
            tracing::warn!("{}", KernelError::new("set the configuration", error));
        }
        self.probed.keep_pinned(self.defaults().observe);
    }

    fn choose_again(&mut self, pid: u32) {
        let Some(process) = self.processes.observed(pid) else { return };
        let (before, slot) = (process.settings, process.slot);
        let Chosen { settings, names } = self.choosing.of_observed(process);
        if !settings.observe {
            return self.leave_out_observed(pid);
        }
        let began = settings.kinds.effective().minus(before.kinds.effective());
        let ended = before.kinds.effective().minus(settings.kinds.effective());
        if began.has(CaptureKind::States) {
            self.forget_states(pid);
        }
        if settings != before
            && let Err(error) = self.list(pid, slot, &settings)
        {
            // As it was, then, here too.
            tracing::warn!(pid, "{error}: what held for it before still does");
            return;
        }
        if ended.has(CaptureKind::States) {
            self.to_let_go.insert(pid, LetGo { at_ns: mono_ns(), is_told: true });
        }
        if ended.has(CaptureKind::Park) {
            self.forget_parked(|process| process.pid == pid);
        }
        if ended.has(CaptureKind::Tcp) {
            self.tcp.forget_process(pid);
        }
        self.processes.change(pid, settings, names);
        if began.is_any() {
            self.to_find.insert(pid, began);
        }
    }

    /// Of one whose goroutines are followed from now on, a probe that was late may have left something when they were not any more.
    pub(super) fn forget_states(&mut self, pid: u32) {
        self.to_let_go.insert(pid, LetGo { at_ns: mono_ns(), is_told: false });
        self.let_go();
    }

    /// Tells the time of goroutines that are not followed any more.
    pub(super) fn let_go(&mut self) {
        if !self.to_let_go.is_empty() && self.states.let_go(&self.maps, &self.to_let_go, &self.processes) {
            self.to_let_go.clear();
        }
    }

    /// Has the process observed by the probes of this slot only, and as these settings say.
    pub(super) fn list(&mut self, pid: u32, slot: u32, settings: &Settings) -> Result<(), KernelError> {
        let kinds = self.frame.of_kernel(settings.kinds);
        let value = Watched { slot, threshold_ns: threshold_ns(settings), kinds }.encode();
        self.maps.watched.insert(pid, value, 0).map_err(|e| KernelError::new("watch a process", e))
    }

    /// The kernel side knows the process no more.
    pub(super) fn unlist(&mut self, pid: u32) {
        // Fails only if it is not there, which is what is wanted.
        let _ = self.maps.watched.remove(&pid);
    }

    /// Finds what waits already of the kinds that are captured of these processes from now on.
    fn find_what_waits_anew(&mut self) {
        for (pid, kinds) in std::mem::take(&mut self.to_find) {
            self.find_what_waits(pid, kinds);
        }
    }
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
