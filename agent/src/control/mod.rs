//! Speaking to a running agent: `syncline-agent set` and `show`.
//!
//! ```text
//! client ──line of JSON──> socket (0600) ──> server ──Command──> capture thread      [client, socket, server]
//!        <──line of JSON──                   <──────Outcome─────                     [protocol]
//! ```
//!
//! The capture thread takes a command when it has time, and waits for nobody: whoever speaks to the socket holds up only himself.

mod client;
mod error;
mod person;
mod protocol;
mod server;
mod socket;

pub use client::ask;
pub use error::{ControlError, SocketError};
pub use person::{told_of_change, told_of_state};
pub use protocol::{
    AsSet, Ask, BoundWaits, Governed, Outcome, Process, SetText, SettingsText, State, StateRule, VERSION,
};
pub use server::{Command, Order, Server};
