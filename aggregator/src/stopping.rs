//! The wish to stop, told to everyone at once.

use tokio::sync::watch;

/// Tells all [`Stopping`]s. Dropping it tells them too.
#[derive(Debug)]
pub struct Stop(watch::Sender<bool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.now();
    }
}

/// Learns when to stop.
#[derive(Clone, Debug)]
pub struct Stopping(watch::Receiver<bool>);

/// A pair of the two.
pub fn stop() -> (Stop, Stopping) {
    let (sender, receiver) = watch::channel(false);
    (Stop(sender), Stopping(receiver))
}

impl Stop {
    /// Everyone: stop.
    pub fn now(&self) {
        self.0.send_replace(true);
    }
}

impl Stopping {
    /// Whether to stop.
    pub fn is_wanted(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until told to stop.
    pub async fn wanted(mut self) {
        // An error means that the sender is gone, which has told it before.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn dropping_it_tells_who_looks_and_who_waits() {
        let (stop, stopping) = stop();
        assert!(!stopping.is_wanted());
        drop(stop);
        assert!(stopping.is_wanted());
        stopping.wanted().await;
    }
}
