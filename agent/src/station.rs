//! Threads whose end somebody waits for.

use std::{io, thread};

use tokio::sync::oneshot;

/// Runs `work` on a thread of its own; the receiver gets its result, or fails if it panics.
///
/// # Errors
/// If the system refuses a thread.
pub(crate) fn station<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<oneshot::Receiver<T>> {
    let (done, result) = oneshot::channel();
    // Nobody may be waiting any more.
    let body = move || drop(done.send(work()));
    thread::Builder::new().name(name.to_owned()).spawn(body)?;
    Ok(result)
}
