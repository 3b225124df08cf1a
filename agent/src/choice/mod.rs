//! Which processes are observed and how: options, a file, and what was set while the agent ran, one over the other. Pure.
//!
//! ```text
//! options of the command line < the file: for all, then the first rule that fits < set live: for all, then the first rule that fits
//! ```
//!
//! So what is set for all is still under the rules of the file, and what is set for some changes only what it names.

mod file;
mod pattern;
mod rules;
mod selector;
mod settings;
mod text;

pub use file::{FileError, read};
pub use pattern::Pattern;
pub use rules::{Layer, Rule, Rules};
pub use selector::{ProcessId, Selector, Subject};
pub use settings::{Change, ChangeError, Settings};
pub use text::{DurationText, RuleText};
