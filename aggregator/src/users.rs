//! `syncline-aggregator users`.

use std::io::Write;

use syncline_store::{ReaderLimits, Users, new_password};

use syncline_aggregator::cli::UsersArgs;

pub(crate) fn run(args: &UsersArgs) -> anyhow::Result<()> {
    let memory_bytes = u64::from(args.reader_memory_mib) << 20;
    let users = Users {
        database: args.database.clone(),
        cluster: args.cluster.clone(),
        writer_networks: args.writer_from.clone(),
        reader_networks: args.reader_from.clone(),
        writer_password: new_password()?,
        reader_password: new_password()?,
        limits: ReaderLimits::with_memory(memory_bytes, 2 * memory_bytes),
    };
    let [writer, reader] = users.urls("HOST:8123");
    let mut out = std::io::stdout().lock();
    writeln!(out, "-- Holds passwords. Apply it as an administrator: clickhouse-client --multiquery < users.sql")?;
    writeln!(out, "-- For aggregators: SYNCLINE_URL={writer}")?;
    writeln!(out, "-- For people and tools: SYNCLINE_URL={reader}")?;
    for statement in users.statements() {
        writeln!(out, "{statement};")?;
    }
    Ok(())
}
