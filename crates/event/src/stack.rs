//! Stacks and their identity.

use xxhash_rust::xxh3::Xxh3;

/// Identity of a stack: the same frames of the same build have the same id on every node, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StackId(pub u64);

impl StackId {
    /// No stack was taken.
    pub const NONE: Self = Self(0);
}

/// A goroutine's stack, innermost frame first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stack {
    /// Its identity, [`Stack::id_of`] the rest.
    pub id: StackId,
    /// The build that the addresses belong to.
    pub build_id: u64,
    /// Link-time virtual addresses: the first is where the goroutine stopped, the others are return addresses.
    pub pcs: Vec<u64>,
}

impl Stack {
    /// A stack with its identity computed.
    pub fn new(build_id: u64, pcs: Vec<u64>) -> Self {
        Self { id: Self::id_of(build_id, &pcs), build_id, pcs }
    }

    /// XXH3-64 over build id and addresses, little-endian. Zero is kept for [`StackId::NONE`].
    pub fn id_of(build_id: u64, pcs: &[u64]) -> StackId {
        let mut hash = Xxh3::new();
        hash.update(&build_id.to_le_bytes());
        for pc in pcs {
            hash.update(&pc.to_le_bytes());
        }
        StackId(hash.digest().max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_depends_on_build_and_frames_only() {
        let stack = Stack::new(7, vec![1, 2, 3]);
        assert_eq!(stack.id, Stack::id_of(7, &[1, 2, 3]));
        assert_ne!(stack.id, Stack::id_of(8, &[1, 2, 3]));
        assert_ne!(stack.id, Stack::id_of(7, &[1, 3, 2]));
    }

    #[test]
    fn identity_is_the_same_for_ever() {
        // Stored rows refer to it: a change of the hash would orphan them.
        assert_eq!(Stack::id_of(0x1122_3344_5566_7788, &[0x40_1000, 0x40_2000]).0, 0xa671_a79a_ba54_ec7a);
    }
}
