//! When a webhook is posted to again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::webhook::Word;
use super::{LONGEST_PAUSE, pause};

/// Failures, of words and of the target as a whole.
///
/// A word that fails waits, ever longer, and holds up none behind it. Where the target says when to come again, or several words on end fail, it
/// is the target that is in trouble: all of them wait. As those that failed least come first, no word holds up the others for ever.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    words: BTreeMap<Word, Failures>,
    /// Those that failed since an answer last was one.
    on_end: BTreeSet<Word>,
    /// Of all words.
    not_before: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    not_before: Instant,
}

impl Backoff {
    /// Forgets words that there is no need to tell any more.
    pub(super) fn retain(&mut self, is_due: impl Fn(Word) -> bool) {
        self.words.retain(|word, _| is_due(*word));
        self.on_end.retain(|word| is_due(*word));
    }

    /// How often a word has failed.
    pub(super) fn failures(&self, word: Word) -> u32 {
        self.words.get(&word).map_or(0, |failures| failures.count)
    }

    /// Whether a word has to wait.
    pub(super) fn waits(&self, word: Word, now: Instant) -> bool {
        let of_word = self.words.get(&word).map(|failures| failures.not_before);
        of_word.max(self.not_before).is_some_and(|not_before| now < not_before)
    }

    /// A word has failed; `after` is when the target wants to be asked again. How often it has, by now.
    pub(super) fn failed(&mut self, word: Word, after: Option<Duration>, now: Instant) -> u32 {
        let count = self.failures(word) + 1;
        let until = |wait: Duration| now + wait.min(LONGEST_PAUSE);
        self.words.insert(word, Failures { count, not_before: until(after.unwrap_or_else(|| pause(count))) });
        self.on_end.insert(word);
        let others = u32::try_from(self.on_end.len() - 1).unwrap_or(u32::MAX);
        let of_target = after.or_else(|| (others > 0).then(|| pause(others)));
        self.not_before = self.not_before.max(of_target.map(until));
        count
    }

    /// The target took a word, or will never take it: it is there.
    pub(super) fn answered(&mut self) {
        self.on_end.clear();
        self.not_before = None;
    }

    /// A word is done with. How often it had failed.
    pub(super) fn done(&mut self, word: Word) -> u32 {
        self.words.remove(&word).map_or(0, |failures| failures.count)
    }

    /// When something that failed may be tried again.
    pub(super) fn next(&self) -> Option<Instant> {
        let first = self.words.values().map(|failures| failures.not_before).min()?;
        Some(self.not_before.map_or(first, |not_before| not_before.max(first)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Word = (1, false);
    const B: Word = (2, false);

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn a_word_that_fails_waits_alone() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        for (count, wait) in [(1, 1), (2, 2), (3, 4)] {
            assert_eq!(backoff.failed(A, None, now), count);
            assert!(backoff.waits(A, now) && !backoff.waits(A, now + seconds(wait)) && !backoff.waits(B, now));
            assert_eq!(backoff.next(), Some(now + seconds(wait)));
        }
    }

    #[test]
    fn what_the_target_says_is_of_all_words_until_it_answers() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        backoff.failed(A, Some(seconds(30)), now);
        assert!(backoff.waits(B, now + seconds(29)) && !backoff.waits(B, now + seconds(30)));
        // Another failure takes nothing back.
        backoff.failed(A, None, now);
        assert!(backoff.waits(B, now + seconds(29)));
        assert_eq!(backoff.next(), Some(now + seconds(30)), "not before all may");
        backoff.answered();
        assert!(!backoff.waits(B, now) && backoff.waits(A, now));
        backoff.failed(A, Some(seconds(3_600)), now);
        assert!(!backoff.waits(B, now + LONGEST_PAUSE), "but no longer than any");
    }

    #[test]
    fn several_words_that_fail_on_end_hold_up_all_and_one_that_is_taken_none() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        for (word, wait) in [(2, 1), (3, 2), (4, 4)] {
            backoff.failed(A, None, now);
            backoff.failed((word, false), None, now);
            assert!(backoff.waits((9, false), now) && !backoff.waits((9, false), now + seconds(wait)));
        }
        backoff.answered();
        assert!(!backoff.waits((9, false), now));
        assert_eq!((backoff.done(B), backoff.done(B)), (1, 0));
        backoff.retain(|word| word == A);
        assert_eq!((backoff.failures(A), backoff.failures((3, false))), (3, 0));
    }
}
