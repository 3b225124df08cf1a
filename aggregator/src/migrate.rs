//! `syncline-aggregator migrate`.

use std::io::Write;

use anyhow::Context;
use syncline_store::{ClusterStatement, OpenOptions, OpenStore, open};

use syncline_aggregator::cli::MigrateArgs;

pub(crate) async fn run(args: &MigrateArgs) -> anyhow::Result<()> {
    let location = if args.dry_run { args.store.existing()? } else { args.store.location()? };
    let options = OpenOptions { database: args.store.database.clone(), ..OpenOptions::default() };
    let store = open(&location, &options).await?;
    let outcome = if args.dry_run { tell(&store, args.cluster.as_deref()).await } else { migrate(&store).await };
    store.close().await?;
    outcome
}

async fn migrate(store: &OpenStore) -> anyhow::Result<()> {
    let report = store.migrate().await.context("cannot bring the schema up to date")?;
    let mut out = std::io::stdout().lock();
    for name in &report.applied {
        writeln!(out, "applied {name}")?;
    }
    Ok(writeln!(out, "{}: database `{}` has schema version {}", store.shown_url(), store.database(), report.to)?)
}

/// The statements, as a client takes them.
async fn tell(store: &OpenStore, cluster: Option<&str>) -> anyhow::Result<()> {
    let (plan, database) = (store.plan().await?, store.database());
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "-- {}: database `{database}` has schema version {}; steps to this program's: {}",
        store.shown_url(),
        plan.from,
        plan.steps.len()
    )?;
    let steps = match cluster {
        Some(cluster) => plan.on_cluster(database, cluster)?,
        None => plan.steps.iter().map(|(name, statements)| (*name, of(database, statements))).collect(),
    };
    let mut current = String::new();
    for (name, statements) in steps {
        writeln!(out, "\n-- {name}")?;
        for ClusterStatement { database, sql } in statements {
            // Before it is there it cannot be used.
            if !sql.starts_with("CREATE DATABASE") && current != database {
                writeln!(out, "USE `{database}`;")?;
                current = database;
            }
            writeln!(out, "{sql};")?;
        }
    }
    Ok(())
}

fn of(database: &str, statements: &[String]) -> Vec<ClusterStatement> {
    statements.iter().map(|sql| ClusterStatement { database: database.to_owned(), sql: sql.clone() }).collect()
}
