//! What is gathered: sites, short waits, losses, and whose they are.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use syncline_claims::kernel_tai_offset_seconds;
use syncline_event::{Kind, LossCause};
use syncline_insight::{Caption, Recorded, Sites, blocks, span};

use super::names::{Names, id, times};
use super::out::{Event, OpenOut};
use super::reason::{Reasons, in_words};
use super::short::ShortSums;
use super::states::StateSums;
use super::{WatchConfig, WatchError, Who};
use crate::batch::Losses;
use crate::capture::{Capture, Counters, OpenTaken, RawWait, RescanReport, mono_ns};
use crate::intake::losses;

/// Sums and counters are fetched, and the processes looked at, this often.
const CHORES_EVERY: Duration = Duration::from_millis(500);

/// A capture and what it has seen.
pub(super) struct Gathering {
    capture: Capture,
    names: Names,
    outs: Vec<OpenOut>,
    reasons: Reasons,
    threshold: Duration,
    /// Go's own goroutines are in the files, too.
    with_runtime: bool,
    seen: Seen,
    /// Waits whose process nobody knew any more.
    unknown: u64,
    /// What was lost before the last reset.
    lost_before: Losses,
    tai_offset_s: Option<i32>,
    first_attached: Option<Instant>,
    next_chores: Instant,
    skipped: Option<(u32, String)>,
}

/// What a table shows. A copy of it can be looked at while gathering goes on.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) sites: Sites,
    pub(super) short: ShortSums,
    pub(super) states: StateSums,
    pub(super) lost: Losses,
    /// The stack was cut or a frame was unreadable; since the start.
    pub(super) short_of_frames: u64,
    /// Of these processes, with their executables' names; the ended ones too.
    pub(super) processes: BTreeMap<u32, Process>,
    /// Go processes that were wanted and are not observed.
    pub(super) skipped: u64,
    /// Why of some only the threads are observed, by pid.
    pub(super) limited: BTreeMap<u32, String>,
    /// How often a wait that goes on was due to be told of and was not, for want of room.
    pub(super) open_passed_over: u64,
    /// Goroutines that were seen parking, have not run since, and are in no sum; known at the end only.
    pub(super) still_parked: Option<usize>,
    /// Waits shorter than this are in `short`.
    pub(super) threshold: Duration,
    /// What reasons must contain.
    pub(super) reason: Option<String>,
    pub(super) elapsed: Duration,
    /// When it began, or was reset.
    pub(super) since: Option<(Instant, SystemTime)>,
}

/// What became of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Ended,
    GoesOn,
    /// It never ended: its process, or its program, did.
    Abandoned,
}

#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) name: String,
    pub(super) has_ended: bool,
}

impl Gathering {
    pub(super) fn new(capture: Capture, config: &WatchConfig) -> Result<Self, WatchError> {
        let seen = Seen { threshold: config.threshold, reason: config.reason.clone(), ..Seen::default() };
        let names = Names::by(capture.frames());
        let mut gathering = Self {
            capture,
            names,
            outs: Vec::new(),
            reasons: Reasons::with(config.reason.as_deref()),
            threshold: config.threshold,
            with_runtime: config.look.runtime,
            seen,
            unknown: 0,
            lost_before: Losses::default(),
            tai_offset_s: kernel_tai_offset_seconds().ok(),
            first_attached: None,
            next_chores: Instant::now(),
            skipped: None,
        };
        gathering.chores()?;
        Ok(gathering)
    }

    /// From now on every wait goes to these files, too.
    pub(super) fn write_to(&mut self, outs: Vec<OpenOut>) {
        self.outs = outs;
    }

    /// # Errors
    /// If nobody is observed.
    pub(super) fn expect_somebody(&self, who: &Who) -> Result<(), WatchError> {
        if self.first_attached.is_some() {
            return Ok(());
        }
        if let Some((pid, why)) = self.skipped.clone() {
            return Err(WatchError::NotObserved { pid, who: who.to_string(), why });
        }
        let hidden = match self.capture.coverage().unreadable {
            0 => String::new(),
            1 => " (one process may not be looked at)".to_owned(),
            hidden => format!(" ({hidden} processes may not be looked at: is CAP_SYS_PTRACE missing?)"),
        };
        Err(WatchError::NobodyRuns { who: who.to_string(), hidden })
    }

    pub(super) fn seen(&self) -> &Seen {
        &self.seen
    }

    /// What is left of the time that the watch may take.
    pub(super) fn left_of(&self, length: Option<Duration>, now: Instant) -> Duration {
        match (length, self.first_attached) {
            (Some(length), Some(began)) => length.saturating_sub(now.saturating_duration_since(began)),
            _ => Duration::MAX,
        }
    }

    /// Whether all processes have ended.
    pub(super) fn is_over(&self) -> bool {
        self.first_attached.is_some() && self.seen.processes.values().all(|process| process.has_ended)
    }

    /// Waits up to `timeout` for waits and takes them; returns how many.
    pub(super) fn poll(&mut self, timeout: Duration) -> Result<usize, WatchError> {
        let mut raw = VecDeque::new();
        self.capture.poll(timeout, &mut |wait| raw.push_back(wait))?;
        let count = raw.len();
        raw.into_iter().try_for_each(|wait| self.take(&wait, Fate::Ended))?;
        self.take_open()?;
        self.take_states()?;
        if self.capture.rescan_wanted() || Instant::now() >= self.next_chores {
            self.next_chores = Instant::now() + CHORES_EVERY;
            self.chores()?;
        }
        if let Some((since, _)) = self.seen.since {
            self.seen.elapsed = since.elapsed();
        }
        Ok(count)
    }

    /// Begins anew.
    pub(super) fn reset(&mut self) {
        self.lost_before = self.lost();
        let now = self.seen.since.map(|_| (Instant::now(), SystemTime::now()));
        let mut seen = std::mem::take(&mut self.seen);
        seen.sites.begin_anew();
        self.seen = Seen {
            sites: seen.sites,
            processes: seen.processes,
            skipped: seen.skipped,
            short_of_frames: seen.short_of_frames,
            threshold: seen.threshold,
            reason: seen.reason,
            since: now,
            ..Seen::default()
        };
    }

    /// Looks for the last time, and writes the files.
    pub(super) fn finish(&mut self) -> Result<(), WatchError> {
        self.capture.tell_states();
        self.chores()?;
        let told = self.seen.sites.open_of(Kind::Goroutine);
        self.seen.still_parked = Some(self.capture.parked_now().saturating_sub(told));
        let (recorded, caption) = (self.recorded(), self.caption());
        let stacks = self.seen.sites.stacks().into_iter();
        let stacks: Vec<_> = stacks.filter(|sum| self.with_runtime || !sum.stack.is_of_the_runtime()).collect();
        self.outs.drain(..).try_for_each(|out| out.finish(&stacks, &recorded, &caption))
    }

    fn take(&mut self, raw: &RawWait, fate: Fate) -> Result<(), WatchError> {
        if !blocks(raw.kind, raw.reason, raw.goid) || !self.reasons.has(&in_words(raw.kind, raw.reason)) {
            return Ok(());
        }
        let wait = match fate {
            Fate::Ended | Fate::GoesOn => {
                let Some(process) = self.capture.process_of(raw) else {
                    self.unknown += 1;
                    return Ok(());
                };
                let wait = self.names.wait(&process.binary, raw, self.reasons.have_calls_of_c());
                if fate == Fate::Ended {
                    self.seen.sites.add(&wait);
                } else {
                    self.seen.sites.go_on(wait.clone());
                }
                wait
            }
            // Its process's memory is gone, but not what was seen there.
            Fate::Abandoned => match self.seen.sites.abandon(&id(raw), times(raw)) {
                Some(wait) => wait,
                None => return Ok(()),
            },
        };
        if !self.with_runtime && wait.stack.is_of_the_runtime() {
            return Ok(());
        }
        self.outs.iter_mut().try_for_each(|out| out.take(&Event { raw, wait: &wait, fate }))
    }

    /// Takes what is told of the waits that go on.
    fn take_open(&mut self) -> Result<(), WatchError> {
        let OpenTaken { waits, passed_over } = self.capture.take_open_waits();
        self.seen.open_passed_over = self.seen.open_passed_over.saturating_add(passed_over);
        waits
            .iter()
            .try_for_each(|open| self.take(&open.wait, if open.is_abandoned { Fate::Abandoned } else { Fate::GoesOn }))
    }

    fn take_states(&mut self) -> Result<(), WatchError> {
        self.capture.take_states()?.processes.iter().for_each(|told| self.seen.states.add(told));
        Ok(())
    }

    fn chores(&mut self) -> Result<(), WatchError> {
        let report = self.capture.rescan();
        // What ended processes took with them comes before their end is noted.
        self.take_open()?;
        self.take_states()?;
        self.note(&report);
        self.seen.sites.count_until(mono_ns());
        for short in self.capture.take_short_waits() {
            if self.reasons.has(&in_words(short.kind, short.reason)) {
                self.seen.short.add(&short);
            }
        }
        self.seen.lost = self.lost().since(&self.lost_before);
        let Counters { stack_truncated, stack_unreadable, .. } = self.capture.counters();
        self.seen.short_of_frames = stack_truncated.saturating_add(stack_unreadable);
        self.keep_tai_offset_current()?;
        self.outs.iter_mut().try_for_each(OpenOut::flush)
    }

    fn note(&mut self, report: &RescanReport) {
        for pid in &report.ended {
            self.seen.sites.end_process(*pid);
            self.seen.states.end_process(*pid);
            if let Some(process) = self.seen.processes.get_mut(pid) {
                process.has_ended = true;
            }
        }
        for attached in &report.attached {
            let name = attached.exe.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            self.seen.processes.insert(attached.pid, Process { name, has_ended: false });
            if let Some(why) = &attached.limited {
                self.seen.limited.insert(attached.pid, why.clone());
            }
            self.first_attached.get_or_insert_with(Instant::now);
            self.seen.since.get_or_insert_with(|| (Instant::now(), SystemTime::now()));
        }
        for skipped in &report.skipped {
            self.seen.skipped += 1;
            self.skipped = Some((skipped.pid, skipped.why.clone()));
        }
    }

    fn lost(&self) -> Losses {
        let mut lost = losses(&self.capture.counters());
        lost.add(LossCause::ParkAbandoned, self.unknown);
        lost
    }

    /// Whoever steps the wall clock may set the TAI offset with it; the kernel's wall stamps rest on it.
    fn keep_tai_offset_current(&mut self) -> Result<(), WatchError> {
        let now = kernel_tai_offset_seconds().ok();
        if let (Some(seconds), true) = (now, now != self.tai_offset_s) {
            self.capture.set_tai_offset(seconds)?;
            self.tai_offset_s = now;
        }
        Ok(())
    }

    fn recorded(&self) -> Recorded {
        let start = self.seen.since.and_then(|(_, wall)| wall.duration_since(UNIX_EPOCH).ok());
        let ns = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
        let comments = vec![self.seen.whose(), self.seen.coverage_text()];
        Recorded { start_wall_ns: start.map_or(0, ns), duration_ns: ns(self.seen.elapsed), comments }
    }

    fn caption(&self) -> Caption {
        let length = span(u64::try_from(self.seen.elapsed.as_nanos()).unwrap_or(u64::MAX));
        let title = format!("Where {} waited, {length}, waits of {:?} and longer", self.seen.whose(), self.threshold);
        Caption { title, note: self.seen.coverage_text() }
    }
}
