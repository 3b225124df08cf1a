//! Simulated clocks and paths, for tests, benches and the demo.
//!
//! [`SimulatedNode`] is a node's three clocks and its path to the reference, seeded and reproducible, with the truth
//! beside every reading; a [`Daemon`] may discipline it. [`profile`] draws whole runs of a host under typical and hard conditions, for scoring an
//! estimator; [`regions`] draws regions with their links and claims. [`InjectedClock`] puts a known error on the stamps of a real machine.

mod daemon;
mod injected;
mod node;
mod oscillator;
mod path;
pub mod profile;
mod random;
mod reference;
pub mod regions;
pub mod scenario;

pub use daemon::{Daemon, DaemonSettings, Said};
pub use injected::{InjectedClock, InjectedClockError, InjectedSlew, InjectedStep};
pub use node::{CounterJump, NodeSettings, SimulatedNode, WallStep};
pub use oscillator::{Oscillator, OscillatorSettings};
pub use path::{Path, PathSettings};
pub use random::Random;
pub use reference::ReferenceClock;
