//! Whole runs of one node and its reference under typical and hard conditions, and the score of an estimator on them.
//!
//! A [`Profile`] says what is drawn, [`generate`] draws a [`Trace`] of it: what the reference receives in the order in
//! which it does, and the truth beside it. A [`Score`] takes the answers. Nothing here knows of any estimator.

mod clock;
mod discipline;
mod generate;
mod network;
mod oscillator;
mod path;
mod phase;
mod score;
mod step_score;
mod trace;

pub use clock::ClockSettings;
pub use discipline::DisciplineModel;
pub use generate::generate;
pub use network::{Burst, Network, Profile, UnknownNetwork};
pub use oscillator::OscillatorModel;
pub use path::PathModel;
pub use score::{Answer, Quantiles, Score};
pub use step_score::StepScore;
pub use trace::{EventTruth, Record, RouteChange, Trace, TrueStep};
