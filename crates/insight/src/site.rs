//! One place in the code where goroutines block, and what is known of the waits there.

use std::borrow::Cow;

use hdrhistogram::Histogram;

use crate::call::Frame;
use crate::state::StateTimes;
use crate::wait::Wait;
use crate::wakers::Wakers;

/// Quantiles are right to within 1 % (two digits); the histogram of a site takes 14 KB then.
const DIGITS: u8 = 2;

/// One place in the code where goroutines block, for one reason.
#[derive(Clone, Debug)]
pub struct Site {
    /// The call that blocks.
    pub frame: Frame,
    /// Why, in the runtime's words.
    pub reason: Cow<'static, str>,
    /// Go's own goroutines block here, not the program's.
    pub is_of_the_runtime: bool,
    /// Number of waits.
    pub count: u64,
    /// Time of all waits by state.
    pub times: StateTimes,
    /// The longest wait, ns.
    pub max_ns: u64,
    /// Who ended the waits.
    pub wakers: Wakers,
    /// None if the library refused its fixed settings, which it does not.
    durations: Option<Histogram<u32>>,
}

impl Site {
    pub(crate) fn new(frame: Frame, reason: Cow<'static, str>, is_of_the_runtime: bool) -> Self {
        Self {
            frame,
            reason,
            is_of_the_runtime,
            count: 0,
            times: StateTimes::default(),
            max_ns: 0,
            wakers: Wakers::default(),
            durations: Histogram::new(DIGITS).ok(),
        }
    }

    pub(crate) fn add(&mut self, wait: &Wait) {
        let ns = wait.times.waited_ns();
        self.count = self.count.saturating_add(1);
        self.times.add(&wait.times);
        self.max_ns = self.max_ns.max(ns);
        self.wakers.add(wait.waker);
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
        self.times.waited_ns()
    }

    /// The length that this share (0 to 1) of the waits do not exceed, ns, to within 1 %.
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
