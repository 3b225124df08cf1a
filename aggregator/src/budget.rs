//! Bounded memory for batches: what is not granted is not read, and gRPC's flow control carries that to the sender.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

const KIB: usize = 1024;

/// Memory that batches may take, all connections together.
#[derive(Clone, Debug)]
pub struct Budget {
    kib: Arc<Semaphore>,
    total_kib: usize,
}

/// Memory granted; given back when dropped.
#[derive(Debug)]
pub struct Grant(Option<OwnedSemaphorePermit>);

impl Budget {
    /// A budget of `bytes`.
    pub fn new(bytes: usize) -> Self {
        let total_kib = (bytes / KIB).clamp(1, u32::MAX as usize);
        Self { kib: Arc::new(Semaphore::new(total_kib)), total_kib }
    }

    /// Waits for `bytes`, in order of asking. Who asks for more than there is gets all of it.
    pub async fn grant(&self, bytes: usize) -> Grant {
        let kib = u32::try_from(bytes.div_ceil(KIB).min(self.total_kib)).unwrap_or(u32::MAX);
        // Only a closed semaphore fails, and nobody closes this one.
        Grant(Arc::clone(&self.kib).acquire_many_owned(kib).await.ok())
    }
}

impl Grant {
    /// Gives back what is above `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        if let Some(permit) = &mut self.0 {
            let surplus = permit.num_permits().saturating_sub(bytes.div_ceil(KIB));
            drop(permit.split(surplus));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn what_is_given_back_can_be_granted_again() {
        let budget = Budget::new(10 * KIB);
        let mut first = budget.grant(8 * KIB).await;
        assert!(budget.grant(4 * KIB).now_or_never().is_none());
        first.shrink_to(5 * KIB + 1);
        let second = budget.grant(4 * KIB).now_or_never().expect("6 of 10 KiB are held");
        drop((first, second));
        assert!(budget.grant(1_000 * KIB).now_or_never().is_some(), "all of it is the most one can get");
    }
}
