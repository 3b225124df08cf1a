//! `cargo xtask demo`.

use anyhow::{Result, bail};
use clap::Args;

#[derive(Args)]
pub(crate) struct Options {
    /// check
    #[arg(long)]
    pub(crate) check: bool,
    #[arg(long)]
    pub(crate) live: bool,
}
impl Options {
    pub(crate) fn checked(live: bool) -> Self {
        Self { check: true, live }
    }
}
pub(crate) fn run(_: &Options) -> Result<()> {
    bail!("not yet")
}
