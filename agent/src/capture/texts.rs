//! Texts that are kept for as long as the agent runs: reasons of waits in Go versions that are not known.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::UNKNOWN_REASON;

/// Many more, and much longer, than Go has; what a program claims beyond is not kept.
const MOST: usize = 1024;
const LONGEST: usize = 64;

static KEPT: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

/// The text; [`UNKNOWN_REASON`] in its place where it is not one of a known version, and there are too many, or it is too long.
pub(super) fn kept(text: &str) -> &'static str {
    if let Some(known) = syncline_gosym::known_wait_reason(text) {
        return known;
    }
    let mut all = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = all.get(text) {
        return known;
    }
    if text.len() > LONGEST || all.len() >= MOST {
        return UNKNOWN_REASON;
    }
    let text: &'static str = Box::leak(text.into());
    all.insert(text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_once() {
        let (one, other) = (kept("a reason"), kept(["a", "reason"].join(" ").as_str()));
        assert!(std::ptr::eq(one, other));
        assert_eq!(kept(&"x".repeat(LONGEST + 1)), UNKNOWN_REASON);
    }
}
