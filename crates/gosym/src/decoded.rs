//! A function whose pc-value programs have been run once, from end to end: its bytes are then looked up without running them.

use std::borrow::Cow;
use std::iter;

use crate::inline_tree::InlinedCall;
use crate::pc_values::{Run, Runs};
use crate::pclntab::Function;
use crate::symbolizer::{Frame, MAX_DEPTH, Symbolizer, UNKNOWN};

/// What the table says of all bytes of a function.
#[derive(Debug, Clone)]
pub(crate) struct DecodedFunction<'data> {
    name: Cow<'data, str>,
    is_wrapper: bool,
    /// Where each of the stretches ends, as an offset from the function's entry. Apart from them, since they are searched.
    ends: Vec<u32>,
    stretches: Vec<Stretch>,
    files: Vec<Cow<'data, str>>,
    calls: Vec<Call<'data>>,
}

/// Bytes that lie in one line of one file, and in one inlined call.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    line: i32,
    /// Index in `files`; beyond it when the file is not known.
    file: u32,
    /// Index in `calls`; beyond it outside of inlined calls.
    call: u32,
}

/// A call that was expanded in place.
#[derive(Debug, Clone)]
struct Call<'data> {
    name: Cow<'data, str>,
    is_wrapper: bool,
    /// An instruction at the place of the call.
    parent_offset: u64,
}

impl Texted for Call<'_> {
    fn owned_bytes(&self) -> usize {
        self.name.owned_bytes()
    }
}

impl Texted for Cow<'_, str> {
    fn owned_bytes(&self) -> usize {
        if let Cow::Owned(text) = self { text.capacity() } else { 0 }
    }
}

impl<'data> DecodedFunction<'data> {
    /// Decodes a function. None where a program has more than `most` runs, or there are more texts than real functions have.
    pub(crate) fn new(symbolizer: &Symbolizer<'data>, function: &Function<'data>, most: usize) -> Option<Self> {
        let values = merged(symbolizer.programs(function), most)?;
        let (file_numbers, files) = named(values.iter().map(|it| it.file), |number| symbolizer.file(function, number))?;
        let (call_numbers, calls) = named(values.iter().map(|it| it.call), |number| {
            let InlinedCall { kind, name_offset, parent_offset } = symbolizer.inlined_call(function, number)?;
            let is_wrapper = symbolizer.is_wrapper(Some(kind));
            Some(Call { name: symbolizer.name(Some(name_offset)), is_wrapper, parent_offset })
        })?;
        let stretch = |it: &Values| Stretch {
            line: it.line,
            file: index_of(it.file, &file_numbers),
            call: index_of(it.call, &call_numbers),
        };
        Some(Self {
            name: symbolizer.name(function.name_offset()),
            is_wrapper: symbolizer.is_wrapper(function.kind()),
            ends: values.iter().map(|it| it.end).collect(),
            stretches: values.iter().map(stretch).collect(),
            files,
            calls,
        })
    }

    /// The calls that the byte at `offset` belongs to, as [`Symbolizer::frames`] gives them.
    pub(crate) fn frames(&self, offset: u64) -> impl Iterator<Item = Frame<'data>> + '_ {
        let mut depth = 0;
        let mut last = u32::MAX;
        let mut next = Some(offset);
        iter::from_fn(move || {
            let stretch = self.stretch(next?);
            // Numbers, and so indices, fall on the way outwards; see `Symbolizer::frames`.
            let outwards = stretch.filter(|it| it.call < last && depth < MAX_DEPTH);
            let call = outwards.and_then(|it| at(&self.calls, it.call));
            last = stretch.map_or(0, |it| it.call);
            depth += 1;
            next = call.map(|call| call.parent_offset);
            let (file, line) = stretch.and_then(|stretch| self.position(stretch)).unwrap_or((UNKNOWN, 0));
            let (name, wrapper) = call.map_or((&self.name, self.is_wrapper), |call| (&call.name, call.is_wrapper));
            Some(Frame { function: name.clone(), file, line, inlined: call.is_some(), wrapper })
        })
    }

    /// About the bytes of memory that it takes.
    pub(crate) fn size(&self) -> usize {
        let texts = self.files.iter().chain(self.calls.iter().map(|call| &call.name)).chain([&self.name]);
        size_of::<Self>()
            + size_of_val(self.ends.as_slice())
            + size_of_val(self.stretches.as_slice())
            + size_of_val(self.files.as_slice())
            + size_of_val(self.calls.as_slice())
            + texts.map(Texted::owned_bytes).sum::<usize>()
    }

    fn stretch(&self, offset: u64) -> Option<&Stretch> {
        self.stretches.get(self.ends.partition_point(|&end| u64::from(end) <= offset))
    }

    fn position(&self, stretch: &Stretch) -> Option<(Cow<'data, str>, u32)> {
        Some((at(&self.files, stretch.file)?.clone(), u32::try_from(stretch.line).ok()?))
    }
}

/// What the three programs say of the bytes up to `end`, which begin where those before end. A number below 0 means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Values {
    end: u32,
    file: i32,
    line: i32,
    call: i32,
}

/// Runs the programs of the files, the lines and the inlined calls beside one another, as long as any goes on. None where one has more
/// than `most` runs.
fn merged(programs: [Runs<'_>; 3], most: usize) -> Option<Vec<Values>> {
    let mut programs = programs.map(|runs| Program::new(runs, most));
    let mut all = Vec::new();
    let mut offset = 0;
    loop {
        let [file, line, call] = programs.each_mut().map(|program| program.run_at(offset));
        let Some(end) = [file, line, call].iter().flatten().map(|run| run.end).min() else { break };
        // A function has less than 4 GiB, so that nothing is looked for beyond.
        let end = u32::try_from(end).unwrap_or(u32::MAX);
        if u64::from(end) <= offset {
            break;
        }
        offset = end.into();
        let number = |run: Option<Run>| run.map_or(-1, |run| run.value);
        all.push(Values { end, file: number(file), line: number(line), call: number(call) });
    }
    programs.iter().all(|program| program.left > 0).then_some(all)
}

/// A program that has been run up to some byte.
struct Program<'data> {
    runs: Runs<'data>,
    run: Option<Run>,
    /// Runs that may still be taken.
    left: usize,
}

impl<'data> Program<'data> {
    fn new(mut runs: Runs<'data>, most: usize) -> Self {
        Self { run: runs.next(), runs, left: most }
    }

    /// The run that holds a byte, which does not lie before that of the last call.
    fn run_at(&mut self, offset: u64) -> Option<Run> {
        while self.run.is_some_and(|run| run.end <= offset) {
            self.left = self.left.saturating_sub(1);
            self.run = if self.left > 0 { self.runs.next() } else { None };
        }
        self.run
    }
}

/// Files or inlined calls of one function; the largest real ones have some thousands.
const MAX_NAMED: usize = 1 << 14;
/// Bytes of texts that are not in the file as they are printed: damaged ones, and generic functions.
const MAX_OWNED: usize = 1 << 20;

/// What has a text: in the file, or in memory of its own.
trait Texted {
    fn owned_bytes(&self) -> usize;
}

/// The different numbers that have a value, in their order, and their values. None where there are too many.
fn named<T: Texted>(
    numbers: impl Iterator<Item = i32>,
    value: impl Fn(i32) -> Option<T>,
) -> Option<(Vec<i32>, Vec<T>)> {
    let mut numbers: Vec<i32> = numbers.filter(|&number| number >= 0).collect();
    numbers.dedup();
    numbers.sort_unstable();
    numbers.dedup();
    if numbers.len() > MAX_NAMED {
        return None;
    }
    let (mut known, mut values, mut owned) = (Vec::new(), Vec::new(), 0_usize);
    for number in numbers {
        let Some(value) = value(number) else { continue };
        owned += value.owned_bytes();
        if owned > MAX_OWNED {
            return None;
        }
        known.push(number);
        values.push(value);
    }
    Some((known, values))
}

/// Where a number is in the list; beyond it when it is not there.
fn index_of(number: i32, numbers: &[i32]) -> u32 {
    numbers.binary_search(&number).ok().and_then(|index| u32::try_from(index).ok()).unwrap_or(u32::MAX)
}

fn at<T>(values: &[T], index: u32) -> Option<&T> {
    values.get(usize::try_from(index).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs<'p>(programs: [&'p [u8]; 3]) -> [Runs<'p>; 3] {
        programs.map(|program| Runs::new(program, 1))
    }

    #[test]
    fn programs_are_merged_where_any_of_them_changes() {
        // Files 3 up to byte 8; lines 10 up to 4, 12 up to 6, 11 up to 10; no calls.
        let all = merged(programs([&[8, 8, 0], &[22, 4, 4, 2, 1, 4, 0], &[]]), 9).unwrap();
        let all: Vec<_> = all.iter().map(|it| (it.end, it.file, it.line, it.call)).collect();
        assert_eq!(all, [(4, 3, 10, -1), (6, 3, 12, -1), (8, 3, 11, -1), (10, -1, 11, -1)]);
        assert_eq!(merged(programs([&[], &[], &[]]), 9), Some(vec![]));
    }

    #[test]
    fn no_more_runs_are_taken_than_allowed() {
        let many = [2, 1].repeat(1000);
        assert_eq!(merged(programs([&many, &[], &[]]), 1001).unwrap().len(), 1000);
        assert_eq!(merged(programs([&[], &many, &[]]), 1000), None);
        let empty = [2, 0].repeat(1000);
        assert_eq!(merged(programs([&[], &[], &empty]), 1000), None);
    }

    #[test]
    fn calls_that_go_round_in_circles_end() {
        let call = Call { name: "main.f".into(), is_wrapper: false, parent_offset: 0 };
        let function = DecodedFunction {
            name: "main.g".into(),
            is_wrapper: true,
            ends: vec![4],
            stretches: vec![Stretch { line: 7, file: 0, call: 0 }],
            files: vec!["a.go".into()],
            calls: vec![call],
        };
        let frames: Vec<_> = function.frames(1).map(|frame| (frame.function, frame.inlined)).collect();
        assert_eq!(frames, [("main.f".into(), true), ("main.g".into(), false)]);
        // Beyond the last stretch nothing but the function is known.
        let beyond: Vec<_> = function.frames(4).collect();
        assert_eq!(
            beyond,
            [Frame { function: "main.g".into(), file: UNKNOWN, line: 0, inlined: false, wrapper: true }]
        );
    }

    #[test]
    fn numbers_are_listed_once() {
        let numbers = [7, 7, 2, -1, 7, 2, 0, 5];
        let (known, names) =
            named(numbers.into_iter(), |number| (number != 5).then(|| Cow::<str>::Owned(number.to_string()))).unwrap();
        assert_eq!((known.as_slice(), names.join(" ").as_str()), (&[0, 2, 7][..], "0 2 7"));
        assert_eq!([0, 7, 5, -1].map(|number| index_of(number, &known)), [0, 2, u32::MAX, u32::MAX]);
    }

    #[test]
    fn texts_are_bounded_in_number_and_in_memory() {
        let many = || 0..i32::try_from(MAX_NAMED).unwrap();
        assert!(named(many(), |_| Some(Cow::Borrowed("a.go"))).is_some());
        assert!(named(many().chain([i32::MAX]), |_| Some(Cow::Borrowed("a.go"))).is_none());
        let long = || Some(Cow::<str>::Owned("x".repeat(MAX_OWNED / 4)));
        assert!(named(0..4, |_| long()).is_some());
        assert!(named(0..5, |_| long()).is_none());
    }
}
