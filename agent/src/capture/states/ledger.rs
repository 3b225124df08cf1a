//! Who spent how much time in which state, and what of that was told. Pure: it takes what was read, and the moment.

use std::collections::{BTreeMap, HashMap};

use syncline_bpf::states::{EndedGoroutine, GoroutineTimes, ShortLives};

use super::split::{Growth, until};

/// A living goroutine is told of again when so much time has gone, if it changed its state at all.
const TOLD_EVERY_NS: u64 = 60_000_000_000;
/// And also one that did not, so that whoever looks for those that live need not look back further.
const TOLD_AT_LEAST_EVERY_NS: u64 = 60 * TOLD_EVERY_NS;
/// Processes remembered that were let go of.
const MOST_LET_GO: usize = 4_096;
/// Looks at which a goroutine may be missing though its end was not told: its record may still be on the way.
const MISSING_LOOKS: u8 = 2;

/// A goroutine: its process, the address of its `runtime.g`, and when it was first seen there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Id {
    pub(super) tgid: u32,
    pub(super) g: u64,
    pub(super) first_mono_ns: u64,
}

/// How a goroutine is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Alive,
    Finished,
    ProcessEnded,
}

/// A goroutine's time up to a moment, to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) tgid: u32,
    pub(super) times: GoroutineTimes,
    pub(super) at_mono_ns: u64,
    pub(super) fate: Fate,
}

/// The time of all goroutines of a process since the last time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) from_mono_ns: u64,
    /// Of one that was handed out.
    pub(super) to_mono_ns: u64,
    /// Nothing was told of the process before.
    is_first: bool,
    pub(super) growth: Growth,
    pub(super) alive: u64,
    pub(super) started: u64,
    pub(super) ended: u64,
}

/// What was read of a goroutine last.
#[derive(Debug, Clone, Copy)]
struct Known {
    times: GoroutineTimes,
    /// As of when that is.
    seen_mono_ns: u64,
    told_mono_ns: Option<u64>,
    told_since_mono_ns: u64,
    missing: u8,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    known: HashMap<Id, Known>,
    short: HashMap<u32, ShortLives>,
    sums: BTreeMap<u32, Sum>,
    /// Processes that were let go of, and when: records of their goroutines from before may still come.
    let_go: HashMap<u32, u64>,
    /// Goroutines that went without a record of it.
    pub(super) lost_ends: u64,
}

impl Ledger {
    /// A goroutine that lives, read at this moment; given back if it is to be told of.
    pub(super) fn living(
        &mut self,
        id: Id,
        times: GoroutineTimes,
        at_mono_ns: u64,
        in_call_since: Option<u64>,
    ) -> Option<Told> {
        let times = until(times, at_mono_ns, in_call_since);
        let before = self.known.get(&id).copied();
        self.grow(id.tgid, &times, before.as_ref()).alive += 1;
        let told_mono_ns = before.and_then(|before| before.told_mono_ns);
        let is_due = told_mono_ns.is_none_or(|told| {
            let has_changed = before.is_some_and(|before| before.told_since_mono_ns != times.since_mono_ns);
            at_mono_ns.saturating_sub(told) >= if has_changed { TOLD_EVERY_NS } else { TOLD_AT_LEAST_EVERY_NS }
        }) && times.goid.is_some();
        let known = Known {
            times,
            seen_mono_ns: at_mono_ns,
            told_mono_ns: if is_due { Some(at_mono_ns) } else { told_mono_ns },
            told_since_mono_ns: if is_due {
                times.since_mono_ns
            } else {
                before.map_or(0, |before| before.told_since_mono_ns)
            },
            missing: 0,
        };
        self.known.insert(id, known);
        is_due.then_some(Told { tgid: id.tgid, times, at_mono_ns, fate: Fate::Alive })
    }

    /// One that could not be read this time lives all the same.
    pub(super) fn unread(&mut self, id: Id) {
        if let Some(known) = self.known.get_mut(&id) {
            known.missing = 0;
        }
    }

    /// All that live have been read: those that were missed too often have ended unseen.
    pub(super) fn all_read(&mut self) {
        let before = self.known.len();
        self.known.retain(|_, known| {
            known.missing += 1;
            known.missing <= MISSING_LOOKS
        });
        self.lost_ends += (before - self.known.len()) as u64;
    }

    /// A goroutine that has ended.
    pub(super) fn ended(&mut self, ended: &EndedGoroutine) -> Told {
        let id = Id { tgid: ended.tgid, g: ended.g, first_mono_ns: ended.times.first_mono_ns };
        let (times, at_mono_ns) = (ended.times, ended.times.since_mono_ns);
        if self.let_go.get(&id.tgid).is_some_and(|let_go| times.first_mono_ns < *let_go) {
            // What grew is in the sum that was told then.
            return Told { tgid: id.tgid, times, at_mono_ns, fate: Fate::Finished };
        }
        self.close(id, times, at_mono_ns, Fate::Finished)
    }

    /// A goroutine whose process ended at this moment.
    pub(super) fn taken_along(&mut self, id: Id, times: GoroutineTimes, end_mono_ns: u64) -> Told {
        // One that changed its state after the end was in the middle of something else; and what was told of it before the end was
        // noticed holds.
        let seen_mono_ns = self.known.get(&id).map_or(0, |known| known.seen_mono_ns);
        let end_mono_ns = end_mono_ns.max(times.since_mono_ns).max(seen_mono_ns);
        self.close(id, until(times, end_mono_ns, None), end_mono_ns, Fate::ProcessEnded)
    }

    /// A goroutine that lives, and is not followed any more since this moment.
    pub(super) fn let_go(
        &mut self,
        id: Id,
        times: GoroutineTimes,
        at_mono_ns: u64,
        in_call_since: Option<u64>,
    ) -> Told {
        let at_mono_ns = at_mono_ns.max(times.since_mono_ns);
        let times = until(times, at_mono_ns, in_call_since);
        let before = self.known.remove(&id);
        self.grow(id.tgid, &times, before.as_ref()).alive += 1;
        Told { tgid: id.tgid, times, at_mono_ns, fate: Fate::Alive }
    }

    fn close(&mut self, id: Id, times: GoroutineTimes, at_mono_ns: u64, fate: Fate) -> Told {
        let before = self.known.remove(&id);
        self.grow(id.tgid, &times, before.as_ref()).ended += 1;
        Told { tgid: id.tgid, times, at_mono_ns, fate }
    }

    /// The sum of those of a process that lived too shortly for a record, as it has grown by now.
    pub(super) fn short_lives(&mut self, tgid: u32, now: &ShortLives, at_mono_ns: u64) {
        let before = self.short.insert(tgid, *now).unwrap_or(ShortLives::NONE);
        let grown = now.each(&before, u64::saturating_sub);
        if grown.goroutines == 0 {
            return;
        }
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let mut growth = Growth {
            state_ns: grown.state_ns.map(signed),
            runs: signed(grown.runs),
            handoffs: signed(grown.handoffs),
            ..Growth::default()
        };
        for (reason, (count, ns)) in (0..).zip(grown.blocked_count.into_iter().zip(grown.blocked_ns)) {
            if count > 0 {
                growth.add_blocked(reason, signed(count), signed(ns));
            }
        }
        let sum = self.sum(tgid, at_mono_ns);
        sum.growth.add(&growth);
        sum.started += grown.goroutines;
        sum.ended += grown.goroutines;
    }

    /// The process is gone, or its goroutines are not followed any more, since this moment.
    pub(super) fn let_go_of(&mut self, tgid: u32, at_mono_ns: u64) {
        self.short.remove(&tgid);
        self.sums.remove(&tgid);
        self.known.retain(|id, _| id.tgid != tgid);
        if self.let_go.len() >= MOST_LET_GO {
            self.let_go.clear();
        }
        self.let_go.insert(tgid, at_mono_ns);
    }

    /// The sum of a process up to this moment, or to that of the last sum if that is later; None where nothing
    /// happened.
    pub(super) fn take_sum(&mut self, tgid: u32, at_mono_ns: u64) -> Option<Sum> {
        let sum = self.sums.get_mut(&tgid)?;
        let at_mono_ns = at_mono_ns.max(sum.from_mono_ns);
        let told = Sum { to_mono_ns: at_mono_ns, growth: sum.growth.take_told(), ..sum.clone() };
        *sum = Sum { from_mono_ns: at_mono_ns, growth: std::mem::take(&mut sum.growth), ..Sum::default() };
        let is_empty = told.alive == 0 && told.ended == 0 && told.growth.state_ns == [0; 4];
        (!is_empty).then_some(told)
    }

    /// Processes with a sum.
    pub(super) fn processes(&self) -> Vec<u32> {
        self.sums.keys().copied().collect()
    }

    fn grow(&mut self, tgid: u32, times: &GoroutineTimes, before: Option<&Known>) -> &mut Sum {
        let sum = self.sum(tgid, times.first_mono_ns);
        sum.growth.add(&Growth::of(times, before.map(|before| &before.times)));
        if before.is_none() {
            if sum.is_first {
                sum.from_mono_ns = sum.from_mono_ns.min(times.first_mono_ns);
            }
            sum.started += u64::from(times.start_seen);
        }
        sum
    }

    /// The sum of a process that was not met before begins with what is first told of it.
    fn sum(&mut self, tgid: u32, at_mono_ns: u64) -> &mut Sum {
        self.sums.entry(tgid).or_insert_with(|| Sum { from_mono_ns: at_mono_ns, is_first: true, ..Sum::default() })
    }
}

#[cfg(test)]
mod tests {
    use syncline_bpf::states::State;

    use super::super::split::tests::goroutine;
    use super::*;

    const S: u64 = 1_000_000_000;

    fn id(g: u64, first_mono_ns: u64) -> Id {
        Id { tgid: 9, g, first_mono_ns }
    }

    fn ended(g: u64, first_mono_ns: u64, end_mono_ns: u64) -> EndedGoroutine {
        let mut times = goroutine(first_mono_ns, State::Running);
        times.state_ns[0] = end_mono_ns - first_mono_ns;
        times.since_mono_ns = end_mono_ns;
        EndedGoroutine { tgid: 9, g, binary: 1, is_replaced: false, times }
    }

    #[test]
    fn what_was_told_before_an_end_was_noticed_holds() {
        let mut ledger = Ledger::default();
        let running = goroutine(5, State::Running);
        ledger.living(id(1, 5), running, 35, None);
        assert_eq!(ledger.take_sum(9, 36).unwrap().to_mono_ns, 36);
        // It had ended at 30 already.
        let ended = ledger.taken_along(id(1, 5), running, 30);
        assert_eq!((ended.at_mono_ns, ended.times.state_ns[0]), (35, 30));
        let last = ledger.take_sum(9, 30).unwrap();
        assert_eq!((last.from_mono_ns, last.to_mono_ns, last.ended, last.growth.state_ns[0]), (36, 36, 1, 0));
    }

    #[test]
    fn looks_and_the_end_together_tell_each_moment_once() {
        let mut ledger = Ledger::default();
        let mut running_ns = 0;
        for at in [10, 20, 35] {
            ledger.living(id(1, 5), goroutine(5, State::Running), at, None);
            running_ns += ledger.take_sum(9, at).unwrap().growth.state_ns[0];
        }
        let told = ledger.ended(&ended(1, 5, 40));
        assert_eq!((told.fate, told.at_mono_ns), (Fate::Finished, 40));
        let last = ledger.take_sum(9, 50).unwrap();
        running_ns += last.growth.state_ns[0];
        assert_eq!((running_ns, last.ended, last.started, last.alive), (35, 1, 0, 0));
        assert_eq!(ledger.take_sum(9, 60), None);
    }

    #[test]
    fn sums_follow_one_another_without_a_gap() {
        let mut ledger = Ledger::default();
        ledger.living(id(1, 5), goroutine(5, State::Running), 10, None);
        let first = ledger.take_sum(9, 12).unwrap();
        ledger.living(id(1, 5), goroutine(5, State::Running), 20, None);
        let second = ledger.take_sum(9, 22).unwrap();
        assert_eq!((first.from_mono_ns, second.from_mono_ns, first.started, second.started), (5, 12, 1, 0));
    }

    #[test]
    fn one_that_lives_is_told_of_again_when_it_did_something_and_a_minute_has_gone() {
        let mut ledger = Ledger::default();
        let mut told_at = |times, at| ledger.living(id(1, 0), times, at, None).is_some();
        let still = goroutine(0, State::Blocked(14));
        assert!(told_at(still, 10 * S));
        assert!(!told_at(still, 100 * S), "nothing new");
        assert!(told_at(still, 3_610 * S), "an hour has gone");
        let mut moved = still;
        moved.since_mono_ns = 3_620 * S;
        assert!(!told_at(moved, 3_630 * S), "too soon");
        assert!(told_at(moved, 3_670 * S));
    }

    #[test]
    fn one_that_never_ran_has_no_number_and_waits_for_it() {
        let mut ledger = Ledger::default();
        let newborn = GoroutineTimes { goid: None, ..goroutine(0, State::Runnable) };
        assert_eq!(ledger.living(id(1, 0), newborn, S, None), None);
        assert!(ledger.living(id(1, 0), goroutine(0, State::Running), 2 * S, None).is_some());
    }

    #[test]
    fn one_that_is_gone_without_a_record_is_counted_in_the_end() {
        let mut ledger = Ledger::default();
        ledger.living(id(1, 0), goroutine(0, State::Running), S, None);
        for _ in 0..MISSING_LOOKS + 1 {
            assert_eq!(ledger.lost_ends, 0);
            ledger.all_read();
        }
        assert_eq!(ledger.lost_ends, 1);
        ledger.living(id(2, 0), goroutine(0, State::Running), S, None);
        for _ in 0..9 {
            ledger.unread(id(2, 0));
            ledger.all_read();
        }
        assert_eq!(ledger.lost_ends, 1, "it could not be read, but lives");
    }

    #[test]
    fn what_its_process_takes_along_ends_with_it() {
        let mut ledger = Ledger::default();
        ledger.living(id(1, 0), goroutine(0, State::Blocked(14)), 10, None);
        let told = ledger.taken_along(id(1, 0), goroutine(0, State::Blocked(14)), 30);
        assert_eq!((told.fate, told.at_mono_ns, told.times.blocked_ns[0]), (Fate::ProcessEnded, 30, 30));
        let sum = ledger.take_sum(9, 30).unwrap();
        assert_eq!((sum.growth.blocked, sum.ended), (vec![(14, 1, 30)], 1));
    }

    #[test]
    fn short_lives_count_as_they_grow() {
        let mut ledger = Ledger::default();
        let mut sum = ShortLives { goroutines: 3, runs: 3, ..ShortLives::NONE };
        sum.state_ns[0] = 70;
        sum.blocked_ns[14] = 20;
        sum.blocked_count[14] = 2;
        ledger.short_lives(9, &sum, 100);
        ledger.short_lives(9, &sum, 110);
        sum.goroutines = 4;
        sum.state_ns[0] = 75;
        ledger.short_lives(9, &sum, 120);
        let told = ledger.take_sum(9, 130).unwrap();
        assert_eq!((told.started, told.ended, told.growth.state_ns[0], told.growth.runs), (4, 4, 75, 3));
        assert_eq!(told.growth.blocked, [(14, 2, 20)]);
    }
}
