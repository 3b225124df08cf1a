//! The agent of a node: captures goroutine blocking with eBPF, probes the clock, ships batches.
//!
//! The way of an event through this room, one module a station:
//!
//! ```text
//! capture (kernel) -> intake (stamps through the node's clocks, metadata of processes) -> batch (seals behind a probe) -> queue (unacknowledged,
//! bounded; spooling keeps it on the disk) -> uplink (gRPC, with asking beside it: which stacks need not be told), with clock (knots) and probe (four stamps) joining at batch
//! ```
//!
//! `watch` needs none of that: capture -> sites -> a table on the terminal.

pub mod asking;
pub mod batch;
pub mod capture;
pub mod choice;
pub mod cli;
pub mod clock;
pub mod control;
pub mod endpoint;
pub mod governor;
pub mod identity;
pub mod inspect;
pub mod intake;
mod intake_states;
mod intake_tcp;
pub mod kinds;
pub mod metadata;
mod patience;
pub mod probe;
mod proc_stat;
pub mod queue;
pub mod recording;
mod regular_file;
pub mod replay;
pub mod run;
pub mod spooling;
mod station;
pub mod symbols;
mod text;
pub mod uplink;
pub mod watch;

pub use syncline_config::units;
