//! Which processes a capture observes, from the first look at one to what remains of it after its end.

mod holding;
mod leaving_out;
mod plugins;
mod ruling;
mod strangers;

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use crate::capture::before::Looked;
use crate::capture::error::{CaptureError, KernelError, Refusal};
use crate::capture::executable::{Executable, FileId, exe_link};
use crate::capture::library::GoFile;
use crate::capture::probes::{Ready, Unfit};
use crate::capture::process::{ObservedProcess, mono_ns};
use crate::capture::report::{Attached, Skipped};
use crate::capture::running::Capture;
use crate::capture::target::Target;
use crate::capture::wait::RawWait;
use crate::capture::{parks, privileges};
use crate::governor::ONCE_MILLI;
use crate::kinds::{CaptureKind, Kinds};
use crate::proc_stat::{is_gone, start_time};

/// Kinds of which what waits already is found.
const FOUND: Kinds = Kinds::of(&[CaptureKind::Park, CaptureKind::Syscall, CaptureKind::Cgo]);

impl Capture {
    /// The observed process with this id, also for some seconds after it ended.
    #[must_use]
    pub fn process(&self, tgid: u32) -> Option<&ObservedProcess> {
        self.processes.get(tgid)
    }

    /// The observed process that this wait was of, also if it has ended or runs another program by now; none some seconds after.
    #[must_use]
    pub fn process_of(&self, wait: &RawWait) -> Option<&ObservedProcess> {
        let span = (wait.park_mono_ns, wait.run_mono_ns);
        self.processes.that_ran(wait.tgid, span, |process| process.binary.build_id() == wait.build_id)
    }

    /// The same of what this process id did at this moment, CLOCK_MONOTONIC ns.
    pub(crate) fn process_at(&self, tgid: u32, mono_ns: u64) -> Option<&ObservedProcess> {
        self.processes.that_ran(tgid, (mono_ns, mono_ns), |_| true)
    }

    /// Whether it is this program that the process runs now, as far as was noticed.
    pub(crate) fn still_runs(&self, process: &ObservedProcess) -> bool {
        self.processes.observed(process.pid).is_some_and(|now| std::ptr::eq(now, process))
    }

    pub(in crate::capture) fn begin(&mut self) -> Result<(), CaptureError> {
        self.hold_tracepoints(Kinds::NONE)?;
        match self.target.clone() {
            Target::Pid(pid) => self.begin_with_process(pid)?,
            Target::Executable(path) => self.begin_with_executable(&path)?,
            Target::Name(_) => self.begin_with_name()?,
            // Perhaps no Go program runs yet; that nothing can ever be attached must be known now.
            Target::AllGo => self.programs.try_attaching()?,
        }
        self.pending = self.rescan();
        Ok(())
    }

    fn begin_with_process(&mut self, pid: u32) -> Result<(), CaptureError> {
        if start_time(pid).is_err_and(|cause| is_gone(&cause)) {
            return Err(CaptureError::NoSuchProcess { pid });
        }
        let refused = |why| CaptureError::Refused { what: format!("process {pid}"), why };
        let unreadable = |cause| refused(Arc::new(Refusal::of_unreadable_process(exe_link(pid), cause)));
        let file = FileId::of_process(pid).map_err(unreadable)?;
        match self.observe(pid, file, true) {
            Ok(true) => Ok(()),
            Ok(false) => Ok(self.programs.try_attaching()?),
            Err(unfit) => Err(refused(unfit.into_refusal())),
        }
    }

    /// Probes the file at once, so that a process that starts later misses nothing.
    fn begin_with_executable(&mut self, path: &Path) -> Result<(), CaptureError> {
        let cannot_open = |cause| CaptureError::Executable { path: path.to_owned(), cause };
        let path = path.canonicalize().map_err(cannot_open)?;
        let executable = Executable::open(path.clone()).map_err(cannot_open)?;
        self.target = Target::Executable(path.clone());
        let defaults = self.defaults();
        let refused =
            |unfit: Unfit| CaptureError::Refused { what: "the executable".to_owned(), why: unfit.into_refusal() };
        let ready = self.probed.read(executable.id, || Ok(executable), &mut self.maps).map_err(refused)?;
        if !defaults.observe {
            return Ok(self.programs.try_attaching()?);
        }
        let open = || Executable::open(path.clone());
        let probed = self.probed.probe(ready, defaults.kinds, open, &mut self.maps, &mut self.programs);
        self.probed.pin(probed.map_err(refused)?);
        Ok(())
    }

    /// Perhaps nobody has the name yet; if somebody does, one of them must be fit to be observed.
    fn begin_with_name(&mut self) -> Result<(), CaptureError> {
        let mut refused = None;
        for pid in self.target.candidates() {
            let Ok(file) = FileId::of_process(pid) else { continue };
            if pid == std::process::id() || !self.target.wants(pid, file) {
                continue;
            }
            match self.observe(pid, file, true) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(unfit) => refused = Some((pid, unfit.into_refusal())),
            }
        }
        match refused {
            Some((pid, why)) if !why.is_transient() => {
                Err(CaptureError::Refused { what: format!("process {pid}"), why })
            }
            _ => Ok(self.programs.try_attaching()?),
        }
    }

    /// Observes the process if it is wanted, is Go, and is not observed yet.
    pub(in crate::capture) fn look_at(&mut self, pid: u32) {
        let Ok(file) = FileId::of_process(pid) else { return };
        if pid == std::process::id() || self.is_detached {
            return;
        }
        if let Some(process) = self.processes.observed(pid) {
            if process.is_still(file) {
                return;
            }
            self.end(pid, mono_ns());
        }
        if self.processes.is_passed_over(pid, file)
            || self.is_still_left_out(pid, file)
            || self.processes.is_exited(pid, || start_time(pid).ok())
        {
            return;
        }
        if !self.target.wants(pid, file) {
            self.processes.pass_over(pid, file);
        } else if self.processes.may_have_libraries(pid, file) && !self.libraries.have_time() {
            // It stays due.
        } else if let Err(unfit) = self.observe(pid, file, self.processes.may_have_libraries(pid, file)) {
            self.pass_over(pid, file, &unfit);
        }
    }

    /// Of these pids, the ones that run a program. The ones that we may not look at are counted, and warned about once.
    pub(in crate::capture) fn with_programs(&mut self, pids: &[u32]) -> HashSet<u32> {
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
        self.unreadable = unreadable;
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

    /// False if it is left out. A process that has just begun has no libraries yet: they are looked at when it is looked at again.
    fn observe(&mut self, pid: u32, file: FileId, with_libraries: bool) -> Result<bool, Unfit> {
        let new = |why: Refusal| Unfit::New(Arc::new(why));
        // Whether it is Go is found out first: only then is it asked who it is.
        let (go_file, ready) = self.read(pid, file, with_libraries)?;
        let chosen = self.choosing.of_new(pid).map_err(new)?;
        let settings = chosen.settings;
        if !settings.observe {
            self.probed.not_wanted(&ready);
            self.leave_out_new(pid, file);
            return Ok(false);
        }
        let libraries = &self.libraries;
        let open = || go_file.open(pid, libraries);
        let slot = self.probed.probe(ready, settings.kinds, open, &mut self.maps, &mut self.programs)?;
        let binary = self.probed.binary(slot).cloned().ok_or_else(Unfit::ended)?;
        let mut process = ObservedProcess::look(pid, slot, file, binary, chosen).map_err(new)?;
        let settings = self.governing.in_force(slot, settings);
        process.settings = settings;
        self.attach_for(&[(slot, settings.kinds)]);
        self.list(pid, slot, &settings).map_err(|e| new(Refusal::Kernel(e)))?;
        if let Some(offset) = process.thread_local_offset() {
            // Without, threads are bound once they were seen running a goroutine.
            if let Err(why) = self.maps.tls_offsets.insert(pid, offset, 0) {
                let why = KernelError::new("set where a process's threads keep their g", why);
                tracing::warn!(pid, "its threads are not bound to goroutines at first: {why}");
            }
        }
        self.probed.process_began(slot);
        let go_version = process.binary.go_version().to_owned();
        let limited = process.limited().map(ToString::to_string);
        self.pending.attached.push(Attached { pid, exe: process.exe.clone(), go_version, limited });
        self.processes.observe(process);
        self.find_what_waits(pid, settings.kinds);
        Ok(true)
    }

    /// What holds the Go code of a process.
    fn read(&mut self, pid: u32, file: FileId, with_libraries: bool) -> Result<(GoFile, Ready), Unfit> {
        let not_go = match self.probed.read(file, || Executable::of_process(pid), &mut self.maps) {
            Err(unfit) if unfit.refusal().is_not_go() => unfit,
            read => return read.map(|ready| (GoFile::Executable, ready)),
        };
        let found = if with_libraries { self.libraries.of_process(pid, file) } else { Vec::new() };
        let (mut refused, libraries) = (None, &self.libraries);
        for library in found {
            match self.probed.read(library.id, || libraries.open(&library), &mut self.maps) {
                Ok(ready) => return Ok((GoFile::Library(library), ready)),
                Err(unfit) if unfit.refusal().is_not_go() => {}
                // Another one may be fit.
                Err(unfit) => refused = refused.or(Some(unfit)),
            }
        }
        Err(refused.unwrap_or(not_go))
    }

    /// Those waits of the process that began before its probes were there.
    pub(in crate::capture) fn find_what_waits(&mut self, pid: u32, kinds: Kinds) {
        let kinds = kinds.only(FOUND);
        let Some(process) = self.processes.observed(pid).filter(|process| process.told.is_any()) else { return };
        if !kinds.is_any() {
            return;
        }
        // As each window opens it is looked for.
        if self.governing.is_in_windows(process.slot) {
            return;
        }
        let has_states = process.settings.kinds.has(CaptureKind::States);
        let Looked { passed_over, waiting } = self.before.look_at(process, kinds, None, &mut self.maps);
        if has_states {
            self.states.found(pid, &waiting);
        }
        self.open.pass_over(passed_over);
    }

    fn pass_over(&mut self, pid: u32, file: FileId, unfit: &Unfit) {
        let why = unfit.refusal();
        if matches!(why, Refusal::Ended) {
            return;
        }
        let counted_as = why.counted_as();
        // It may load a library that is Go, or another version of the one that it has.
        let may_change = why.is_transient() || why.is_not_go() || self.processes.was_passed_over(pid, file);
        if !self.processes.skip(pid, file, may_change, counted_as) || counted_as.is_none() {
            return;
        }
        if matches!(unfit, Unfit::New(_)) {
            tracing::warn!(pid, "process is not observed: {why}");
        }
        let exe = std::fs::read_link(exe_link(pid)).unwrap_or_default();
        self.pending.skipped.push(Skipped { pid, exe, why: why.to_string() });
    }

    /// The process replaced its program at this moment, CLOCK_MONOTONIC ns, perhaps by the same one.
    pub(in crate::capture) fn exec_noticed(&mut self, pid: u32, mono_ns: u64) {
        self.processes.forget_passed_over(pid);
        self.program_ended(pid, mono_ns);
        self.look_at(pid);
        self.processes.exec_noticed(pid, mono_ns);
    }

    /// The process ended at this moment, CLOCK_MONOTONIC ns.
    pub(in crate::capture) fn exit_noticed(&mut self, pid: u32, mono_ns: u64) {
        self.processes.forget_passed_over(pid);
        if self.program_ended(pid, mono_ns) {
            self.processes.has_exited(pid);
        }
    }

    /// Whether it was one that is observed.
    fn program_ended(&mut self, pid: u32, mono_ns: u64) -> bool {
        if self.processes.left_out(pid).is_some_and(|left_out| left_out.seen_mono_ns < mono_ns) {
            self.left_out_ended(pid);
        }
        let is_observed = self.processes.observed(pid).is_some_and(|process| process.seen_mono_ns < mono_ns);
        if is_observed {
            self.end(pid, mono_ns);
        }
        is_observed
    }

    /// Ends the observation of a process that was last there at this moment, CLOCK_MONOTONIC ns.
    pub(in crate::capture) fn end(&mut self, pid: u32, end_mono_ns: u64) {
        let Some(slot) = self.processes.end(pid, end_mono_ns) else { return };
        self.probed.process_ended(slot);
        self.unlist(pid);
        // Fails only if it is not there, which is what is wanted.
        let _ = self.maps.bindings.remove(&pid);
        let _ = self.maps.tls_offsets.remove(&pid);
        self.to_forget.insert(pid, end_mono_ns);
        self.pending.ended.push(pid);
    }

    pub(in crate::capture) fn clear_away(&mut self, living: &HashSet<u32>) {
        self.note_strangers();
        self.let_replaced_go();
        self.look_for_plugins();
        if !self.to_forget.is_empty() {
            self.forget_ended();
        }
        self.forget_left_out();
        self.let_go();
        self.processes.tidy(living);
        self.before.tidy(&self.maps);
        self.probed.retire_unused(&mut self.maps);
        self.forget_what_is_unseen();
        self.hold_what_is_needed();
        self.find_what_waits_anew();
    }

    /// Libraries that were overwritten in place: the code that is probed is not there any more.
    fn let_replaced_go(&mut self) {
        let probed = &self.probed;
        let is_replaced =
            |process: &ObservedProcess| process.binary.is_replaced() || probed.has_replaced_plugin(process.slot);
        for (pid, slot) in self.processes.observed_where(is_replaced) {
            tracing::warn!(pid, "it is not observed any more: a library that it has loaded was overwritten in place");
            self.end(pid, mono_ns());
            // Whoever runs it from now on is looked at anew, and not with what was read of the old one.
            self.probed.dismiss(slot, &mut self.maps);
        }
    }

    /// A pid that is observed again keeps its sums, which go on, and what parked since.
    fn forget_ended(&mut self) {
        let is_gone = |tgid| self.to_forget.contains_key(&tgid) && self.processes.observed(tgid).is_none();
        let weight =
            |tgid| self.processes.get(tgid).map_or(ONCE_MILLI, |gone| self.governing.weight_of_sums(gone.slot));
        self.short_waits.end(&mut self.maps.short_waits, is_gone, weight);
        if !self.states.end(&self.to_forget, &self.processes) {
            // Tried again; what is parked of them waits with that.
            return;
        }
        if let Some(forgotten) = parks::forget(&mut self.maps, &self.to_forget) {
            let abandoned = self.before.without_stale(forgotten);
            let parked = abandoned.iter().filter(|(found, _)| found.is_parked()).count();
            self.own.abandoned = self.own.abandoned.saturating_add(parked as u64);
            self.own.calls_abandoned = self.own.calls_abandoned.saturating_add((abandoned.len() - parked) as u64);
            self.open.abandon(&abandoned, &self.processes);
            self.to_forget.clear();
        }
    }
}
