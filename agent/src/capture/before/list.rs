//! The list of all goroutines of a process (`runtime.allgs`), read from its memory while it runs, and believed only if all that it
//! lists are goroutines.

use syncline_gosym::RuntimeLayout;
use thiserror::Error;

use super::goroutine::Goroutine;

/// Goroutines looked at in one go; more than 1,024 pieces cannot be read at once (`IOV_MAX`).
const CHUNK: usize = 512;
/// How often the slice is read anew if it grows meanwhile.
const TRIES: usize = 4;
/// More goroutines than a machine has room for: each has a stack of 2 KiB at least.
const MOST: u64 = 1 << 32;
/// Goroutines looked at in a process at most: as many as the kernel's map has room for.
pub(super) const MOST_LOOKED_AT: u64 = 1 << 20;
const WORD: u64 = 8;

/// Reads another process's memory.
pub(super) trait ReadMemory {
    /// `size` bytes from each of these addresses, one behind the other; None if some cannot be read. At most [`CHUNK`] addresses.
    fn pieces(&self, addresses: &[u64], size: usize) -> Option<Vec<u8>>;

    /// One piece of any size.
    fn piece(&self, address: u64, size: usize) -> Option<Vec<u8>> {
        self.pieces(&[address], size)
    }
}

/// Why the list is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum NoList {
    /// The code of the runtime does not show where it is.
    #[error("the code of the runtime does not show where its list of goroutines is")]
    NotFound,
    /// Nothing can be read there.
    #[error("the memory where its list of goroutines should be cannot be read")]
    Unreadable,
    /// What is there is no slice.
    #[error("where its list of goroutines should be is no slice: {len} of {cap} at {at:#x}")]
    NoSlice {
        /// Its first word.
        at: u64,
        /// Its second.
        len: u64,
        /// Its third.
        cap: u64,
    },
    /// It changes faster than it can be read.
    #[error("its list of goroutines grows faster than it can be read")]
    Growing,
    /// Something on it is no goroutine.
    #[error("its list of goroutines has {address:#x} on it, where no goroutine is")]
    NoGoroutine {
        /// Where that should be.
        address: u64,
    },
}

/// The addresses of all goroutines, also of those that have ended, and of how many more there is no room for.
pub(super) fn addresses(memory: &impl ReadMemory, slice: u64) -> Result<(Vec<u64>, u64), NoList> {
    for _ in 0..TRIES {
        let (at, len) = header(memory, slice)?;
        let listed = words(memory, at, len.min(MOST_LOOKED_AT))?;
        // Else it was moved while it was read, and another's memory may have been behind it.
        if header(memory, slice)?.0 == at {
            // The runtime makes room for one before it puts it there.
            let addresses = listed.into_iter().filter(|address| *address != 0).collect();
            return Ok((addresses, len.saturating_sub(MOST_LOOKED_AT)));
        }
    }
    Err(NoList::Growing)
}

/// Where the slice's elements are, and how many.
fn header(memory: &impl ReadMemory, slice: u64) -> Result<(u64, u64), NoList> {
    let words = words(memory, slice, 3)?;
    let [at, len, cap] = words[..] else { return Err(NoList::Unreadable) };
    // The runtime enlarges cap first.
    let is_slice = len <= cap && cap <= MOST && at.is_multiple_of(WORD) && (at != 0 || len == 0);
    is_slice.then_some((at, len)).ok_or(NoList::NoSlice { at, len, cap })
}

fn words(memory: &impl ReadMemory, at: u64, count: u64) -> Result<Vec<u64>, NoList> {
    let size = count.checked_mul(WORD).and_then(|size| usize::try_from(size).ok()).ok_or(NoList::Unreadable)?;
    if size == 0 {
        return Ok(Vec::new());
    }
    let bytes = memory.piece(at, size).ok_or(NoList::Unreadable)?;
    let words = bytes.as_chunks().0.iter();
    Ok(words.map(|word| u64::from_ne_bytes(*word)).collect())
}

/// Looks at these goroutines, some at a time. An end by an error says that one of them is none: then the others are not to be believed
/// either.
pub(super) fn each_chunk(
    memory: &impl ReadMemory,
    addresses: &[u64],
    layout: &RuntimeLayout,
    mut seen: impl FnMut(Vec<(u64, Goroutine)>),
) -> Result<(), NoList> {
    for chunk in addresses.chunks(CHUNK) {
        seen(goroutines(memory, chunk, layout)?);
    }
    Ok(())
}

fn goroutines(
    memory: &impl ReadMemory,
    addresses: &[u64],
    layout: &RuntimeLayout,
) -> Result<Vec<(u64, Goroutine)>, NoList> {
    let size = Goroutine::bytes(layout);
    let unreadable = NoList::NoGoroutine { address: addresses.first().copied().unwrap_or_default() };
    let bytes = memory.pieces(addresses, size).ok_or(unreadable)?;
    let read = |(address, bytes): (&u64, &[u8])| {
        let at_once = Goroutine::read(bytes, layout).filter(|goroutine| goroutine.is_one_at(*address));
        // Its stack may have been replaced by a larger one while it was read.
        let again = || Goroutine::read(&memory.piece(*address, size)?, layout).filter(|g| g.is_one_at(*address));
        let goroutine = at_once.or_else(again).ok_or(NoList::NoGoroutine { address: *address })?;
        Ok((*address, goroutine))
    };
    addresses.iter().zip(bytes.chunks_exact(size)).map(read).collect()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use super::super::goroutine::tests::goroutine;
    use super::*;

    /// Bytes at addresses.
    #[derive(Default)]
    struct Fake(RefCell<BTreeMap<u64, Vec<u8>>>);

    impl Fake {
        fn put(&self, at: u64, bytes: &[u8]) {
            self.0.borrow_mut().insert(at, bytes.to_vec());
        }

        fn put_words(&self, at: u64, words: &[u64]) {
            self.put(at, &words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>());
        }
    }

    impl ReadMemory for Fake {
        fn pieces(&self, addresses: &[u64], size: usize) -> Option<Vec<u8>> {
            let memory = self.0.borrow();
            let piece = |at: &u64| memory.get(at)?.get(..size).map(<[u8]>::to_vec);
            addresses.iter().map(piece).collect::<Option<Vec<_>>>().map(|pieces| pieces.concat())
        }
    }

    const SLICE: u64 = 0x60_0000;
    const ARRAY: u64 = 0xc000_0000;

    /// A list of these.
    fn listing(addresses: &[u64], cap: u64) -> Fake {
        let memory = Fake::default();
        memory.put_words(SLICE, &[ARRAY, addresses.len() as u64, cap]);
        memory.put_words(ARRAY, addresses);
        memory
    }

    #[test]
    fn all_that_are_listed_are_looked_at() {
        let listed: Vec<u64> = (1..=1_100).map(|i| 0xc001_0000 + 0x200 * i).collect();
        let memory = listing(&listed, 2_000);
        let mut layout = None;
        for (goid, address) in (1..).zip(&listed) {
            let (bytes, of) = goroutine(*address, goid, 4);
            memory.put(*address, &bytes);
            layout = Some(of);
        }
        let (addresses, left_out) = addresses(&memory, SLICE).unwrap();
        assert_eq!((&addresses, left_out), (&listed, 0));
        let mut seen = Vec::new();
        each_chunk(&memory, &addresses, layout.unwrap(), |chunk| seen.push(chunk)).unwrap();
        assert_eq!(seen.iter().map(Vec::len).collect::<Vec<_>>(), [CHUNK, CHUNK, 1_100 - 2 * CHUNK]);
        let goids: Vec<u64> = seen.iter().flatten().map(|(_, goroutine)| goroutine.goid).collect();
        assert_eq!(goids, (1..=1_100).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_no_list_is_refused() {
        assert_eq!(addresses(&Fake::default(), SLICE), Err(NoList::Unreadable));
        for [at, len, cap] in [[ARRAY, 3, 2], [ARRAY + 1, 1, 2], [0, 1, 2], [ARRAY, 1, u64::MAX]] {
            let memory = Fake::default();
            memory.put_words(SLICE, &[at, len, cap]);
            assert_eq!(addresses(&memory, SLICE), Err(NoList::NoSlice { at, len, cap }));
        }
        assert_eq!(addresses(&listing(&[], 0), SLICE), Ok((vec![], 0)));
        // One that is being put there.
        assert_eq!(addresses(&listing(&[0xc001_0000, 0], 2), SLICE), Ok((vec![0xc001_0000], 0)));
    }

    #[test]
    fn beyond_the_limit_they_are_left_out_and_told() {
        let listed = vec![0xc001_0000; usize::try_from(MOST_LOOKED_AT).unwrap()];
        let memory = listing(&listed, MOST_LOOKED_AT + 9);
        memory.put_words(SLICE, &[ARRAY, MOST_LOOKED_AT + 7, MOST_LOOKED_AT + 9]);
        let (addresses, left_out) = addresses(&memory, SLICE).unwrap();
        assert_eq!((addresses.len(), left_out), (listed.len(), 7));
    }

    #[test]
    fn one_that_is_no_goroutine_makes_the_list_none() {
        let (good, bad) = (0xc001_0000, 0xc002_0000);
        let memory = listing(&[good, bad], 2);
        let (bytes, layout) = goroutine(good, 1, 4);
        memory.put(good, &bytes);
        let refused = Err(NoList::NoGoroutine { address: good });
        assert_eq!(each_chunk(&memory, &[good, bad], layout, |_| panic!("believed")), refused, "it cannot be read");
        memory.put(bad, &bytes);
        let refused = Err(NoList::NoGoroutine { address: bad });
        assert_eq!(each_chunk(&memory, &[good, bad], layout, |_| panic!("believed")), refused, "it is another one's");
    }
}
