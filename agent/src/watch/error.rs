//! Why a watch cannot start or go on.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::capture::CaptureError;

/// Why a watch cannot start or go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WatchError {
    /// Capturing cannot start or go on.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// No process runs it.
    #[error("no process runs {who}{hidden}: start it, correct the name, or wait for it with --wait")]
    NobodyRuns {
        /// Name or path.
        who: String,
        /// Says so where processes were not allowed to be looked at.
        hidden: String,
    },
    /// There are processes, and none can be observed now.
    #[error("process {pid} runs {who}, but is not observed: {why}")]
    NotObserved {
        /// One of them.
        pid: u32,
        /// Name or path.
        who: String,
        /// The cause.
        why: String,
    },
    /// A file cannot be written.
    #[error("--out {}: {cause}", path.display())]
    Out {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: io::Error,
    },
    /// Standard output cannot be written.
    #[error("standard output: {0}")]
    Output(io::Error),
    /// The terminal cannot be drawn on.
    #[error("the terminal: {0} (`| cat` gives plain tables)")]
    Terminal(io::Error),
    /// The system refused a signal handler.
    #[error("the system refused a signal handler: {0}")]
    System(io::Error),
    /// The watching thread ended by itself.
    #[error("watching ended unexpectedly")]
    Ended,
}
