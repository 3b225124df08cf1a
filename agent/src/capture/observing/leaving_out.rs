//! Processes that are left out by what holds for them.

use crate::capture::states::LetGo;
use crate::governor::ONCE_MILLI;
use crate::proc_stat::start_time;
use syncline_bpf::Watched;

use crate::capture::error::KernelError;
use crate::capture::executable::FileId;
use crate::capture::parks;
use crate::capture::process::mono_ns;
use crate::capture::processes::LeftOut;
use crate::capture::running::Capture;

impl Capture {
    /// One that nobody has observed yet, but for the moment before it was looked at.
    pub(in crate::capture) fn leave_out_new(&mut self, pid: u32, file: FileId) {
        let Ok(start_time) = start_time(pid) else { return };
        let seen_mono_ns = mono_ns();
        self.list_as_left_out(pid);
        self.processes.leave_out(pid, LeftOut { file, start_time, seen_mono_ns, since_mono_ns: 0 });
        self.to_leave.insert(pid, mono_ns());
        self.to_let_go.insert(pid, LetGo { at_ns: mono_ns(), is_told: false });
        self.pending.left_out.push(pid);
    }

    /// One that was observed until now. What ended by now is handed out; what goes on is forgotten.
    pub(in crate::capture) fn leave_out_observed(&mut self, pid: u32) {
        let Some(process) = self.processes.observed(pid) else { return };
        let left_out = LeftOut {
            file: process.file,
            start_time: process.start_time,
            seen_mono_ns: process.seen_mono_ns,
            since_mono_ns: process.since_mono_ns,
        };
        self.list_as_left_out(pid);
        let end_mono_ns = mono_ns();
        if let Some(slot) = self.processes.end(pid, end_mono_ns) {
            self.probed.process_ended(slot);
            self.probed.dismiss(slot, &mut self.maps);
        }
        let _ = self.maps.bindings.remove(&pid);
        let _ = self.maps.tls_offsets.remove(&pid);
        self.processes.leave_out(pid, left_out);
        self.tcp.leave(pid);
        self.to_leave.insert(pid, end_mono_ns);
        self.to_let_go.insert(pid, LetGo { at_ns: end_mono_ns, is_told: true });
        self.pending.left_out.push(pid);
    }

    /// Observes it if that is what holds for it now.
    pub(in crate::capture) fn look_again_at_left_out(&mut self, pid: u32) {
        if self.choosing.of_new(pid).is_ok_and(|chosen| !chosen.settings.observe) {
            return;
        }
        let Some(before) = self.processes.forget_left_out(pid) else { return };
        self.forget_states(pid);
        self.look_at(pid);
        match self.processes.observed(pid) {
            // The same program, since the same moment.
            Some(now) if now.file == before.file && now.start_time == before.start_time => {
                self.processes.exec_noticed(pid, before.since_mono_ns);
            }
            Some(_) => {}
            None if self.processes.is_left_out(pid) => {}
            None => self.unlist(pid),
        }
    }

    /// Whether the process with this pid is left out, and still the one that was; if it is another, that is forgotten.
    pub(in crate::capture) fn is_still_left_out(&mut self, pid: u32, file: FileId) -> bool {
        let Some(known) = self.processes.left_out(pid) else { return false };
        let is_same = known.file == file && start_time(pid).is_ok_and(|now| now == known.start_time);
        if !is_same {
            self.left_out_ended(pid);
        }
        is_same
    }

    /// One that was left out has ended, or runs another program.
    pub(in crate::capture) fn left_out_ended(&mut self, pid: u32) {
        self.processes.forget_left_out(pid);
        self.unlist(pid);
    }

    /// Clears away what processes had under way when they were left out. It is no loss: they were not to be observed any more.
    pub(in crate::capture) fn forget_left_out(&mut self) {
        if self.to_leave.is_empty() {
            return;
        }
        // All of one that is still left out: a probe that ran just then may have been late.
        let until =
            |(pid, left_ns): (&u32, &u64)| (*pid, if self.processes.is_left_out(*pid) { u64::MAX } else { *left_ns });
        let ended = self.to_leave.iter().map(until).collect();
        let is_gone = |tgid| self.to_leave.contains_key(&tgid) && self.processes.observed(tgid).is_none();
        self.short_waits.end(&mut self.maps.short_waits, is_gone, |_| ONCE_MILLI);
        if let Some(forgotten) = parks::forget(&mut self.maps, &ended) {
            let parked = forgotten.iter().filter(|(found, _)| found.is_parked()).count();
            self.own.parks_left_out = self.own.parks_left_out.saturating_add(parked as u64);
            self.to_leave.clear();
        }
    }

    fn list_as_left_out(&mut self, pid: u32) {
        if let Err(error) = self.maps.watched.insert(pid, Watched::left_out(), 0) {
            tracing::warn!(pid, "{}: its probes still cost it time", KernelError::new("leave a process out", error));
            // Where there is no room for that, those who are not listed may not be observed.
            self.unlist(pid);
        }
    }
}
