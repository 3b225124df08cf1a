//! Why a run cannot start or go on.

use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::capture::CaptureError;
use crate::identity::IdentityError;
use crate::recording::RecordingError;
use crate::spooling::SpoolingError;

/// Why a run cannot start or go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// Capturing cannot start or go on.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The node cannot say who it is.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The recording cannot be written.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// The spool cannot be used.
    #[error(transparent)]
    Spool(#[from] SpoolingError),
    /// MONO is negative, which only an injected clock can do.
    #[error("the injected clock shows {0} ns since boot; choose origin_shift_ns so that MONO is positive")]
    BeforeBoot(i64),
    /// The aggregator serves another region.
    #[error(
        "the aggregator {aggregator} serves region {theirs:?}, this node is in {ours:?}: name that region's aggregator with --aggregator, or the right region with --region"
    )]
    WrongRegion {
        /// Its URL.
        aggregator: String,
        /// The region it serves.
        theirs: String,
        /// The node's region.
        ours: String,
    },
    /// No aggregator answered in time.
    #[error(
        "the aggregator {aggregators} did not answer within {} s: start it, name another with --aggregator, or wait for it with --keep-trying",
        within.as_secs_f64()
    )]
    AggregatorSilent {
        /// The URLs.
        aggregators: String,
        /// The time it had.
        within: Duration,
    },
    /// Kafka was of no use in time.
    #[error("{0}; or wait for it with --keep-trying")]
    Kafka(String),
    /// Metrics cannot be served.
    #[error("{0}")]
    Metrics(String),
    /// The system refused a thread or a signal handler.
    #[error("the system refused a thread or a signal handler: {0}")]
    System(io::Error),
    /// The capture thread ended by itself.
    #[error("capturing ended unexpectedly; the log above tells why")]
    CaptureEnded,
}
