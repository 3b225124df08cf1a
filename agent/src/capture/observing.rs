//! Which processes a capture observes, from the first look at one to what remains of it after its end.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::error::{CaptureError, KernelError, Refusal};
use super::executable::{Executable, FileId, exe_link};
use super::probes::Unfit;
use super::process::{ObservedProcess, start_time};
use super::report::{Attached, Skipped};
use super::target::Target;
use super::{Capture, parks, privileges};

impl Capture {
    pub(super) fn begin(&mut self) -> Result<(), CaptureError> {
        if self.target.is_open_ended() {
            self._exec_notice = Some(self.programs.attach_exec_notice()?);
        }
        match self.target.clone() {
            Target::Pid(pid) => self.begin_with_process(pid)?,
            Target::Executable(path) => self.begin_with_executable(&path)?,
            // Perhaps no Go program runs yet; that nothing can ever be attached must be known now.
            Target::AllGo => self.programs.try_attaching()?,
        }
        self.pending = self.rescan();
        Ok(())
    }

    fn begin_with_process(&mut self, pid: u32) -> Result<(), CaptureError> {
        if start_time(pid).is_none() {
            return Err(CaptureError::NoSuchProcess { pid });
        }
        let refused = |why| CaptureError::Refused { what: format!("process {pid}"), why };
        let unreadable = |cause| refused(Arc::new(Refusal::of_unreadable_process(exe_link(pid), cause)));
        let file = FileId::of_process(pid).map_err(unreadable)?;
        self.observe(pid, file).map_err(|unfit| refused(unfit.into_refusal()))
    }

    /// Probes the file at once, so that a process that starts later misses nothing.
    fn begin_with_executable(&mut self, path: &Path) -> Result<(), CaptureError> {
        let cannot_open = |cause| CaptureError::Executable { path: path.to_owned(), cause };
        let path = path.canonicalize().map_err(cannot_open)?;
        let executable = Executable::open(path.clone()).map_err(cannot_open)?;
        let probed = self.probed.probe(executable.id, || Ok(executable), &mut self.maps, &mut self.programs);
        let slot = probed
            .map_err(|unfit| CaptureError::Refused { what: "the executable".to_owned(), why: unfit.into_refusal() })?;
        self.probed.pin(slot);
        self.target = Target::Executable(path);
        Ok(())
    }

    /// Observes the process if it is wanted, is Go, and is not observed yet.
    pub(super) fn look_at(&mut self, pid: u32) {
        let Ok(file) = FileId::of_process(pid) else { return };
        if pid == std::process::id() {
            return;
        }
        if let Some(process) = self.processes.observed(pid) {
            if process.is_still(file) {
                return;
            }
            self.end(pid);
        }
        if self.processes.is_passed_over(pid, file) {
            return;
        }
        if !self.target.wants(pid, file) {
            self.processes.pass_over(pid, file);
        } else if let Err(unfit) = self.observe(pid, file) {
            self.pass_over(pid, file, &unfit);
        }
    }

    /// Of these pids, the ones that run a program. The ones that we may not look at are counted, and warned about once.
    pub(super) fn with_programs(&mut self, pids: &[u32]) -> HashSet<u32> {
        let mut unreadable = 0;
        let mut runs_program = |pid: u32| match FileId::of_process(pid) {
            Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                unreadable += 1;
                false
            }
            found => found.is_ok(),
        };
        let living = pids.iter().copied().filter(|&pid| runs_program(pid)).collect();
        self.tell_unreadable(unreadable);
        living
    }

    fn tell_unreadable(&mut self, unreadable: usize) {
        self.pending.unreadable = unreadable;
        if unreadable == 0 || std::mem::replace(&mut self.warned_of_unreadable, true) {
            return;
        }
        if privileges::hold_sys_ptrace() {
            let why = privileges::HIDDEN_FROM_SYS_PTRACE;
            tracing::debug!(unreadable, "processes cannot be looked at, each because {why}");
        } else {
            tracing::warn!(unreadable, "processes of other users cannot be looked at: CAP_SYS_PTRACE is missing");
        }
    }

    fn observe(&mut self, pid: u32, file: FileId) -> Result<(), Unfit> {
        let slot = self.probed.probe(file, || Executable::of_process(pid), &mut self.maps, &mut self.programs)?;
        let binary = self.probed.binary(slot).cloned().ok_or_else(Unfit::ended)?;
        let process = ObservedProcess::look(pid, slot, file, binary).map_err(|why| Unfit::New(Arc::new(why)))?;
        self.watch(pid, slot)?;
        self.probed.process_began(slot);
        let go_version = process.binary.go_version().to_owned();
        self.pending.attached.push(Attached { pid, exe: process.exe.clone(), go_version });
        self.processes.observe(process);
        Ok(())
    }

    /// Has the process observed by the probes of this slot only.
    fn watch(&mut self, pid: u32, slot: u32) -> Result<(), Unfit> {
        let inserted = self.maps.watched.insert(pid, slot, 0);
        inserted.map_err(|e| Unfit::New(Arc::new(Refusal::Kernel(KernelError::new("watch a process", e)))))
    }

    fn pass_over(&mut self, pid: u32, file: FileId, unfit: &Unfit) {
        let why = unfit.refusal();
        if !why.is_transient() {
            self.processes.pass_over(pid, file);
        }
        if why.is_not_go() || matches!(why, Refusal::Ended) {
            return;
        }
        if matches!(unfit, Unfit::New(_)) {
            tracing::warn!(pid, "process is not observed: {why}");
        }
        let exe = std::fs::read_link(exe_link(pid)).unwrap_or_default();
        self.pending.skipped.push(Skipped { pid, exe, why: why.to_string() });
    }

    pub(super) fn end(&mut self, pid: u32) {
        let Some(slot) = self.processes.end(pid) else { return };
        self.probed.process_ended(slot);
        // Fails only if it is not there, which is what is wanted.
        let _ = self.maps.watched.remove(&pid);
        self.to_forget.insert(pid);
        self.pending.ended.push(pid);
    }

    pub(super) fn clear_away(&mut self, living: &HashSet<u32>) {
        if !self.to_forget.is_empty() {
            self.forget_ended();
        }
        self.processes.tidy(living);
        self.probed.retire_unused(&mut self.maps);
    }

    fn forget_ended(&mut self) {
        let ended = &self.to_forget;
        self.short_waits.end(&mut self.maps.short_waits, |tgid| ended.contains(&tgid));
        if let Some(abandoned) = parks::forget(&mut self.maps, ended) {
            self.own.abandoned = self.own.abandoned.saturating_add(abandoned);
            self.to_forget.clear();
        }
    }
}
