//! Looks at processes, none of which can keep us waiting for long: a program may withhold the pages of its memory (userfaultfd, a
//! file of a file system that does not answer), and its connections may be many.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::look::{Look, unlooked_at};
use crate::capture::found::Found;
use crate::capture::process::{ObservedProcess, mono_ns};
use crate::capture::wait::RawWait;
use crate::patience::{self, Patience, Unfinished};

/// How long a look at a process may keep us waiting.
const LONGEST: Duration = Duration::from_millis(500);

/// A wait, and of one in a system call the address of the thread's `runtime.m`.
pub(super) type Due = (Found, Option<u64>);

/// What was found out of a wait; None if it is not what its map says (any more).
type Seen = Option<RawWait>;

/// Looks at processes.
#[derive(Debug, Default)]
pub(super) struct Looks {
    patience: Patience,
    /// By pid the looks that have not come back.
    under_way: HashMap<u32, Weak<()>>,
}

impl Looks {
    /// What is known of each of these waits of a process by now: where it does not answer, or others keep us waiting, what the map
    /// alone tells.
    pub(super) fn at(&mut self, process: &ObservedProcess, due: &[Due], max_stack: usize) -> Vec<(Found, RawWait)> {
        self.under_way.retain(|_, look| look.strong_count() > 0);
        let work = due.to_vec();
        let subject = process.clone();
        let seen = self.patiently(process.pid, LONGEST, move |found| {
            let mut look = Look::at(&subject, max_stack);
            for (wait, m) in work {
                let seen = look.at_wait(&wait, m, mono_ns());
                found.lock().push(seen);
            }
        });
        let unseen = due.iter().skip(seen.len()).map(|(found, _)| unlooked_at(found, process));
        let all = seen.into_iter().chain(unseen);
        due.iter().zip(all).filter_map(|((found, _), seen)| Some((*found, seen?))).collect()
    }

    /// As many of the waits as were looked at in time, in order.
    fn patiently(
        &mut self,
        pid: u32,
        longest: Duration,
        look: impl FnOnce(&patience::Found<Vec<Seen>>) + Send + 'static,
    ) -> Vec<Seen> {
        if self.under_way.contains_key(&pid) {
            return Vec::new();
        }
        let is_under_way = Arc::new(());
        self.under_way.insert(pid, Arc::downgrade(&is_under_way));
        let (seen, unfinished) = self.patience.wait_for(longest, move |found| {
            let _is_under_way = is_under_way;
            look(found);
        });
        if unfinished == Some(Unfinished::Stuck) {
            tracing::warn!(
                pid,
                "its memory does not answer: goroutines that are stuck in it are told of without a stack"
            );
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_process_that_does_not_answer_is_not_asked_again_until_it_does() {
        let mut looks = Looks::default();
        let (release, released) = channel::<()>();
        let hanging = looks.patiently(7, Duration::from_millis(10), move |found| {
            found.lock().push(None);
            let _ = released.recv();
        });
        assert_eq!(hanging, [None], "what was found by then counts");
        let mut ask = |pid| {
            looks.under_way.retain(|_, look| look.strong_count() > 0);
            looks.patiently(pid, Duration::from_secs(60), |found| found.lock().extend([None, None])).len()
        };
        assert_eq!((ask(7), ask(8)), (0, 2), "others are");
        drop(release);
        while ask(7) == 0 {
            std::thread::yield_now();
        }
    }
}
