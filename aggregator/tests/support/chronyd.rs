//! A chronyd that claims that this machine's wall clock is right.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use syncline_claims::Chrony;

use super::eventually;
#[path = "../../../crates/claims/tests/support/chronyd.rs"]
mod real;

#[allow(unused_imports, reason = "each test file uses its part")]
pub(crate) use real::{Daemon, is_here};

/// Starts it, and waits until it answers.
pub(crate) async fn that_claims(dir: &Path) -> (Daemon, SocketAddr) {
    let (daemon, address) = real::start(dir, "local stratum 10");
    let answers = async || Chrony::at(address).ask(Duration::from_millis(100)).is_ok_and(|claim| claim.is_some());
    eventually("chronyd answers", answers).await;
    (daemon, address)
}
