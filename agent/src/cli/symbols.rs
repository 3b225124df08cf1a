//! Options of the cache of symbols.

use std::path::PathBuf;

use clap::Args;

use super::within;
use crate::run::SymbolsConfig;
use crate::units;

/// Where symbols are kept unless told otherwise.
const DEFAULT_DIRECTORY: &str = "/var/cache/syncline/symbols";

/// Options of the cache of symbols.
#[derive(Args, Debug)]
pub(super) struct SymbolsArgs {
    /// Directory in which the names of functions that were looked up in programs are kept, a file for each build; agents may share
    /// it; `none` for none
    #[arg(long, value_name = "DIRECTORY", default_value = DEFAULT_DIRECTORY)]
    symbol_cache: PathBuf,
    /// Most disk for it; beyond it the builds go that were not used for longest
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = bytes)]
    symbol_cache_bytes: u64,
}

impl SymbolsArgs {
    /// The cache; None where there is to be none.
    pub(super) fn config(self) -> Option<SymbolsConfig> {
        let config = SymbolsConfig { path: self.symbol_cache, most_bytes: self.symbol_cache_bytes };
        Some(config).filter(|config| config.path.as_os_str() != "none")
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    within(units::bytes(text)?, &((1 << 20)..=(64 << 30)), "1MiB to 64GiB")
}
