//! One place in the code where goroutines block, and what is known of the waits there.

use std::borrow::Cow;
use std::sync::Arc;

use hdrhistogram::Histogram;

use crate::call::Frame;
use crate::sum::Sum;
use crate::tally::Tally;
use crate::wait::{Wait, Waker};

/// Quantiles are right to within 1 % (two digits); the histogram of a site takes 14 KB then.
const DIGITS: u8 = 2;
/// Wakers told apart; a server has a goroutine for each request.
const MANY_WAKERS: usize = 256;
/// Places in the code that wake, told apart.
const MANY_PLACES: usize = 16;

/// One place in the code where goroutines block, for one reason.
#[derive(Clone, Debug)]
pub struct Site {
    /// The call that blocks.
    pub frame: Frame,
    /// Why, in the runtime's words.
    pub reason: Cow<'static, str>,
    /// Go's own goroutines block here, not the program's.
    pub is_of_the_runtime: bool,
    /// Its waits are parts of others that are counted: they are in no total.
    pub is_inside: bool,
    /// Its waits.
    pub sum: Sum,
    /// The longest wait that ended, ns.
    pub max_ns: u64,
    /// How long the oldest of those goes on that go on, ns.
    pub longest_open_ns: u64,
    /// That one is longer: it began before it was found going on.
    pub longest_open_began_before: bool,
    /// Who ended the waits.
    pub wakers: Tally<Waker, MANY_WAKERS>,
    /// Where in the code, as far as it is known.
    pub waker_sites: Tally<Arc<Frame>, MANY_PLACES>,
    /// None if the library refused its fixed settings, which it does not.
    durations: Option<Histogram<u32>>,
}

impl Site {
    pub(crate) fn new(frame: Frame, reason: Cow<'static, str>, is_inside: bool, is_of_the_runtime: bool) -> Self {
        Self {
            frame,
            reason,
            is_of_the_runtime,
            is_inside,
            sum: Sum::default(),
            max_ns: 0,
            longest_open_ns: 0,
            longest_open_began_before: false,
            wakers: Tally::default(),
            waker_sites: Tally::default(),
            durations: Histogram::new(DIGITS).ok(),
        }
    }

    pub(crate) fn add(&mut self, wait: &Wait) {
        let ns = wait.times.waited_ns();
        self.sum.add(&wait.times);
        self.max_ns = self.max_ns.max(ns);
        self.wakers.add(wait.waker);
        if let Some(site) = &wait.waker_site {
            self.waker_sites.add(Arc::clone(site));
        }
        if let Some(durations) = &mut self.durations {
            // It grows as needed; what even that refuses counts as the longest it holds.
            if durations.record(ns).is_err() {
                durations.saturating_record(ns);
            }
        }
    }

    /// Time of all waits, ns.
    #[must_use]
    pub fn waited_ns(&self) -> u64 {
        self.sum.times.waited_ns()
    }

    /// The longest wait, of those that ended and those that go on, ns.
    #[must_use]
    pub fn longest_ns(&self) -> u64 {
        self.max_ns.max(self.longest_open_ns)
    }

    /// The length that this share (0 to 1) of the waits that ended do not exceed, ns, to within 1 %.
    #[must_use]
    pub fn quantile_ns(&self, share: f64) -> u64 {
        let found = self.durations.as_ref().map_or(0, |durations| durations.value_at_quantile(share));
        // The histogram answers with the upper end of a bucket.
        found.min(self.max_ns)
    }

    /// Whether the place, its file or the reason contain a text, in upper or lower case.
    #[must_use]
    pub fn mentions(&self, text: &str) -> bool {
        let wanted = text.to_lowercase();
        let holds = |part: &str| part.to_lowercase().contains(&wanted);
        holds(&self.frame.text()) || holds(&self.reason)
    }
}
