//! Who this node is, as its kernel says.

use std::fs;

use syncline_timebase::{BootId, NodeName};
use thiserror::Error;

const BOOT_ID_PATH: &str = "/proc/sys/kernel/random/boot_id";

/// The node cannot say who it is.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The kernel's boot id cannot be read.
    #[error("{BOOT_ID_PATH} cannot be read: {0}; is /proc mounted?")]
    BootIdUnreadable(std::io::Error),
    /// The kernel's boot id is not what a kernel writes.
    #[error("{BOOT_ID_PATH} holds {0:?}, which is no boot id")]
    BootIdGarbled(String),
    /// The host's name is no node name.
    #[error("{0}; name the node with --node")]
    HostName(#[from] syncline_timebase::NodeNameError),
}

/// The boot that MONO and RAW count from.
///
/// # Errors
/// If `/proc` does not tell.
pub fn boot_id() -> Result<BootId, IdentityError> {
    let text = fs::read_to_string(BOOT_ID_PATH).map_err(IdentityError::BootIdUnreadable)?;
    text.parse().map_err(|_| IdentityError::BootIdGarbled(text))
}

/// The kernel's release, as `uname -r`.
pub fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// The host's name as a node name.
///
/// # Errors
/// If the host's name has characters that a node name may not have.
pub fn host_name() -> Result<NodeName, IdentityError> {
    Ok(rustix::system::uname().nodename().to_string_lossy().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_boot_has_one_id() {
        assert_eq!(boot_id().unwrap(), boot_id().unwrap());
        assert_ne!(boot_id().unwrap(), BootId(0));
    }
}
