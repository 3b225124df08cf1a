//! The capture thread.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::{Duration, Instant};

use syncline_claims::kernel_tai_offset_seconds;
use syncline_event::{LossCause, TcpLossCause};
use tokio::sync::watch;

use super::batching::Input;
use super::gaps::{CoverageLog, Gaps};
use crate::batch::{Captured, FinishedWait, Losses};
use crate::capture::{
    Capture, CaptureError, Counters, OpenTaken, RawWait, RescanReport, StateCounters, StatesTaken, TcpCounters,
    TcpTaken,
};
use crate::control::Command;
use crate::intake::{Intake, losses};
use crate::intake_tcp::tcp_losses;

/// Longest sleep in the kernel, and so the longest delay of everything else here.
const POLL: Duration = Duration::from_millis(100);
/// Sums and counters are fetched, and the processes looked at, this often.
const CHORES_EVERY: Duration = Duration::from_millis(500);
/// Waits in one message, so that a full channel holds a bounded number.
const WAITS_PER_MESSAGE: usize = 256;

pub(super) struct Capturing {
    pub(super) capture: Capture,
    pub(super) intake: Intake,
    pub(super) commands: Receiver<Command>,
    pub(super) next_order: Instant,
    /// The file of settings, for those who ask.
    pub(super) config_file: Option<String>,
    out: SyncSender<Input>,
    told_losses: Losses,
    told_tcp: TcpCounters,
    told_states: StateCounters,
    mark_shift: u8,
    told_gaps: Gaps,
    coverage_log: CoverageLog,
    tai_offset_s: Option<i32>,
    next_chores: Instant,
}

/// The batcher is gone: there is nobody to capture for.
struct NobodyListens;

impl Capturing {
    /// Marks of messages are 2^`mark_shift` apart.
    pub(super) fn new(
        mut capture: Capture,
        mut intake: Intake,
        out: SyncSender<Input>,
        mark_shift: u8,
        (commands, config_file): (Receiver<Command>, Option<String>),
    ) -> Self {
        let report = capture.rescan();
        tell(&report);
        report.attached.iter().for_each(|attached| intake.greet(&capture, attached.pid));
        let mut coverage_log = CoverageLog::default();
        coverage_log.tell(&capture.coverage());
        Self {
            capture,
            intake,
            commands,
            next_order: Instant::now(),
            config_file,
            out,
            told_losses: Losses::default(),
            told_tcp: TcpCounters::default(),
            told_states: StateCounters::default(),
            mark_shift,
            told_gaps: Gaps::default(),
            coverage_log,
            tai_offset_s: kernel_tai_offset_seconds().ok(),
            next_chores: Instant::now(),
        }
    }

    /// Captures until told to stop, then empties the ring. The probes go when this returns, or panics.
    pub(super) fn run(mut self, stop: &watch::Receiver<bool>) -> Result<(), CaptureError> {
        while !*stop.borrow() {
            if self.round(POLL)?.is_err() {
                return Ok(());
            }
        }
        self.capture.tell_open_sessions();
        self.capture.tell_states();
        self.capture.tell_observations();
        let told = self.pass_on_states()?.and_then(|()| self.pass_on_observations());
        // Nothing new comes from here on, so that what is in the ring and in the sums is the rest.
        self.capture.detach();
        let _ = told.and(self.pass_on_rest()?);
        Ok(())
    }

    /// Of a capture that is detached: all that is left, and the account of it.
    fn pass_on_rest(&mut self) -> Result<Result<(), NobodyListens>, CaptureError> {
        loop {
            let mut raw = VecDeque::new();
            self.capture.poll(Duration::ZERO, &mut |wait| raw.push_back(wait))?;
            let is_last = raw.is_empty() && !self.capture.has_more();
            if let Err(nobody) = self.pass_on(raw).and_then(|()| self.pass_on_tcp()) {
                return Ok(Err(nobody));
            }
            if is_last {
                return Ok(self.pass_on_open_waits().and_then(|()| self.pass_on_sums(true)));
            }
        }
    }

    fn round(&mut self, timeout: Duration) -> Result<Result<usize, NobodyListens>, CaptureError> {
        let mut raw = VecDeque::new();
        self.capture.poll(timeout, &mut |wait| raw.push_back(wait))?;
        let count = raw.len();
        self.obey();
        if self.capture.rescan_wanted() || Instant::now() >= self.next_chores {
            self.look_around();
        }
        let passed_on = self.pass_on(raw).and_then(|()| self.pass_on_tcp()).and_then(|()| self.pass_on_open_waits());
        let passed_on = self.pass_on_states()?.and(passed_on).and_then(|()| self.pass_on_observations());
        if passed_on.is_ok() && Instant::now() >= self.next_chores {
            self.next_chores = Instant::now() + CHORES_EVERY;
            self.keep_tai_offset_current()?;
            return Ok(self.pass_on_sums(false).map(|()| count));
        }
        Ok(passed_on.map(|()| count))
    }

    fn pass_on(&mut self, mut raw: VecDeque<RawWait>) -> Result<(), NobodyListens> {
        while !raw.is_empty() {
            let message = raw.drain(..raw.len().min(WAITS_PER_MESSAGE)).collect();
            let (waits, unknown) = self.known_waits(message);
            self.send(Input::Waits(waits))?;
            self.lose(LossCause::ParkAbandoned, unknown)?;
        }
        Ok(())
    }

    fn pass_on_open_waits(&mut self) -> Result<(), NobodyListens> {
        let OpenTaken { waits, passed_over } = self.capture.take_open_waits();
        let all = waits.len();
        let known = waits.into_iter().filter_map(|open| self.intake.open_wait(&self.capture, open));
        let known: Vec<_> = known.collect();
        let passed_over = passed_over + (all - known.len()) as u64;
        for some in known.chunks(WAITS_PER_MESSAGE) {
            self.send(Input::OpenWaits(some.to_vec()))?;
        }
        if passed_over == 0 { Ok(()) } else { self.send(Input::OpenPassedOver(passed_over)) }
    }

    fn pass_on_states(&mut self) -> Result<Result<(), NobodyListens>, CaptureError> {
        let taken = self.capture.take_states()?;
        let now = self.capture.state_counters();
        if now != self.told_states && self.told_states == StateCounters::default() {
            tracing::warn!(?now, "the time of some goroutines is not known, or not in full");
        }
        self.told_states = now;
        Ok(self.pass_on_taken_states(taken))
    }

    fn pass_on_taken_states(&mut self, taken: StatesTaken) -> Result<(), NobodyListens> {
        let StatesTaken { processes, goroutines, passed_over } = taken;
        let all = processes.len() + goroutines.len();
        let (capture, intake) = (&self.capture, &mut self.intake);
        let processes: Vec<_> = processes.into_iter().filter_map(|one| intake.process_times(capture, one)).collect();
        let goroutines: Vec<_> = goroutines.into_iter().filter_map(|one| intake.goroutine(capture, one)).collect();
        let passed_over = passed_over + (all - processes.len() - goroutines.len()) as u64;
        if !processes.is_empty() {
            self.send(Input::ProcessTimes(processes))?;
        }
        for some in goroutines.chunks(WAITS_PER_MESSAGE) {
            self.send(Input::Goroutines(some.to_vec()))?;
        }
        if passed_over == 0 { Ok(()) } else { self.send(Input::StatesPassedOver(passed_over)) }
    }

    fn pass_on_observations(&mut self) -> Result<(), NobodyListens> {
        let (observations, intake) = (self.capture.take_observations(), &mut self.intake);
        let known = observations.into_iter().filter_map(|one| intake.observation(&self.capture, one));
        let known: Vec<_> = known.collect();
        if known.is_empty() { Ok(()) } else { self.send(Input::Observations(known)) }
    }

    fn pass_on_tcp(&mut self) -> Result<(), NobodyListens> {
        let TcpTaken { sessions, messages } = self.capture.take_tcp();
        let all = sessions.len() + messages.len();
        let (capture, intake) = (&self.capture, &mut self.intake);
        let sessions = sessions.iter().filter_map(|(session, stack)| intake.session(capture, session, stack));
        let sessions: Vec<_> = sessions.collect();
        let messages: Vec<_> = messages.iter().filter_map(|message| intake.message(capture, message)).collect();
        let unknown = (all - sessions.len() - messages.len()) as u64;
        for some in sessions.chunks(WAITS_PER_MESSAGE) {
            self.send(Input::Sessions(some.to_vec()))?;
        }
        for some in messages.chunks(WAITS_PER_MESSAGE) {
            self.send(Input::Messages { messages: some.to_vec(), mark_shift: self.mark_shift })?;
        }
        if unknown == 0 { Ok(()) } else { self.send(Input::TcpLoss(TcpLossCause::Garbled, unknown)) }
    }

    fn pass_on_tcp_losses(&mut self) -> Result<(), NobodyListens> {
        let now = self.capture.tcp_counters();
        let lost = tcp_losses(&self.told_tcp, &now);
        self.told_tcp = now;
        lost.into_iter().try_for_each(|(cause, count)| self.send(Input::TcpLoss(cause, count)))
    }

    /// The waits of known processes, and the number of the others.
    fn known_waits(&mut self, raw: Vec<RawWait>) -> (Vec<FinishedWait>, u64) {
        let all = raw.len();
        let waits: Vec<_> = raw.into_iter().filter_map(|wait| self.intake.wait(&self.capture, wait)).collect();
        let unknown = (all - waits.len()) as u64;
        (waits, unknown)
    }

    /// And the account of all that came so far: the last one where `is_last`.
    fn pass_on_sums(&mut self, is_last: bool) -> Result<(), NobodyListens> {
        for short in self.capture.take_short_waits() {
            match self.intake.short(&self.capture, &short) {
                Some((process, what, sum)) => self.send(Input::Short { process, what, sum })?,
                None => self.lose(LossCause::ParkAbandoned, short.count)?,
            }
        }
        self.pass_on_tcp_losses()?;
        let counters = self.capture.counters();
        self.pass_on_gaps(&counters)?;
        let now = losses(&counters);
        let grown = now.since(&self.told_losses);
        self.told_losses = now;
        if !grown.is_empty() {
            self.send(Input::Losses(grown))?;
        }
        let open = is_last.then(|| self.capture.parked_now() as u64);
        self.send(Input::Captured(Captured { waits: counters.captured(), left_out: counters.passed_over(), open }))
    }

    fn pass_on_gaps(&mut self, counters: &Counters) -> Result<(), NobodyListens> {
        let now = Gaps::new(self.capture.coverage(), counters);
        if now == self.told_gaps {
            return Ok(());
        }
        self.told_gaps = now.clone();
        self.send(Input::Gaps(now))
    }

    fn lose(&self, cause: LossCause, count: u64) -> Result<(), NobodyListens> {
        let mut losses = Losses::default();
        losses.add(cause, count);
        if losses.is_empty() { Ok(()) } else { self.send(Input::Losses(losses)) }
    }

    fn send(&self, input: Input) -> Result<(), NobodyListens> {
        self.out.send(input).map_err(|_| NobodyListens)
    }

    fn look_around(&mut self) {
        let report = self.capture.rescan();
        tell(&report);
        self.coverage_log.tell(&self.capture.coverage());
        report.attached.iter().for_each(|attached| self.intake.greet(&self.capture, attached.pid));
    }

    /// Whoever steps the wall clock may set the TAI offset with it; the kernel's wall stamps rest on it.
    fn keep_tai_offset_current(&mut self) -> Result<(), CaptureError> {
        let now = kernel_tai_offset_seconds().ok();
        if let (Some(seconds), true) = (now, now != self.tai_offset_s) {
            tracing::info!(seconds, "the kernel's TAI offset has changed");
            self.capture.set_tai_offset(seconds)?;
            self.tai_offset_s = now;
        }
        Ok(())
    }
}

fn tell(report: &RescanReport) {
    for attached in &report.attached {
        let exe = attached.exe.display();
        let (pid, go) = (attached.pid, &attached.go_version);
        match &attached.limited {
            None => tracing::info!(pid, %exe, go, "observing"),
            Some(why) => tracing::warn!(
                pid, %exe, go,
                "observing only system calls, time off the CPU and TCP of this process, not its goroutines: {why}"
            ),
        }
    }
    for skipped in &report.skipped {
        tracing::debug!(pid = skipped.pid, exe = %skipped.exe.display(), "skipped: {}", skipped.why);
    }
    for plugin in &report.plugins {
        tracing::info!(pid = plugin.pid, plugin = %plugin.path.display(), "observing a plugin");
    }
    for pid in &report.left_out {
        tracing::info!(pid, "left out");
    }
    for pid in &report.ended {
        tracing::info!(pid, "ended");
    }
}
