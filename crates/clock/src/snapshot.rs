//! Keeping a clock model across a restart.
//!
//! A snapshot is all of a model: after a restore it answers, and takes the next samples, to the last bit as if nothing had
//! happened. Samples that came in between are simply the next ones; samples that were in it already are refused as such.

use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use crate::NodeClock;

/// First byte of every snapshot; changes with what a model is made of.
const VERSION: u8 = 1;

/// A snapshot that cannot be restored. The model then has to begin anew.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Made by another version of the program.
    #[error("clock snapshot: version {found}, this program reads {VERSION}; let the model begin anew")]
    OtherVersion {
        /// The version it names.
        found: u8,
    },
    /// Cut off or damaged.
    #[error("clock snapshot: {bytes} bytes are not a whole one ({reason}); let the model begin anew")]
    Damaged {
        /// Its length.
        bytes: usize,
        /// What the decoder says.
        reason: String,
    },
}

impl NodeClock {
    /// The model as bytes: some kilobytes, most of them history.
    pub fn snapshot(&self) -> Vec<u8> {
        // What a model is made of has no case that the format cannot write; should one come, its snapshot is refused on
        // restore, and the model begins anew.
        let mut bytes = postcard::to_extend(self, vec![VERSION]).unwrap_or_default();
        bytes.extend(xxh3_64(&bytes).to_le_bytes());
        bytes
    }

    /// The model that [`NodeClock::snapshot`] was of.
    ///
    /// # Errors
    /// When the bytes are of another version, cut off or damaged.
    pub fn restore(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let damaged = |reason: &str| SnapshotError::Damaged { bytes: bytes.len(), reason: reason.to_owned() };
        let (whole, sum) = bytes.split_last_chunk().ok_or_else(|| damaged("cut off"))?;
        match whole.split_first() {
            Some((&VERSION, model)) if xxh3_64(whole).to_le_bytes() == *sum => {
                postcard::from_bytes(model).map_err(|error| damaged(&error.to_string()))
            }
            Some((&found, _)) if found != VERSION => Err(SnapshotError::OtherVersion { found }),
            _ => Err(damaged("its checksum is another")),
        }
    }
}
