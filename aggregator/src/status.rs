//! `syncline-aggregator status`.

use std::io::Write;
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::Context as _;
use syncline_aggregator::cli::StatusArgs;
use syncline_aggregator::ingest::waiting::Said;
use syncline_store::{Health, Location, MigrationPlan, OpenOptions, OpenStore, Role, StoreError, open};

/// Fails where there is something to do.
pub(crate) async fn run(args: &StatusArgs) -> anyhow::Result<()> {
    let location = args.store.existing()?;
    let spool = spool(args, &location);
    let said = match &spool {
        Some(dir) => {
            Said::read(dir).with_context(|| format!("what waits in the spool {} cannot be read", dir.display()))?
        }
        None => None,
    };
    if let (Some(dir), None) = (&args.spool, &said) {
        anyhow::bail!("no aggregator has a spool at {} (--spool)", dir.display());
    }
    let options = OpenOptions { database: args.store.database.clone(), role: Role::Reader, ..OpenOptions::default() };
    let store = open(&location, &options).await?;
    let outcome = look(&store).await;
    let url = store.shown_url().to_owned();
    store.close().await?;
    let (plan, health) = outcome?;
    let mut out = std::io::stdout().lock();
    let newest = plan.from.max(plan.to);
    writeln!(out, "store {url}\nschema version={} newest={newest}\nclickhouse {health}", plan.from)?;
    let mut concerns = health.concerns();
    if let (Some(dir), Some(said)) = (&spool, said) {
        let now = SystemTime::now();
        writeln!(out, "spool {} {}", dir.display(), said.shown(now))?;
        concerns.extend(said.concern(now));
    }
    if plan.from < plan.to {
        concerns.push("the schema is of an older version: syncline-aggregator migrate brings it up to date".to_owned());
    }
    anyhow::ensure!(concerns.is_empty(), "{}", concerns.join("; "));
    Ok(())
}

/// The spool that is to be looked at: that of a server's aggregators may be anywhere.
fn spool(args: &StatusArgs, location: &Location) -> Option<PathBuf> {
    let beside_the_store = match location {
        Location::Embedded(dir) => Some(dir.join("spool")),
        Location::Url(_) => None,
    };
    args.spool.clone().or(beside_the_store)
}

async fn look(store: &OpenStore) -> anyhow::Result<(MigrationPlan, Health)> {
    let plan = store.plan().await?;
    if plan.from == 0 {
        return Err(StoreError::SchemaMissing { database: store.database().to_owned() }.into());
    }
    Ok((plan, store.health().await?))
}
