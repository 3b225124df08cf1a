//! Waits that go on: counted with the time until now, and not twice when they end.

use std::collections::HashMap;

use syncline_event::Kind;

use crate::sites::{At, Sites};
use crate::state::StateTimes;
use crate::wait::{Wait, WaitId};

/// Waits that go on, counted at a time; each takes some hundred bytes.
const MAX_OPEN: usize = 65_536;
/// A wait that goes on is told of again when it is four times as old or an hour older, whichever comes first. One that has been
/// silent for so much longer than that has ended unseen.
const GRACE_NS: u64 = 5_000_000_000;
const HOUR_NS: u64 = 3_600_000_000_000;

/// The waits that go on.
#[derive(Clone, Debug, Default)]
pub(crate) struct OpenWaits {
    waits: HashMap<WaitId, Open>,
    /// Those that there was no room for.
    left_out: u64,
}

#[derive(Clone, Debug)]
struct Open {
    wait: Wait,
    at: At,
    told_age_ns: u64,
    /// In the sums.
    counted_ns: u64,
}

impl Sites {
    /// A wait goes on, and `wait.times` is its age: to be told again when that is four times as long, or an hour longer. Its end is told by [`add`](Self::add).
    pub fn go_on(&mut self, wait: Wait) {
        self.forget_open(&wait.id);
        let age_ns = wait.times.waited_ns();
        self.count_open(wait, age_ns, age_ns);
    }

    /// Counts those that go on up to a moment of CLOCK_MONOTONIC.
    pub fn count_until(&mut self, now_mono_ns: u64) {
        let age_of = |id: &WaitId| now_mono_ns.saturating_sub(id.start_mono_ns);
        let is_gone = |open: &Open| age_of(&open.wait.id) > silent_until(open.told_age_ns);
        self.end_where(is_gone, |_| {});
        self.sites.iter_mut().for_each(|site| {
            (site.longest_open_ns, site.longest_open_began_before) = (0, false);
        });
        let mut open = std::mem::take(&mut self.open);
        for open in open.waits.values_mut() {
            let age_ns = age_of(&open.wait.id).max(open.counted_ns);
            let more_ns = age_ns - open.counted_ns;
            open.counted_ns = age_ns;
            self.in_sums(&open.at, |sum| sum.grow_open(more_ns));
            self.note_age(open.at.site, age_ns, open.wait.began_before);
        }
        self.open = open;
    }

    /// A process has ended, and its waits with it: they lasted as long as was counted.
    pub fn end_process(&mut self, pid: u32) {
        let mut ended = Vec::new();
        self.end_where(|open| open.wait.id.pid == pid, |open| ended.push(open));
        for Open { wait, counted_ns, .. } in ended {
            self.add(&Wait { times: StateTimes::of_wait(counted_ns, None), ..wait });
        }
    }

    /// A wait that goes on, if it is known, will not end: its process did, after it had lasted so long. That wait.
    pub fn abandon(&mut self, id: &WaitId, times: StateTimes) -> Option<Wait> {
        let wait = Wait { times, ..self.open.waits.get(id)?.wait.clone() };
        self.add(&wait);
        Some(wait)
    }

    /// How many waits of this kind go on and are counted.
    #[must_use]
    pub fn open_of(&self, kind: Kind) -> usize {
        self.open.waits.keys().filter(|id| id.kind == kind).count()
    }

    /// How often a wait that goes on was left out of the sums for want of room.
    #[must_use]
    pub fn open_left_out(&self) -> u64 {
        self.open.left_out
    }

    /// Forgets all but the waits that go on.
    pub fn begin_anew(&mut self) {
        let Self { open, .. } = std::mem::take(self);
        for (_, Open { wait, told_age_ns, counted_ns, .. }) in open.waits {
            self.count_open(wait, told_age_ns, counted_ns);
        }
    }

    pub(crate) fn forget_open(&mut self, id: &WaitId) {
        if let Some(open) = self.open.waits.remove(id) {
            self.in_sums(&open.at, |sum| sum.end_open(open.counted_ns));
        }
    }

    fn count_open(&mut self, wait: Wait, told_age_ns: u64, counted_ns: u64) {
        if self.open.waits.len() >= MAX_OPEN {
            self.open.left_out = self.open.left_out.saturating_add(1);
            return;
        }
        let at = self.place(&wait);
        self.in_sums(&at, |sum| sum.begin_open(counted_ns));
        self.note_age(at.site, counted_ns, wait.began_before);
        self.open.waits.insert(wait.id, Open { wait, at, told_age_ns, counted_ns });
    }

    fn end_where(&mut self, is_over: impl Fn(&Open) -> bool, mut ended: impl FnMut(Open)) {
        let over: Vec<Open> = self.open.waits.extract_if(|_, open| is_over(open)).map(|(_, open)| open).collect();
        for open in over {
            self.in_sums(&open.at, |sum| sum.end_open(open.counted_ns));
            ended(open);
        }
    }

    fn note_age(&mut self, site: usize, age_ns: u64, began_before: bool) {
        if let Some(site) = self.sites.get_mut(site).filter(|site| age_ns >= site.longest_open_ns) {
            // Of those that were found at one moment, each may be the oldest.
            let is_as_old = age_ns == site.longest_open_ns && site.longest_open_began_before;
            site.longest_open_ns = age_ns;
            site.longest_open_began_before = began_before || is_as_old;
        }
    }
}

/// The age up to which a wait may go on that was told of at this one.
fn silent_until(told_age_ns: u64) -> u64 {
    let usual_ns = told_age_ns.saturating_mul(3).min(HOUR_NS);
    told_age_ns.saturating_add(usual_ns).saturating_add(GRACE_NS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::Site;
    use crate::sites::Order;
    use crate::sites::tests::wait;

    const STUCK: [&str; 3] = ["runtime.gopark", "main.stuck", "main.main"];
    const BEGIN: u64 = 1_000;

    /// The wait of this goroutine, which began at [`BEGIN`], at this age.
    fn at_age(goid: u64, ns: u64) -> Wait {
        let wait = wait(1, &STUCK, "chan receive", ns);
        Wait { id: WaitId { goid, start_mono_ns: BEGIN, ..wait.id }, times: StateTimes::of_wait(ns, None), ..wait }
    }

    fn site(sites: &Sites) -> &Site {
        sites.ranked(Order::Max, |_| true)[0]
    }

    /// (ended, open, time) of the site, its stack and the total, which agree.
    fn sums(sites: &Sites) -> (u64, u64, u64) {
        let of = |sum: &crate::Sum| (sum.count, sum.open, sum.times.waited_ns());
        let site = of(&site(sites).sum);
        assert_eq!((of(&sites.stacks()[0].sum), of(&sites.total(|_| true))), (site, site));
        site
    }

    #[test]
    fn a_wait_that_goes_on_is_counted_until_now_and_once_when_it_ends() {
        let mut sites = Sites::default();
        sites.go_on(at_age(1, 100));
        assert_eq!(sums(&sites), (0, 1, 100));
        sites.count_until(BEGIN + 150);
        assert_eq!((sums(&sites), site(&sites).longest_ns()), ((0, 1, 150), 150));
        sites.go_on(at_age(1, 200));
        sites.go_on(at_age(2, 120));
        assert_eq!(sums(&sites), (0, 2, 320));
        let ended = at_age(1, 230);
        sites.add(&Wait { times: StateTimes::of_wait(230, Some(30)), ..ended });
        assert_eq!(sums(&sites), (1, 1, 350));
        sites.count_until(BEGIN + 240);
        assert_eq!((sums(&sites), site(&sites).longest_open_ns), ((1, 1, 470), 240));
        sites.end_process(4_711);
        assert_eq!((sums(&sites), sites.abandon(&at_age(2, 0).id, StateTimes::default())), ((2, 0, 470), None));
    }

    #[test]
    fn the_oldest_that_began_before_it_was_found_is_longer_than_is_known() {
        let mut sites = Sites::default();
        sites.go_on(Wait { began_before: true, ..at_age(1, 100) });
        sites.go_on(at_age(2, 100));
        sites.count_until(BEGIN + 150);
        assert_eq!((site(&sites).longest_open_ns, site(&sites).longest_open_began_before), (150, true));
        sites.add(&Wait { began_before: true, ..at_age(1, 160) });
        sites.count_until(BEGIN + 170);
        assert_eq!((site(&sites).longest_open_ns, site(&sites).longest_open_began_before), (170, false));
    }

    #[test]
    fn a_wait_that_its_process_takes_with_it_keeps_what_was_seen_of_it() {
        let mut sites = Sites::default();
        sites.go_on(at_age(1, 100));
        sites.count_until(BEGIN + 250);
        let abandoned = sites.abandon(&at_age(1, 0).id, StateTimes::of_wait(240, None)).unwrap();
        assert_eq!((abandoned.stack.calls.len(), sums(&sites)), (3, (1, 0, 240)));
        assert_eq!(sites.open_of(Kind::Goroutine), 0);
    }

    #[test]
    fn what_is_not_told_of_again_has_ended_unseen() {
        let mut sites = Sites::default();
        sites.go_on(at_age(1, 100));
        sites.count_until(BEGIN + 400 + GRACE_NS);
        assert_eq!(sums(&sites), (0, 1, 400 + GRACE_NS));
        sites.count_until(BEGIN + 401 + GRACE_NS);
        assert_eq!(sums(&sites), (0, 0, 0));
        assert_eq!(silent_until(10 * HOUR_NS), 11 * HOUR_NS + GRACE_NS);
    }

    #[test]
    fn what_goes_on_stays_when_all_else_is_forgotten() {
        let mut sites = Sites::default();
        sites.add(&at_age(1, 500));
        sites.go_on(at_age(2, 100));
        sites.count_until(BEGIN + 150);
        sites.begin_anew();
        assert_eq!((sums(&sites), site(&sites).longest_ns()), ((0, 1, 150), 150));
    }

    #[test]
    fn beyond_the_limit_they_are_left_out_and_told() {
        let mut sites = Sites::default();
        (0..=MAX_OPEN as u64).for_each(|goid| sites.go_on(at_age(goid, 1)));
        assert_eq!((sums(&sites).1, sites.open_left_out()), (MAX_OPEN as u64, 1));
    }
}
