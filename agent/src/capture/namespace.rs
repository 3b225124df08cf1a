//! The PID namespace: the kernel's probes speak of pids as the host numbers them, so the agent must see the same numbers.

use std::os::unix::fs::MetadataExt as _;

use super::error::CaptureError;

/// Inode of the initial PID namespace, the same on every Linux (`PROC_PID_INIT_INO` in linux/proc_ns.h).
const INITIAL_INODE: u64 = 0xEFFF_FFFC;

/// Refuses a PID namespace of the agent's own. Where `/proc` does not tell, the agent is believed to be in the host's.
pub(super) fn check() -> Result<(), CaptureError> {
    match std::fs::metadata("/proc/self/ns/pid").map(|metadata| metadata.ino()) {
        Ok(inode) if inode != INITIAL_INODE => Err(CaptureError::PidNamespace),
        _ => Ok(()),
    }
}
