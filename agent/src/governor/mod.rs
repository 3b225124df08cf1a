//! Keeps what observing a process costs it inside its [`Budget`]. Pure: readings go in, plans come out.
//!
//! A wait costs its process some traps into the kernel, whatever is done there with it, so a threshold alone bounds nothing. Where the
//! cost is beyond the budget the [`Controller`] goes down these steps, and up again when it can be afforded:
//!
//! 1. [`Stage::Full`]: all that was asked for.
//! 2. [`Stage::Raised`]: a higher threshold, where events are what costs.
//! 3. [`Stage::Lean`]: without what is dear and can be done without: the states of goroutines, the kernel's stacks.
//! 4. [`Stage::Windows`]: as lean, and observed in windows of time; between them its probes are away.
//! 5. [`Stage::Off`]: not even a window can be afforded. After a while one is tried.
//!
//! Windows come at random ([`Sampler`]), and each speaks for the time since the one before it, too: what is seen in it counts that many times.
//! Why sums stay right is derived in `docs/governor.md`, and tested here by simulation.

mod budget;
mod controller;
mod sampling;
#[cfg(test)]
mod simulation;

pub use budget::Budget;
pub use controller::{Change, Controller, Reading, WindowPlan};
pub use sampling::{Sampler, weight_milli};
pub use syncline_event::{ONCE_MILLI, ObservationReason as Reason, ObservationStage as Stage};
