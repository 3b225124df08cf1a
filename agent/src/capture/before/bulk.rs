//! Many small pieces of another process's memory at a time.

use std::io::IoSliceMut;

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use super::list::ReadMemory;

/// The memory of one process. Needs what ptrace needs (process_vm_readv(2)), but stops nobody.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bulk(Pid);

impl Bulk {
    /// None for what is no pid.
    pub(super) fn of(pid: u32) -> Option<Self> {
        i32::try_from(pid).ok().map(|pid| Self(Pid::from_raw(pid)))
    }
}

impl ReadMemory for Bulk {
    fn pieces(&self, addresses: &[u64], size: usize) -> Option<Vec<u8>> {
        let piece = |base: &u64| Some(RemoteIoVec { base: usize::try_from(*base).ok()?, len: size });
        let remote: Vec<RemoteIoVec> = addresses.iter().map(piece).collect::<Option<_>>()?;
        let mut bytes = vec![0; size.checked_mul(addresses.len())?];
        let length = bytes.len();
        let read = process_vm_readv(self.0, &mut [IoSliceMut::new(&mut bytes)], &remote).ok()?;
        (read == length).then_some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_come_one_behind_the_other_or_not_at_all() {
        let memory = Bulk::of(std::process::id()).unwrap();
        let words = [11_u64, 22, 33];
        let at = |index: usize| std::ptr::from_ref(&words[index]).addr() as u64;
        let bytes = memory.pieces(&[at(2), at(0)], 8).unwrap();
        assert_eq!(bytes, [33_u64.to_ne_bytes(), 11_u64.to_ne_bytes()].concat());
        assert_eq!(memory.pieces(&[at(0), 8], 8), None);
        assert!(Bulk::of(u32::MAX).is_none());
    }
}
