//! The embedded engine: ClickHouse's own HTTP handler in a child process, on a loopback port.
//!
//! - The parent ([`parent`]) holds `syncline.lock` of the data directory for as long as it lives, starts its own executable
//!   again as the child, and publishes `endpoint.json` once the engine answers.
//! - The child ([`child`]) holds `engine.lock`, so that a new engine waits for the end of one whose parent was killed. It loads
//!   libchdb and serves until its standard input closes, which the kernel also does for a parent that dies.
//! - An engine crash does not take the parent down, and the parent's crash leaves no engine behind.
//! - The first start makes passwords: on a host with several users the loopback interface is no protection. They are in
//!   `access.json`, `endpoint.json` and `users.xml`, readable by their owner only. One user writes, another may only read, inside of limits.
//!   ClickHouse's `default` user, which libchdb needs for itself, may do nothing but open the listener.

mod access;
mod answered;
pub(crate) mod child;
mod config;
mod confine;
pub(crate) mod files;
mod library;
mod parent;

pub use access::new_password;
pub use child::run_engine_if_child;
pub use library::libchdb_path;
pub use parent::{EmbeddedConfig, EmbeddedEngine, default_max_memory_bytes};
