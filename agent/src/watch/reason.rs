//! Reasons of waits as they are shown, and which of them are wanted.

use std::borrow::Cow;

use syncline_event::Kind;

use crate::capture::CALL_OF_C;

/// A reason that tells of which kind it is: system calls have names of a word.
pub(super) fn in_words(kind: Kind, reason: &'static str) -> Cow<'static, str> {
    if kind == Kind::Syscall { format!("syscall {reason}").into() } else { reason.into() }
}

/// Which reasons are wanted: all, or those that contain a text, in upper or lower case.
#[derive(Debug)]
pub(super) struct Reasons(Option<String>);

impl Reasons {
    pub(super) fn with(text: Option<&str>) -> Self {
        Self(text.map(str::to_lowercase))
    }

    pub(super) fn has(&self, reason: &str) -> bool {
        self.0.as_ref().is_none_or(|wanted| reason.to_lowercase().contains(wanted))
    }

    /// Whether calls of C are among them, of which other waits are parts.
    pub(super) fn have_calls_of_c(&self) -> bool {
        self.has(CALL_OF_C)
    }
}
