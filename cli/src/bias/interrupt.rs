//! Ctrl-C, SIGTERM and a terminal that goes away: whatever is waited for ends, and with it, by its owners, all that was started and written for the moment.

use std::os::fd::OwnedFd;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use rustix::event::{EventfdFlags, eventfd};
use tokio::signal::unix::{SignalKind, signal};

/// Readable once we were interrupted.
static INTERRUPTED: OnceLock<OwnedFd> = OnceLock::new();

/// From now on signals that end a program are told by [`descriptor`]. Wants the async runtime.
///
/// # Errors
/// If the system refuses.
pub(super) fn listen() -> Result<()> {
    let descriptor = eventfd(0, EventfdFlags::CLOEXEC).context("no eventfd")?;
    let descriptor = INTERRUPTED.get_or_init(|| descriptor);
    let listen = |kind| signal(kind).context("the system refused a signal handler");
    let (mut interrupt, mut terminate, mut hangup) =
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?, listen(SignalKind::hangup())?);
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
        // It fails only where the counter is full.
        let _ = rustix::io::write(descriptor, &1_u64.to_ne_bytes());
    });
    Ok(())
}

/// Readable once we were interrupted; none where nobody listens.
pub(super) fn descriptor() -> Option<&'static OwnedFd> {
    INTERRUPTED.get()
}
