//! How goroutines spend their time: running, runnable, in system calls, in C code, blocked by reason. The kernel side keeps the books
//! of each goroutine; here they are read, told of, and summed up by process.

mod ledger;
mod maps;
mod split;
mod told;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use syncline_bpf::layout::Key;
use syncline_bpf::states::{EndedGoroutine, GoroutineTimes, ShortLives, State, encode_epoch, encode_found};
use syncline_bpf::{InCall, ParkKey};

use super::before::Waiting;
use super::error::KernelError;
use super::kernel::{MAX_STEPS, Maps, stable_keys};
use super::process::mono_ns;
use super::processes::Processes;
use crate::kinds::CaptureKind;
pub use told::{BlockedTime, GoroutineSplit, ProcessTimes, StateTimes, StatesTaken};

use ledger::{Id, Ledger, Told};
pub use maps::StateCounters;
pub(super) use maps::StateMaps;
use split::is_whole;
use told::{goroutine_split, process_times};

/// Goroutines told of at a time at most; the time of the others is in the sums of their processes.
const MAX_TOLD: usize = 16_384;
/// `BPF_NOEXIST`.
const ONLY_IF_NEW: u64 = 1;
/// A look is followed by this many times its own length without one, so that looking costs 1 % of a CPU at most.
const PAUSE: u64 = 99;
/// So long goroutines are read at a time, ns: the ring wants to be emptied, too.
const SLICE_NS: u64 = 10_000_000;
/// Readings of a goroutine that changes its state meanwhile, before it is left for the next look.
const READINGS: usize = 4;

/// A process whose goroutines are not followed any more.
#[derive(Debug, Clone, Copy)]
pub(super) struct LetGo {
    /// Since when, CLOCK_MONOTONIC ns.
    pub(super) at_ns: u64,
    /// Their time up to then is told.
    pub(super) is_told: bool,
}

/// A look at all goroutines that live.
struct Look {
    /// Those that are still to be read.
    keys: Option<Vec<[u8; size_of::<Key>()]>>,
    spent_ns: u64,
}

/// States as they are captured.
pub(super) struct States {
    maps: StateMaps,
    every_ns: u64,
    epoch: u32,
    next_look_ns: u64,
    look: Option<Look>,
    /// The look does not stop for anything else.
    at_once: bool,
    ledger: Ledger,
    told: Vec<Told>,
    of_ended: StatesTaken,
    passed_over: u64,
}

impl States {
    /// All that live are looked at `every` so often.
    pub(super) fn new(maps: StateMaps, every: Duration) -> Self {
        let every_ns = u64::try_from(every.as_nanos()).unwrap_or(u64::MAX);
        Self {
            maps,
            every_ns,
            epoch: 0,
            next_look_ns: mono_ns().saturating_add(every_ns),
            look: None,
            at_once: false,
            ledger: Ledger::default(),
            told: Vec::new(),
            of_ended: StatesTaken::default(),
            passed_over: 0,
        }
    }

    /// These goroutines of a process are in their states since before they were followed: their time counts from when they were found.
    pub(super) fn found(&mut self, tgid: u32, waiting: &[Waiting]) {
        for at in waiting {
            let key = ParkKey { tgid, g: at.g }.encode(0);
            let value = encode_found((at.goid, at.tid), at.state, at.since_ns, self.epoch);
            // What a probe has put there is right; and for what there is no room it is followed once it changes its state.
            let _ = self.maps.goroutines.insert(key, value, ONLY_IF_NEW);
        }
    }

    /// A goroutine has ended.
    pub(super) fn push_ended(&mut self, ended: &EndedGoroutine) {
        let told = self.ledger.ended(ended);
        self.push(told);
    }

    fn push(&mut self, told: Told) {
        if self.told.len() < MAX_TOLD { self.told.push(told) } else { self.passed_over += 1 }
    }

    /// Has the next [`take`](Self::take) tell of everything.
    pub(super) fn tell_all(&mut self) {
        self.next_look_ns = 0;
        self.at_once = true;
    }

    /// Goroutines that have ended, and now and then those that live and their processes. To be called often: a look at many goroutines
    /// is made in slices.
    /// Those that live only if `is_wanted` by anybody.
    pub(super) fn take(
        &mut self,
        maps: &Maps,
        processes: &Processes,
        is_wanted: bool,
    ) -> Result<StatesTaken, KernelError> {
        let began_ns = mono_ns();
        let mut taken = std::mem::take(&mut self.of_ended);
        if is_wanted && self.look.is_none() && began_ns >= self.next_look_ns {
            self.look = Some(self.begin_look(processes)?);
        }
        if let Some(mut look) = self.look.take() {
            let is_over = self.go_on(&mut look, maps);
            let now_ns = mono_ns();
            look.spent_ns = look.spent_ns.saturating_add(now_ns.saturating_sub(began_ns));
            if is_over {
                self.next_look_ns = now_ns.saturating_add(look.spent_ns.saturating_mul(PAUSE).max(self.every_ns));
                self.at_once = false;
                // Without a reading the next one tells of this time as well.
                let of = if look.keys.is_some() { self.ledger.processes() } else { Vec::new() };
                for tgid in of {
                    taken.processes.extend(self.take_sum(tgid, now_ns, processes));
                }
            } else {
                self.look = Some(look);
            }
        }
        self.take_told(&mut taken, processes);
        Ok(taken)
    }

    /// Goroutines of processes that ended (pid to CLOCK_MONOTONIC ns); false if running ones changed the map too fast to go through
    /// it, so that it must be tried again.
    pub(super) fn end(&mut self, ended: &HashMap<u32, u64>, processes: &Processes) -> bool {
        let Some(keys) = stable_keys(self.maps.goroutines.keys(), MAX_STEPS) else { return false };
        for key in keys {
            let Some(&end_ns) = ended.get(&ParkKey::decode(&key).tgid) else { continue };
            let Some((id, times)) = self.read(&key).filter(|(id, _)| id.first_mono_ns < end_ns) else { continue };
            // Fails only if it is gone already.
            if self.maps.goroutines.remove(&key).is_ok() {
                let told = self.ledger.taken_along(id, times, end_ns);
                self.push(told);
            }
        }
        for (&tgid, &end_ns) in ended {
            self.read_short_lives(tgid, end_ns);
            let sum = self.take_sum(tgid, end_ns, processes);
            self.of_ended.processes.extend(sum);
            if processes.observed(tgid).is_none() {
                self.ledger.let_go_of(tgid, end_ns);
                // Fails only if it is gone already.
                let _ = self.maps.short_lives.remove(&tgid);
            }
        }
        let mut taken = std::mem::take(&mut self.of_ended);
        self.take_told(&mut taken, processes);
        self.of_ended = taken;
        true
    }

    /// Goroutines of processes that are not followed any more. False as in [`end`](Self::end).
    pub(super) fn let_go(&mut self, maps: &Maps, pids: &HashMap<u32, LetGo>, processes: &Processes) -> bool {
        let Some(keys) = stable_keys(self.maps.goroutines.keys(), MAX_STEPS) else { return false };
        for key in keys {
            let Some(&LetGo { at_ns, is_told }) = pids.get(&ParkKey::decode(&key).tgid) else { continue };
            let Some((id, times)) = self.read(&key) else { continue };
            // Removal fails only if it is gone already.
            if id.first_mono_ns < at_ns && self.maps.goroutines.remove(&key).is_ok() && is_told {
                let told = self.ledger.let_go(id, times, at_ns, in_call_since(maps, &id, &times));
                self.push(told);
            }
        }
        for (&tgid, &LetGo { at_ns, is_told }) in pids {
            self.read_short_lives(tgid, at_ns);
            let sum = self.take_sum(tgid, at_ns, processes);
            self.of_ended.processes.extend(sum.filter(|_| is_told));
            self.ledger.let_go_of(tgid, at_ns);
            // Fails only if it is not there.
            let _ = self.maps.short_lives.remove(&tgid);
        }
        let mut taken = std::mem::take(&mut self.of_ended);
        self.take_told(&mut taken, processes);
        self.of_ended = taken;
        true
    }

    /// The processes of which anything is kept; none where the map changes too fast to be gone through.
    pub(super) fn tgids(&self) -> HashSet<u32> {
        let keys = stable_keys(self.maps.goroutines.keys(), MAX_STEPS).unwrap_or_default();
        let of_goroutines = keys.iter().map(|key| ParkKey::decode(key).tgid);
        let short = stable_keys(self.maps.short_lives.keys(), MAX_STEPS).unwrap_or_default();
        of_goroutines.chain(short).collect()
    }

    pub(super) fn counters(&self) -> StateCounters {
        self.maps.counters(self.ledger.lost_ends)
    }

    /// What begins from here on is of the next epoch: it is read next time, or told of by its record.
    fn begin_look(&mut self, processes: &Processes) -> Result<Look, KernelError> {
        let epoch = self.epoch.wrapping_add(1);
        let set = self.maps.config.set(0, encode_epoch(epoch), 0);
        set.map_err(|e| KernelError::new("set the epoch of goroutines", e))?;
        self.epoch = epoch;
        // None if the map changes too fast to be gone through: they are read next time.
        let keys = stable_keys(self.maps.goroutines.keys(), MAX_STEPS);
        let is_followed =
            |tgid| processes.observed(tgid).is_some_and(|process| process.settings.kinds.has(CaptureKind::States));
        // A key may come twice.
        let followed = |keys: Vec<[u8; size_of::<Key>()]>| -> HashSet<_> {
            keys.into_iter().filter(|key| is_followed(ParkKey::decode(key).tgid)).collect()
        };
        Ok(Look { keys: keys.map(|keys| followed(keys).into_iter().collect()), spent_ns: 0 })
    }

    /// Reads those that live, for a while; whether all have been read.
    fn go_on(&mut self, look: &mut Look, maps: &Maps) -> bool {
        let Some(keys) = &mut look.keys else { return true };
        let began_ns = mono_ns();
        while let Some(key) = keys.pop() {
            self.read_living(&key, maps);
            if !self.at_once && mono_ns().saturating_sub(began_ns) >= SLICE_NS {
                return false;
            }
        }
        self.ledger.all_read();
        let tgids = stable_keys(self.maps.short_lives.keys(), MAX_STEPS).unwrap_or_default();
        for tgid in tgids.into_iter().collect::<HashSet<_>>() {
            self.read_short_lives(tgid, mono_ns());
        }
        true
    }

    fn read_living(&mut self, key: &[u8; size_of::<Key>()], maps: &Maps) {
        let Some((id, times)) = self.read(key) else { return };
        if times.epoch == self.epoch {
            return;
        }
        if !is_whole(&times) {
            return self.ledger.unread(id);
        }
        let call = in_call_since(maps, &id, &times);
        let at_ns = mono_ns().max(times.since_mono_ns);
        if let Some(told) = self.ledger.living(id, times, at_ns, call) {
            self.push(told);
        }
    }

    fn read(&self, key: &[u8; size_of::<Key>()]) -> Option<(Id, GoroutineTimes)> {
        let of = ParkKey::decode(key);
        let read = || GoroutineTimes::decode(&self.maps.goroutines.get(key, 0).ok()?);
        let mut times = read()?;
        for _ in 1..READINGS {
            if is_whole(&times) {
                break;
            }
            times = read()?;
        }
        Some((Id { tgid: of.tgid, g: of.g, first_mono_ns: times.first_mono_ns }, times))
    }

    fn read_short_lives(&mut self, tgid: u32, at_mono_ns: u64) {
        let Ok(per_cpu) = self.maps.short_lives.get(&tgid, 0) else { return };
        let all = per_cpu.iter().map(|bytes| ShortLives::decode(bytes));
        let sum = all.fold(ShortLives::NONE, |sum, cpu| sum.each(&cpu, u64::wrapping_add));
        self.ledger.short_lives(tgid, &sum, at_mono_ns);
    }

    fn take_sum(&mut self, tgid: u32, at_mono_ns: u64, processes: &Processes) -> Option<ProcessTimes> {
        let sum = self.ledger.take_sum(tgid, at_mono_ns)?;
        let at_mono_ns = sum.to_mono_ns;
        let binary = processes.that_ran(tgid, (sum.from_mono_ns, at_mono_ns), |_| true);
        let binary = binary.or_else(|| processes.get(tgid)).map(|process| &process.binary);
        Some(process_times(tgid, &sum, at_mono_ns, binary.map(|binary| &**binary)))
    }

    fn take_told(&mut self, taken: &mut StatesTaken, processes: &Processes) {
        taken.passed_over += std::mem::take(&mut self.passed_over);
        for told in self.told.drain(..) {
            let span = (told.times.first_mono_ns, told.at_mono_ns);
            let process = processes.that_ran(told.tgid, span, |_| true);
            match process.and_then(|process| goroutine_split(&told, &process.binary)) {
                Some(split) => taken.goroutines.push(split),
                None => taken.passed_over += 1,
            }
        }
    }
}

/// Since when the thread that runs this goroutine has been in a system call that counts as one.
fn in_call_since(maps: &Maps, id: &Id, times: &GoroutineTimes) -> Option<u64> {
    if times.state != State::Running {
        return None;
    }
    let call = InCall::decode(&maps.in_syscalls.get(&times.tid, 0).ok()?);
    (call.is_wait && call.tgid == id.tgid).then_some(call.mono_ns)
}
