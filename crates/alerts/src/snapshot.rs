//! Keeping alerts over a restart, so that nothing is told twice and nothing is forgotten.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Engine, Policy, PolicyError};

/// Changes with what an engine is made of.
const VERSION: u32 = 2;

/// A snapshot that cannot be gone on with. Alerts then begin anew, and what still is so is told again.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Made by another version of the program.
    #[error("state of alerts: version {found}, this program reads {VERSION}; let alerts begin anew")]
    OtherVersion {
        /// The version it names.
        found: u32,
    },
    /// Cut off or damaged.
    #[error("state of alerts: not a whole one ({0}); let alerts begin anew")]
    Damaged(#[from] serde_json::Error),
    /// The policy that it is to go on with makes no sense.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    engine: &'a Engine,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Deserialize)]
struct Read {
    engine: Engine,
}

impl Engine {
    /// All that is known, as JSON with its version; without the policy.
    ///
    /// # Errors
    /// It cannot be written, which would be a defect.
    pub fn snapshot(&self) -> Result<String, SnapshotError> {
        Ok(serde_json::to_string(&Written { version: VERSION, engine: self })?)
    }

    /// The engine that [`Engine::snapshot`] was of, with this policy.
    ///
    /// # Errors
    /// It is of another version or damaged, or the policy makes no sense.
    pub fn restore(snapshot: &str, policy: Policy) -> Result<Self, SnapshotError> {
        match serde_json::from_str(snapshot)? {
            Version { version: VERSION } => Ok(serde_json::from_str::<Read>(snapshot)?.engine.with(policy)?),
            Version { version: found } => Err(SnapshotError::OtherVersion { found }),
        }
    }
}
