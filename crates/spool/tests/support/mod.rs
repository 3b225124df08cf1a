//! What the tests have in common.

#![allow(dead_code, clippy::panic, reason = "each test uses a part, and may panic")]

pub(crate) mod arbitrary;
pub(crate) mod chance;
pub(crate) mod history;
pub(crate) mod model;

/// How much is to be looked at: what the environment variable says, else so much.
pub(crate) fn size(variable: &str, otherwise: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text}: not a whole number")),
        Err(_) => otherwise,
    }
}
