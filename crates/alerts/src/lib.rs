//! Alerts on clock skew and drift: what is known of a fleet's clocks in, what people are to be told out.
//!
//! Pure: it never reads a clock and sends nothing, and the same rounds lead to the same alerts. The way of a round:
//!
//! ```text
//! Round ─► memory       what each node's past says of it: drift, jumps, steps that put a clock right
//!       ─► conditions   which rules are met, by whom: what nodes have in common is told of their region, or of the fleet, but for whoever is
//!                       left out
//!       ─► alert        pending ─► firing ─► resolved, with hysteresis
//!       ─► incident     which alerts have one cause
//!       ─► Outcome      transitions of all alerts; notifications, one a cause, unless a Silence covers it
//! ```
//!
//! [`Engine`] is the door: it holds the state, which [`Engine::snapshot`] keeps over a restart. [`Policy`] has the limits, their reasons,
//! and who has others.
//!
//! A rule is met only where a whole interval is beyond its limit: what may be right is not told.

mod alert;
mod checked;
mod common;
mod conditions;
mod contradictions;
mod drifts;
mod engine;
mod entries;
mod events;
mod incident;
mod interval;
mod known;
mod left_out;
mod matcher;
mod memory;
mod notification;
mod policy;
pub mod round;
mod rule;
pub mod settings;
mod silence;
mod snapshot;
pub mod text;
mod utc;

pub use alert::{Against, Alert, State, Transition};
pub use checked::PolicyError;
pub use engine::{Engine, Outcome, RoundError};
pub use incident::Incident;
pub use interval::Interval;
pub use matcher::{Matcher, Pattern, PatternError};
pub use notification::{Kind, Notification};
pub use policy::{Limits, Override, Policy};
pub use round::Round;
pub use rule::{Key, Rule, Severity, Subject, Unit};
pub use silence::{Silence, SilenceError};
pub use snapshot::SnapshotError;
