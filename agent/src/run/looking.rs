//! What each reading of the clocks is followed by: whether they were disrupted since the last one, and who is told.

use std::sync::mpsc::{SyncSender, TrySendError};

use syncline_event::ClockDisruption;
use syncline_timebase::{Instant, Knot, Mono, Span};

use super::batching::Input;
use super::hints::HintSender;
use crate::clock::{Clocks, DisruptionWatch, VmClock};

/// The log tells of one disruption in so long.
const LOGGED_EVERY: Span = Span::from_s(10);
/// A marker that cannot be read for so long is not waited for.
const UNREAD: Span = Span::from_s(1);

/// What one look at the clocks brings.
pub(super) struct Look {
    /// The clocks before the hypervisor's marker was read.
    pub(super) knot: Knot,
    /// And after it, where it was another one.
    pub(super) after: Option<Knot>,
    /// Disruptions that were noticed and not told yet.
    pub(super) noticed: Vec<ClockDisruption>,
    /// All that happened until then was noticed, as far as the marker tells. None where there is no marker.
    pub(super) looked: Option<Instant<Mono>>,
}

/// Looks at the clocks and, where there is one, at the hypervisor's marker.
pub(super) struct Looking {
    clocks: Clocks,
    watch: DisruptionWatch,
    vm_clock: Option<VmClock>,
    /// What the channel had no room for.
    untold: Vec<ClockDisruption>,
    logged: Option<Instant<Mono>>,
    out: SyncSender<Input>,
    hints: HintSender,
}

impl Looking {
    pub(super) fn new(clocks: Clocks, vm_clock: Option<VmClock>, out: SyncSender<Input>, hints: HintSender) -> Self {
        let (watch, untold) = (DisruptionWatch::default(), Vec::new());
        Self { clocks, watch, vm_clock, untold, logged: None, out, hints }
    }

    /// Takes the next knot, right after it was read.
    pub(super) fn take(&mut self, knot: Knot) {
        let (clocks, mut after) = (self.clocks, None);
        let read_again = || after.insert(clocks.knot()).mono;
        let told = self.vm_clock.as_mut().and_then(|vm_clock| vm_clock.disruption(knot.mono, read_again));
        if self.watch.observe(&knot, told.is_some()) {
            self.log(knot.mono);
            self.hints.disrupted();
        }
        if let Some(told) = told {
            told.add_to(&mut self.untold);
        }
        let looked = self.vm_clock.as_ref().map(|vm_clock| vm_clock.looked().max(Some(knot.mono - UNREAD)));
        let noticed = std::mem::take(&mut self.untold);
        self.tell(Look { knot, after, noticed, looked: looked.flatten() });
    }

    /// A look that finds the channel full is left out, and what it noticed goes with the next one, which comes in 100 ms.
    fn tell(&mut self, look: Look) {
        if let Err(TrySendError::Full(Input::Look(look))) = self.out.try_send(Input::Look(look)) {
            self.untold = look.noticed;
        }
    }

    fn log(&mut self, now: Instant<Mono>) {
        if self.logged.is_none_or(|logged| now - logged > LOGGED_EVERY) {
            self.logged = Some(now);
            tracing::warn!("this machine was stopped or moved, or its clocks jumped: probing faster for a while");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::write;
    use std::sync::mpsc::{Receiver, sync_channel};

    use tempfile::NamedTempFile;

    use super::*;
    use crate::clock::vm_clock_page;

    /// Looks at a page in a file, whose marker is 7.
    fn looking(room: usize) -> (Looking, NamedTempFile, Receiver<Input>, HintSender) {
        let (page, (out, inputs), hints) = (NamedTempFile::new().unwrap(), sync_channel(room), HintSender::default());
        write(page.path(), vm_clock_page(2, 7)).unwrap();
        let clocks = Clocks::default();
        let vm_clock = VmClock::open(page.path(), clocks.mono()).unwrap();
        (Looking::new(clocks, Some(vm_clock), out, hints.clone()), page, inputs, hints)
    }

    fn looks(inputs: &Receiver<Input>) -> Vec<Look> {
        let look = |input| match input {
            Input::Look(look) => look,
            _ => panic!("no look"),
        };
        inputs.try_iter().map(look).collect()
    }

    #[test]
    fn what_the_hypervisor_says_is_told_with_the_knots_around_it() {
        let (mut looking, page, inputs, hints) = looking(8);
        let hints = hints.receiver();
        let first = looking.clocks.knot();
        looking.take(first);
        write(page.path(), vm_clock_page(4, 8)).unwrap();
        let second = looking.clocks.knot();
        looking.take(second);
        let [before, look]: [Look; 2] = looks(&inputs).try_into().ok().unwrap();
        assert!(before.after.is_none() && before.noticed.is_empty());
        assert_eq!((look.knot, look.looked), (second, Some(second.mono)));
        let after = look.after.unwrap().mono;
        assert!(after > second.mono);
        assert_eq!(look.noticed.iter().map(|one| (one.since, one.until)).collect::<Vec<_>>(), [(first.mono, after)]);
        assert_eq!(hints.borrow().disruptions, 1);
    }

    #[test]
    fn what_finds_no_room_is_told_with_the_next_look() {
        let (mut looking, page, inputs, _) = looking(1);
        let take = |looking: &mut Looking| looking.take(looking.clocks.knot());
        let noticed = || looks(&inputs).iter().map(|look| look.noticed.len()).collect::<Vec<_>>();
        take(&mut looking);
        write(page.path(), vm_clock_page(4, 8)).unwrap();
        take(&mut looking);
        assert_eq!(noticed(), [0], "of before");
        take(&mut looking);
        assert_eq!(noticed(), [1]);
        take(&mut looking);
        assert_eq!(noticed(), [0]);
    }

    #[test]
    fn a_marker_that_cannot_be_read_is_no_look_and_is_waited_for_no_longer_than_a_second() {
        let (mut looking, page, inputs, _) = looking(8);
        let first = looking.clocks.knot();
        let later = |ms| Knot { mono: first.mono + Span::from_ms(ms), ..first };
        looking.take(first);
        write(page.path(), vm_clock_page(3, 8)).unwrap();
        [100, 200, 3_000].into_iter().for_each(|ms| looking.take(later(ms)));
        let looked: Vec<_> = looks(&inputs).iter().map(|look| look.looked.unwrap()).collect();
        assert_eq!(looked, [first.mono, first.mono, first.mono, later(2_000).mono]);
    }
}
