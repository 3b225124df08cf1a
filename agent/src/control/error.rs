//! What can go wrong between a person and a running agent.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why there is no socket.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SocketError {
    /// Another agent has it.
    #[error("another agent is spoken to at {}: give this one a socket of its own with --control, or none with --control none", .0.display())]
    InUse(PathBuf),
    /// It is another kind of file.
    #[error("{} is there and no socket: name another path with --control", .0.display())]
    NotASocket(PathBuf),
    /// The system refuses.
    #[error("the control socket {} cannot be made: {cause}; name another path with --control, or none with --control none", path.display())]
    Refused {
        /// Its path.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
}

/// Why an agent was not spoken to.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Nobody is there.
    #[error("no agent is there to be spoken to at {}: start one, or name its socket with --control", .0.display())]
    Nobody(PathBuf),
    /// The socket is the agent's user's.
    #[error("{} may not be opened by this user: only the agent's own, and root, may speak to it", .0.display())]
    Forbidden(PathBuf),
    /// The connection broke, or took too long.
    #[error("the agent at {} does not answer: {cause}", path.display())]
    Silent {
        /// Its socket.
        path: PathBuf,
        /// What happened.
        cause: io::Error,
    },
    /// The answer cannot be read.
    #[error("{0}")]
    Garbled(String),
    /// It did not do it.
    #[error("the agent refused: {0}")]
    Refused(String),
}
