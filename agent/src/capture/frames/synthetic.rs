//! Addresses that stand for code outside of an executable: numbers that no real address can be, the same on every node and in every
//! boot for the same place in the same code.

use xxhash_rust::xxh3::Xxh3;

/// Of the two highest bits, which are equal in every address that a processor takes, only the first is set.
const HIGHEST_BITS: u64 = 0b11 << 62;
const SYNTHETIC: u64 = 0b10 << 62;

/// Kinds of what is hashed, so that equal words of two kinds are two addresses.
const OF_FILE: u8 = 1;
const OF_REGION: u8 = 2;
const OF_KERNEL: u8 = 3;

/// Of an instruction in a file of code, by its build and its link-time address.
pub(super) fn of_file(build_id: u64, vaddr: u64) -> u64 {
    number(OF_FILE, &build_id.to_le_bytes(), vaddr)
}

/// Of an instruction of the kernel, by its function and how far it is behind that one's begin.
pub(super) fn of_kernel(function: &str, offset: u64) -> u64 {
    number(OF_KERNEL, function.as_bytes(), offset)
}

/// Of all that runs in memory that no known file stands behind.
pub(super) fn of_region(name: &str) -> u64 {
    number(OF_REGION, name.as_bytes(), 0)
}

/// Whether it stands for something else than what is at this address.
pub(super) fn is_synthetic(address: u64) -> bool {
    address & HIGHEST_BITS == SYNTHETIC
}

fn number(kind: u8, what: &[u8], offset: u64) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&[kind]);
    hash.update(&offset.to_le_bytes());
    hash.update(what);
    hash.digest() & !HIGHEST_BITS | SYNTHETIC
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_real_address_is_synthetic() {
        let real =
            [0, 0x40_1000, 0x7fff_ffff_ffff, 0x00ff_ffff_ffff_ffff, 0xffff_8000_0000_0000, 0xff00 << 48, u64::MAX];
        assert!(!real.into_iter().any(is_synthetic));
        assert!([of_file(7, 0x1000), of_region("[stack]"), of_region("[vdso]")].into_iter().all(is_synthetic));
    }

    #[test]
    fn every_place_has_an_address_of_its_own() {
        let all = [
            of_file(7, 0x1000),
            of_file(8, 0x1000),
            of_file(7, 0x1001),
            of_region("[vdso]"),
            of_region("[stack]"),
            of_kernel("vfs_read", 3),
        ];
        let distinct: std::collections::HashSet<u64> = all.into_iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn addresses_are_the_same_for_ever() {
        // Stored stacks have them.
        assert_eq!((of_file(7, 0x1000), of_region("[vdso]")), (9_926_417_913_942_225_533, 11_203_205_900_865_746_772));
    }
}
