//! Alerts by rounds that are written by hand: states, causes that many have in common, silences, restarts.
#![allow(clippy::unwrap_used, reason = "a test may")]

mod apart;
mod causes;
mod explained;
mod fleet;
mod halves;
mod jumps;
mod known;
mod left_out;
mod restart;
mod states;
mod times;
