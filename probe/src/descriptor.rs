//! A socket to be waited on.
#![allow(unsafe_code, reason = "tokio waits on descriptors that it does not own")]

use std::io;

use syncline_stamping::StampedSocket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Readable, or with something in its error queue, where departures are told.
pub(crate) const INTEREST: Interest = Interest::READABLE.add(Interest::ERROR);

/// Lets tokio wait for `socket`.
pub(crate) fn register(socket: StampedSocket) -> io::Result<AsyncFd<StampedSocket>> {
    // SAFETY: a StampedSocket owns its descriptor, gives the same one whenever asked, and closes it only when it is dropped,
    // which is after the AsyncFd that it moves into here has given the descriptor up.
    let registered = unsafe { AsyncFd::register_with_interest(socket, INTEREST) };
    registered.map_err(|error| error.into_parts().1)
}
