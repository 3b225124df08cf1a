//! Clock probes over UDP: the answering side.
//!
//! ```text
//! OpenSession (gRPC) ─► Grants     session and key, made from the master key
//! packets ─► Sessions ─► Server    code, number and rate checked; T2, T3 on REF; a follow-up with the kernel's T3
//! ```
//!
//! Keys are made from one that is kept in the state directory, so that sessions outlive a restart. What is wrong with a
//! packet is counted, and it is not answered.

mod grants;
mod server;
mod sessions;

pub use grants::{Grants, MasterKeyError, open_master_key};
pub use server::{Server, spawn};
