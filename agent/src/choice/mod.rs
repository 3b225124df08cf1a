//! Which processes are observed and how: options, a file, and what was set while the agent ran, one over the other. Pure.
//!
//! ```text
//! defaults < the file for all < what was typed < what was set live for all < the file's first rule that fits < the first one set live that fits
//! ```
//!
//! So what is set for all is still under the rules of the file, and what is set for some changes only what it names.

mod file;
mod pattern;
mod reference;
mod rules;
mod selector;
mod settings;
mod text;

pub use file::{KEYS, SettingsFile, layer};
pub use pattern::Pattern;
pub use reference::rule_table;
pub use rules::{Layer, Rule, Rules};
pub use selector::{ProcessId, Selector, Subject};
pub use settings::{Change, ChangeError, Settings};
pub use text::{DurationText, RuleText};
