//! Pc-value programs: how the function table says which file, line or inlined call the bytes of a function belong to.
//!
//! A program is a list of pairs of varints, difference of the value (zigzag) and length of the run that has it (in units of the
//! processor's least instruction), up to a difference of 0 (runtime/symtab.go, `step`).

use crate::bytes::uvarint;

/// A stretch of a function's bytes that has one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// The value.
    pub(crate) value: i32,
    /// The first byte after it, as an offset from the function's entry.
    pub(crate) end: u64,
}

/// The runs of a program, up to its end or to where it is damaged. It takes one step for each of at least two bytes.
#[derive(Debug, Clone)]
pub(crate) struct Runs<'data> {
    rest: &'data [u8],
    quantum: u64,
    last: Run,
}

impl<'data> Runs<'data> {
    /// Those of the program at the start of `program`; `quantum` is the processor's least instruction, in bytes.
    pub(crate) fn new(program: &'data [u8], quantum: u64) -> Self {
        Self { rest: program, quantum, last: Run { value: -1, end: 0 } }
    }
}

impl Iterator for Runs<'_> {
    type Item = Run;

    #[inline]
    fn next(&mut self) -> Option<Run> {
        let (difference, length, after) = pair(self.rest)?;
        if difference == 0 && self.last.end != 0 {
            return None;
        }
        self.rest = after;
        self.last.value = self.last.value.wrapping_add(zigzag(difference));
        self.last.end = self.last.end.checked_add(length.checked_mul(self.quantum)?)?;
        Some(self.last)
    }
}

/// The next pair, and what follows it.
#[inline]
fn pair(program: &[u8]) -> Option<(u64, u64, &[u8])> {
    match program {
        // Most are of one byte each.
        [difference @ ..=0x7f, length @ ..=0x7f, after @ ..] => Some(((*difference).into(), (*length).into(), after)),
        _ => {
            let (difference, after) = uvarint(program, 5)?;
            let (length, after) = uvarint(after, 5)?;
            Some((difference, length, after))
        }
    }
}

/// Undoes the zigzag coding of a signed difference.
fn zigzag(coded: u64) -> i32 {
    let coded = (coded & 0xffff_ffff) as u32;
    ((coded >> 1) ^ (coded & 1).wrapping_neg()).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(program: &[u8], quantum: u64) -> Vec<(i32, u64)> {
        Runs::new(program, quantum).take(1000).map(|run| (run.value, run.end)).collect()
    }

    #[test]
    fn zigzag_alternates_around_zero() {
        let decoded: Vec<i32> = (0..5).map(zigzag).collect();
        assert_eq!(decoded, [0, -1, 1, -2, 2]);
        assert_eq!(zigzag(0xffff_ffff), i32::MIN);
    }

    #[test]
    fn runs_follow_one_another_up_to_the_end() {
        // 0 for 4 units, 5 for 300, 3 for 1.
        let program = [2, 4, 10, 0xac, 0x02, 3, 1, 0, 9];
        assert_eq!(runs(&program, 1), [(0, 4), (5, 304), (3, 305)]);
        assert_eq!(runs(&program, 4), [(0, 16), (5, 1216), (3, 1220)]);
        // A first difference of 0 is a value, -1.
        assert_eq!(runs(&[0, 4, 0, 0], 1), [(-1, 4)]);
    }

    #[test]
    fn a_damaged_program_ends_where_it_is_damaged() {
        assert_eq!(runs(&[2, 4, 10], 1), [(0, 4)]);
        assert_eq!(runs(&[2, 4, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1], 1), [(0, 4)]);
        // Runs of no bytes.
        assert_eq!(runs(&[2, 0].repeat(100), 1).len(), 100);
    }
}
