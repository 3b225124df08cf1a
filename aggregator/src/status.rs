//! `syncline-aggregator status`.

use std::io::Write;

use syncline_store::{Health, MigrationPlan, OpenOptions, OpenStore, Role, open};

use syncline_aggregator::cli::StatusArgs;

/// Fails where there is something to do.
pub(crate) async fn run(args: &StatusArgs) -> anyhow::Result<()> {
    let location = args.store.existing()?;
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
    if plan.from < plan.to {
        concerns.push("the schema is of an older version: syncline-aggregator migrate brings it up to date".to_owned());
    }
    anyhow::ensure!(concerns.is_empty(), "{}", concerns.join("; "));
    Ok(())
}

async fn look(store: &OpenStore) -> anyhow::Result<(MigrationPlan, Health)> {
    Ok((store.plan().await?, store.health().await?))
}
