//! Another process's memory, as it is.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// Bytes of a goroutine's stack taken at most; 64 frames rarely have 8 KiB.
const MAX_STACK_BYTES: u64 = 256 << 10;

/// The memory of one process.
#[derive(Debug)]
pub(super) struct Memory(File);

impl Memory {
    /// Needs what ptrace needs (ptrace(2), `PTRACE_MODE_ATTACH_FSCREDS`), but stops nobody.
    pub(super) fn of(pid: u32) -> io::Result<Self> {
        File::open(format!("/proc/{pid}/mem")).map(Self)
    }

    /// The eight bytes at an address; None where nothing can be read.
    pub(super) fn word(&self, address: u64) -> Option<u64> {
        self.bytes(address).map(u64::from_ne_bytes)
    }

    /// So many bytes at an address; None where not all of them can be read.
    pub(super) fn bytes<const N: usize>(&self, address: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        self.read(address, &mut bytes)?;
        Some(bytes)
    }

    /// The same into a buffer.
    pub(super) fn read(&self, address: u64, into: &mut [u8]) -> Option<()> {
        self.0.read_exact_at(into, address).ok()
    }

    /// A goroutine's stack from `sp` to its end, or as much of it as is of interest.
    pub(super) fn stack(&self, sp: u64, end: u64) -> Option<Stack> {
        let length = end.checked_sub(sp)?.min(MAX_STACK_BYTES);
        let mut bytes = vec![0; usize::try_from(length).ok()?];
        self.0.read_exact_at(&mut bytes, sp).ok()?;
        Some(Stack { from: sp, bytes })
    }
}

/// A copy of a part of a stack.
#[derive(Debug)]
pub(super) struct Stack {
    from: u64,
    bytes: Vec<u8>,
}

impl Stack {
    pub(super) fn word(&self, address: u64) -> Option<u64> {
        let offset = usize::try_from(address.checked_sub(self.from)?).ok()?;
        let bytes = self.bytes.get(offset..)?.first_chunk()?;
        Some(u64::from_ne_bytes(*bytes))
    }

    /// All words, from the top on.
    pub(super) fn words(&self) -> impl Iterator<Item = u64> {
        self.bytes.as_chunks().0.iter().map(|word| u64::from_ne_bytes(*word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_at_their_addresses_and_only_there() {
        let words = [11_u64, 22, 33];
        let at = |index: usize| std::ptr::from_ref(&words[index]).addr() as u64;
        let memory = Memory::of(std::process::id()).unwrap();
        assert_eq!(memory.word(at(1)), Some(22));
        assert_eq!(memory.word(8), None);
        let stack = memory.stack(at(1), at(2) + 8).unwrap();
        assert_eq!([stack.word(at(1)), stack.word(at(2)), stack.word(at(0))], [Some(22), Some(33), None]);
        assert_eq!(stack.word(at(2) + 1), None);
        assert_eq!(stack.words().collect::<Vec<_>>(), [22, 33]);
        assert!(memory.stack(at(1), at(0)).is_none());
    }
}
