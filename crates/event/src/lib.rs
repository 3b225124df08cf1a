//! Words of the product: what an agent says in one batch, checked.
//!
//! A [`Batch`] is a struct of arrays: columns, not rows, because that is how it travels and how ClickHouse takes it.
//! Whatever a `Batch` holds has passed [`Batch::check`]: columns of equal length, indices inside their dictionaries,
//! texts and stacks within [`limits`]. It knows no protobuf and does no I/O.

mod account;
mod batch;
mod check;
mod check_states;
mod check_tcp;
mod container;
mod disruption;
pub mod limits;
mod loss;
mod observation;
mod stack;
mod states;
mod tcp;
mod trace;
mod wait;

pub use account::{Account, DroppedBatch};
pub use batch::{Batch, BatchId, ClaimSource, ClockClaim, Origin, ProbePath, Process, ShortWaits, Symbol};
pub use check::BatchError;
pub use container::Container;
pub use disruption::{ClockDisruption, DisruptionSign};
pub use loss::{Loss, LossCause};
pub use observation::{ONCE_MILLI, Observation, ObservationReason, ObservationStage};
pub use stack::{Stack, StackId};
pub use states::{BlockedTime, GoroutineFate, GoroutineState, GoroutineStates, ProcessStates, StateTimes};
pub use tcp::{Direction, Flow, Messages, Opener, SendLatency, SessionEnd, TcpLoss, TcpLossCause, TcpSession};
pub use trace::TraceContext;
pub use wait::{Kind, Target, WaitFlags, Waits};
