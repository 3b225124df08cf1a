//! What the kernel and chrony claim of this node's wall clock, asked now and then.

use std::time::Duration;

use syncline_claims::{Chrony, UtcClaim, ask_until, kernel};
use syncline_event::{ClaimSource, ClockClaim};
use tokio::sync::watch;

use super::Clocks;

/// A daemon on this machine answers at once.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks both until `stop` says so, and gives what they say to `sink`. Blocks: wants a thread of its own. One that is not
/// there, or that may not be asked, says nothing.
pub fn ask_for_claims(clocks: Clocks, chrony: Chrony, stop: &watch::Receiver<bool>, mut sink: impl FnMut(ClockClaim)) {
    ask_until(
        || *stop.borrow(),
        || {
            let mut claimed = |source, said: Option<UtcClaim>| {
                let utc_minus_wall_ns = said.map(|claim| (claim.utc_minus_wall_ns, claim.bound_ns));
                sink(ClockClaim { source, at: clocks.mono(), utc_minus_wall_ns });
            };
            match kernel() {
                Ok(said) => claimed(ClaimSource::Kernel, said),
                Err(error) => tracing::debug!(%error, "the kernel does not say what it claims of the clock"),
            }
            match chrony.ask(PATIENCE) {
                Ok(said) => claimed(ClaimSource::Chrony, said),
                Err(error) => tracing::debug!(%error, "no claim of chrony"),
            }
        },
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_asked_at_once_and_a_missing_chrony_says_nothing() {
        let (stop, stopped) = watch::channel(false);
        let nobody = Chrony::at("127.0.0.1:1".parse().unwrap());
        let mut claims = Vec::new();
        ask_for_claims(Clocks::default(), nobody, &stopped, |claim| {
            claims.push(claim);
            stop.send_replace(true);
        });
        assert_eq!(claims.iter().map(|claim| claim.source).collect::<Vec<_>>(), [ClaimSource::Kernel]);
    }
}
