//! `cargo xtask verify`: claims that are too large for a test, held against what others say.

mod ledger;
mod spool;
mod symbols;

use anyhow::Result;
use clap::Subcommand;

/// What can be verified.
#[derive(Subcommand)]
pub(crate) enum Claim {
    /// That captured = stored + lost by cause, with an agent that is overwhelmed
    Ledger(ledger::Options),
    /// That the spool loses nothing in crashes, and no more than was hit by damage
    Spool(spool::Options),
    /// The symbols of each byte of large Go programs, against their own runtimes and against go tool addr2line
    Symbols(symbols::Options),
}

/// # Errors
/// When it does not hold, or something cannot be built or started.
pub(crate) fn run(claim: &Claim) -> Result<()> {
    match claim {
        Claim::Ledger(options) => ledger::run(options),
        Claim::Spool(options) => spool::run(options),
        Claim::Symbols(options) => symbols::run(options),
    }
}
