//! Names addresses that no agent could name, from executables that people handed in: those in the store, and those that come later.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use syncline_gosym::GoBinary;
use syncline_store::{ADDRESSES_AT_ONCE, Names, Store, StoreError};

use crate::stopping::Stopping;

/// How often it looks whether there are some.
const EVERY: Duration = Duration::from_secs(30);
/// Addresses remembered as of no Go function, so that the executable is not read for them again.
const MOST_NAMELESS: usize = 1 << 20;

/// Looks for them until `stopping`. Several aggregators of a store may do so: what each of them writes is the same.
pub(crate) async fn name(store: Store, stopping: Stopping) {
    let mut namer = Namer { store, nameless: HashSet::new(), failing: HashSet::new() };
    let naming = async {
        let mut ticks = tokio::time::interval(EVERY);
        loop {
            ticks.tick().await;
            if let Err(error) = namer.round().await {
                tracing::debug!(%error, "addresses without names were not looked for");
            }
        }
    };
    tokio::select! {
        () = naming => (),
        () = stopping.wanted() => (),
    }
}

struct Namer {
    store: Store,
    nameless: HashSet<(u64, u64)>,
    /// Builds whose addresses could not be named, and of which that was said.
    failing: HashSet<u64>,
}

impl Namer {
    async fn round(&mut self) -> Result<(), StoreError> {
        for (build_id, pcs) in self.store.unnamed_addresses_of_kept().await? {
            match self.name_build(build_id, pcs).await {
                Ok(()) => drop(self.failing.remove(&build_id)),
                // The others are named all the same.
                Err(error) => self.tell_failure(build_id, &error),
            }
        }
        Ok(())
    }

    /// Names the addresses of a build, of which `pcs` are the first.
    async fn name_build(&mut self, build_id: u64, mut pcs: Vec<u64>) -> Result<(), StoreError> {
        let mut binary = None;
        loop {
            let last = pcs.last().copied().filter(|_| pcs.len() >= ADDRESSES_AT_ONCE);
            pcs.retain(|pc| !self.nameless.contains(&(build_id, *pc)));
            if !pcs.is_empty() {
                if binary.is_none() {
                    binary = self.store.kept_binary(build_id).await?.map(Arc::new);
                }
                // While it is handed in it is not whole, and nothing is known of the addresses.
                let Some(bytes) = &binary else { return Ok(()) };
                self.name_those(build_id, Arc::clone(bytes), &pcs).await?;
            }
            if last.is_none() {
                return Ok(());
            }
            pcs = self.store.unnamed_addresses(build_id, last).await?;
        }
    }

    async fn name_those(&mut self, build_id: u64, bytes: Arc<Vec<u8>>, pcs: &[u64]) -> Result<(), StoreError> {
        let wanted = pcs.to_vec();
        // It takes a second for many addresses, and whatever a damaged file makes it take.
        let looked_up = tokio::task::spawn_blocking(move || names(build_id, &bytes, &wanted)).await;
        let names = looked_up.ok().flatten();
        let named = names.as_ref().map_or(0, Names::addresses);
        // What has a name is asked for again once the store has lost it.
        self.remember(build_id, names.as_ref().map_or(pcs, Names::nameless));
        if let Some(names) = names {
            self.store.name_addresses(names).await?;
        }
        tracing::info!(
            build = format!("{build_id:016x}"),
            named,
            of = pcs.len(),
            "addresses named from an uploaded binary"
        );
        Ok(())
    }

    fn remember(&mut self, build_id: u64, nameless: &[u64]) {
        if self.nameless.len() + nameless.len() > MOST_NAMELESS {
            self.nameless.clear();
        }
        self.nameless.extend(nameless.iter().map(|pc| (build_id, *pc)));
    }

    /// Once, until they can be named.
    fn tell_failure(&mut self, build_id: u64, error: &StoreError) {
        let build = format!("{build_id:016x}");
        if self.failing.insert(build_id) {
            tracing::warn!(
                %error, build,
                "addresses of a build cannot be named from its uploaded binary; trying again each {} s, and naming those of other builds",
                EVERY.as_secs()
            );
        } else {
            tracing::debug!(%error, build, "addresses of a build can still not be named");
        }
    }
}

/// None if the file is not of this build.
fn names(build_id: u64, bytes: &[u8], pcs: &[u64]) -> Option<Names> {
    let binary = GoBinary::parse(bytes).ok().filter(|binary| binary.build_id() == build_id)?;
    Some(Names::of(build_id, &binary, pcs))
}
