//! What the runtime of a program says of its code, beside what is read from the file.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use syncline_gosym::{Frame, FrameCache, GoBinary, Symbolizer};

use super::Compared;
use super::differences::Cause;
use super::program::Program;

/// Bytes of memory for the cache that is verified: small, so that it is emptied time and again.
const CACHE: usize = 1 << 20;
/// Every so many bytes of code it is verified that there is no difference without a cache.
const UNCACHED: u64 = 16;

/// One call: function, file, line.
type Call<'t> = (&'t str, &'t str, u32);

/// Compares all bytes of code.
///
/// # Errors
/// When the program cannot be asked.
pub(super) fn compare(program: &Program, binary: &GoBinary<'_>, compared: &mut Compared) -> Result<()> {
    let mut command = Command::new(&program.path);
    let numbers = [program.code.start, program.code.end, program.walk];
    command.arg("walk-symbols").args(numbers.map(|number| format!("{number:x}")));
    eprintln!("asking {}", program.path.display());
    let mut child = command.stdout(Stdio::piped()).spawn()?;
    let output = child.stdout.take().context("no pipe")?;
    let mut comparison = Comparison {
        symbolizer: binary.symbolizer()?,
        cache: FrameCache::new(binary.symbolizer()?, CACHE),
        function: None,
        compared,
    };
    let mut reached = program.code.start;
    let mut said = String::new();
    for line in BufReader::with_capacity(1 << 20, output).lines() {
        let line = line?;
        let (address, rest) = line.split_once('\t').with_context(|| format!("the program says: {line}"))?;
        let address = u64::from_str_radix(address, 16).with_context(|| format!("the program says: {line}"))?;
        comparison.stretch(reached..address, &said)?;
        reached = address;
        rest.clone_into(&mut said);
    }
    let status = child.wait()?;
    ensure!(status.success() && said == "end", "{} failed ({status})", program.path.display());
    ensure!(reached == program.code.end, "the program told of its code up to {reached:#x} only");
    Ok(())
}

struct Comparison<'data, 'c> {
    symbolizer: Symbolizer<'data>,
    cache: FrameCache<'data>,
    /// The entry of the last function.
    function: Option<u64>,
    compared: &'c mut Compared,
}

impl Comparison<'_, '_> {
    /// Compares the bytes of which the program said the same.
    fn stretch(&mut self, addresses: std::ops::Range<u64>, said: &str) -> Result<()> {
        if addresses.is_empty() {
            return Ok(());
        }
        let (kind, theirs) = parse(said).with_context(|| format!("the program says: {said}"))?;
        for address in addresses {
            self.byte(address, kind, &theirs)?;
        }
        Ok(())
    }

    fn byte(&mut self, address: u64, kind: &str, theirs: &[Call<'_>]) -> Result<()> {
        let function = self.symbolizer.function_at(address).map(|function| function.entry);
        self.compared.functions += usize::from(function.is_some() && function != self.function);
        self.function = function;
        let frames = self.cache.frames(address);
        if address.is_multiple_of(UNCACHED) {
            ensure!(self.symbolizer.frames(address) == frames, "the cache has other symbols for {address:#x}");
        }
        let compared = &mut *self.compared;
        compared.bytes += 1;
        let ours = match kind {
            "all" => frames,
            "inner" => {
                compared.only_innermost += 1;
                frames.get(..1).unwrap_or(frames)
            }
            "endless" => {
                compared.differences.explain(Cause::Endless);
                frames.get(..1).unwrap_or(frames)
            }
            _ => bail!("the program has an unknown kind of calls: {kind}"),
        };
        match verdict(ours, theirs) {
            Ok(causes) => {
                compared.calls += theirs.len() as u64;
                compared.inlined += frames.iter().filter(|frame| frame.inlined).count().min(theirs.len()) as u64;
                causes.into_iter().for_each(|cause| compared.differences.explain(cause));
            }
            Err(()) => {
                compared.differences.protest(|| format!("{address:#x}: ours {ours:?}, the runtime's {theirs:?}"));
            }
        }
        Ok(())
    }
}

/// Kind and calls of a line, without its address.
fn parse(said: &str) -> Option<(&str, Vec<Call<'_>>)> {
    let mut words = said.split('\t');
    let kind = words.next()?;
    let mut calls = Vec::new();
    while let Some(function) = words.next() {
        calls.push((function, words.next()?, words.next()?.parse().ok()?));
    }
    Some((kind, calls))
}

/// The causes of the differences, if any; an error when they cannot be explained.
fn verdict(ours: &[Frame<'_>], theirs: &[Call<'_>]) -> Result<Option<Cause>, ()> {
    let mut cause = None;
    let mut theirs = theirs.iter();
    for (depth, frame) in ours.iter().enumerate() {
        let next = theirs.as_slice().first();
        let is_same =
            |&(function, file, line): &Call<'_>| (&*frame.function, &*frame.file, frame.line) == (function, file, line);
        let has_no_name =
            |&(function, file, line): &Call<'_>| function.is_empty() && (&*frame.file, frame.line) == (file, line);
        if next.is_some_and(is_same) {
            theirs.next();
        } else if depth > 0 && frame.wrapper {
            cause = Some(Cause::Wrapper);
        } else if next.is_some_and(has_no_name) {
            cause = Some(Cause::FirstName);
            theirs.next();
        } else {
            return Err(());
        }
    }
    if theirs.next().is_some() { Err(()) } else { Ok(cause) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &'static str, file: &'static str, line: u32) -> Frame<'static> {
        Frame { function: function.into(), file: file.into(), line, inlined: false, wrapper: function == "g.gowrap1" }
    }

    #[test]
    fn lines_are_parsed_and_damaged_ones_refused() {
        assert_eq!(parse("all\tf\ta.go\t7\tg\tb.go\t8"), Some(("all", vec![("f", "a.go", 7), ("g", "b.go", 8)])));
        assert_eq!(parse("inner"), Some(("inner", vec![])));
        assert_eq!(parse("all\tf\ta.go"), None);
        assert_eq!(parse("all\tf\ta.go\tx"), None);
    }

    #[test]
    fn only_what_the_runtime_is_known_to_leave_out_is_explained() {
        let ours = [frame("f", "a.go", 1), frame("g.gowrap1", "b.go", 2), frame("h", "c.go", 3)];
        let all = [("f", "a.go", 1), ("g.gowrap1", "b.go", 2), ("h", "c.go", 3)];
        assert_eq!(verdict(&ours, &all), Ok(None));
        assert_eq!(verdict(&ours, &[all[0], all[2]]), Ok(Some(Cause::Wrapper)));
        assert_eq!(verdict(&ours[..1], &[("", "a.go", 1)]), Ok(Some(Cause::FirstName)));
        assert_eq!(verdict(&[], &[]), Ok(None));
        // A line, a name, a call too few, one too many, and a wrapper that is the innermost.
        assert_eq!(verdict(&ours, &[("f", "a.go", 2), all[1], all[2]]), Err(()));
        assert_eq!(verdict(&ours, &[("e", "a.go", 1), all[1], all[2]]), Err(()));
        assert_eq!(verdict(&ours, &all[..2]), Err(()));
        assert_eq!(verdict(&ours[..1], &all[..2]), Err(()));
        assert_eq!(verdict(&ours[1..], &all[2..]), Err(()));
        assert_eq!(verdict(&[], &all[..1]), Err(()));
    }
}
