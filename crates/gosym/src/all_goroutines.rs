//! Where the runtime lists all its goroutines. `runtime.allgadd` puts each new one into the slice `runtime.allgs`: its code reads and
//! writes the slice's three words at addresses relative to its own, and nothing else of which three words follow each other.

use crate::arch::Machine;
use crate::elf::Image;
use crate::moduledata::ModuleData;
use crate::pclntab::Pclntab;

const FUNCTION: &str = "runtime.allgadd";
/// It has some 400 bytes.
const LONGEST: usize = 4096;
const WORD: u64 = 8;

/// The link-time address of `runtime.allgs`.
pub(crate) fn all_goroutines(
    image: &Image<'_>,
    machine: Machine,
    table: &Pclntab<'_>,
    module: ModuleData,
) -> Option<u64> {
    let function = table.functions_named(FUNCTION).next()?;
    let entry = module.text.checked_add(function.entry)?;
    let length = usize::try_from(function.end.checked_sub(function.entry)?).ok()?.min(LONGEST);
    slice_in(machine, image.bytes_at(entry)?.get(..length)?, entry)
}

/// The only slice whose three words this code moves.
fn slice_in(machine: Machine, code: &[u8], entry: u64) -> Option<u64> {
    let moved = machine.moved_words(code, entry);
    let is_slice = |at: &&u64| {
        let holds = |words: u64| at.checked_add(words * WORD).is_some_and(|word| moved.contains(&word));
        at.is_multiple_of(WORD) && holds(1) && holds(2)
    };
    let mut slices = moved.iter().filter(is_slice);
    let slice = slices.next()?;
    slices.next().is_none().then_some(*slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: u64 = 0x40_0000;
    const SLICE: u64 = 0x60_0000;
    /// Of a move of amd64 with an address relative to its own.
    const MOVE_BYTES: usize = 7;

    /// Moves of these words, one after the other, for amd64.
    fn code(words: &[u64]) -> Vec<u8> {
        let mut code = Vec::new();
        for (at, word) in (ENTRY..).step_by(MOVE_BYTES).zip(words) {
            let displacement = word.wrapping_sub(at + MOVE_BYTES as u64).cast_signed();
            code.extend([0x48, if at % 2 == 0 { 0x8b } else { 0x89 }, 0x0d]);
            code.extend(i32::try_from(displacement).unwrap().to_le_bytes());
        }
        code
    }

    #[test]
    fn the_slice_is_the_three_words_in_a_row() {
        let other = 0x70_0000;
        assert_eq!(
            slice_in(Machine::Amd64, &code(&[SLICE + 16, other, SLICE + 8, SLICE, SLICE + 8]), ENTRY),
            Some(SLICE)
        );
        assert_eq!(slice_in(Machine::Amd64, &code(&[SLICE + 16, SLICE + 8, other]), ENTRY), None);
        assert_eq!(
            slice_in(Machine::Amd64, &code(&[SLICE + 4, SLICE + 12, SLICE + 20]), ENTRY),
            None,
            "words lie at multiples of 8"
        );
        assert_eq!(slice_in(Machine::Amd64, &[], ENTRY), None);
    }

    #[test]
    fn of_two_slices_none_is_taken() {
        let two: Vec<u64> = [SLICE, 0x70_0000].into_iter().flat_map(|at| [at, at + 8, at + 16]).collect();
        assert_eq!(slice_in(Machine::Amd64, &code(&two), ENTRY), None);
        assert_eq!(slice_in(Machine::Amd64, &code(&[SLICE, SLICE + 8, SLICE + 16, SLICE + 24]), ENTRY), None);
    }
}
