//! Options of a program, from four places:
//!
//! ```text
//! command line > environment > file (TOML) > default
//! ```
//!
//! The command line is the only one that is written down by hand, with clap: [`Options`] derives the keys of the file
//! (`--probe-interval` is `probe_interval`), the variables (`SYNCLINE_AGENT_PROBE_INTERVAL`) and the table of the documentation from it, so a value
//! means the same and is checked by the same code wherever it stands. What is no option (tables of a file) is read by serde from the same [`Document`].
//!
//! A [`Problem`] says what is wrong where, with the line and a caret under it.

mod below;
mod document;
mod given;
mod hidden;
mod nearest;
mod options;
mod problem;
mod reference;
mod secret;
mod tables;
pub mod units;
mod values;
mod variables;
mod words;

pub use below::{Below, Kind};
pub use document::{Document, MOST_BYTES};
pub use given::Given;
pub use hidden::Secret;
pub use options::Options;
pub use problem::{EX_CONFIG, Problem};
pub use values::{DurationText, PercentText, PpmText};
