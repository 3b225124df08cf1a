//! Alerts by rounds that are written by hand: states, causes that many have in common, silences, restarts.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod causes;
mod fleet;
mod known;
mod restart;
mod states;
mod times;
