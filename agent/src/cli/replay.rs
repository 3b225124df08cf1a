//! Options of `replay`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::DEFAULT_AGGREGATOR;
use crate::endpoint::Aggregator;
use crate::replay::ReplayConfig;
use crate::units;

/// Options of `replay`.
#[derive(Args, Debug)]
pub struct ReplayArgs {
    /// The recording
    file: PathBuf,
    /// Where to send it: an aggregator of the region in which it was made
    #[arg(long, env = "SYNCLINE_AGGREGATOR", value_name = "URL", default_value = DEFAULT_AGGREGATOR)]
    aggregator: Aggregator,
    /// Give up when no batch is taken for this long
    #[arg(long, value_name = "DURATION", default_value = "10s", allow_hyphen_values = true, value_parser = units::duration)]
    patience: Duration,
}

impl ReplayArgs {
    /// The settings of the replay.
    pub fn config(self) -> ReplayConfig {
        ReplayConfig { file: self.file, aggregator: self.aggregator, patience: self.patience }
    }
}
