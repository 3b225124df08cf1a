//! Where symbols differ, and why.

use std::collections::BTreeMap;
use std::fmt;

/// Examples that are kept of what is not explained.
const EXAMPLES: usize = 20;

/// A known cause of a difference, which lies with what ours is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Cause {
    /// The runtime leaves functions out that only pass a call on, where they do not stand innermost.
    Wrapper,
    /// The compiler lost a place of a call, so that the runtime goes round in a circle.
    Endless,
    /// The runtime cannot print the name at the very start of the name table.
    FirstName,
    /// Between functions there is neither file nor line: addr2line says so in its own way, an empty file and line -1.
    Padding,
    /// A function without a program for its lines, C code mostly: addr2line runs what stands at the start of all programs instead.
    NoProgram,
    /// addr2line takes code that no Go function has for a part of the last one before it.
    NoGoFunction,
}

/// Bytes of code at which symbols differ.
#[derive(Debug, Default)]
pub(super) struct Differences {
    explained: BTreeMap<Cause, u64>,
    unexplained: u64,
    examples: Vec<String>,
}

impl Differences {
    pub(super) fn explain(&mut self, cause: Cause) {
        *self.explained.entry(cause).or_default() += 1;
    }

    /// Counts one without a cause; `example` tells of it.
    pub(super) fn protest(&mut self, example: impl FnOnce() -> String) {
        self.unexplained += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(example());
        }
    }

    pub(super) fn explained(&self) -> u64 {
        self.explained.values().sum()
    }

    pub(super) fn unexplained(&self) -> u64 {
        self.unexplained
    }

    /// Adds those of another program.
    pub(super) fn add(&mut self, other: &Self) {
        for (cause, count) in &other.explained {
            *self.explained.entry(*cause).or_default() += count;
        }
        self.unexplained += other.unexplained;
        let room = EXAMPLES.saturating_sub(self.examples.len());
        self.examples.extend(other.examples.iter().take(room).cloned());
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Wrapper => "the runtime leaves out a function that only passes a call on",
            Self::Endless => {
                "the table has a call around itself, on which the runtime never ends; only the innermost is compared"
            }
            Self::FirstName => "the runtime cannot print the first name of the name table",
            Self::Padding => "padding behind a function, of which addr2line says `:-1`, and the runtime and we `?:0`",
            Self::NoProgram => {
                "functions without lines, of which addr2line tells others', and the runtime and we `?:0`"
            }
            Self::NoGoFunction => "code without a Go function, which addr2line gives to the one before",
        })
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (cause, count) in &self.explained {
            writeln!(f, "{count} bytes: {cause}")?;
        }
        writeln!(f, "{} bytes: unexplained", self.unexplained)?;
        self.examples.iter().try_for_each(|example| writeln!(f, "    {example}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_counted_by_cause_and_the_others_shown() {
        let mut one = Differences::default();
        one.explain(Cause::Wrapper);
        one.protest(|| "0x401000: ours f, theirs g".to_owned());
        let mut all = Differences::default();
        all.add(&one);
        all.add(&one);
        assert_eq!((all.explained(), all.unexplained()), (2, 2));
        assert!(
            all.to_string()
                .ends_with("2 bytes: unexplained\n    0x401000: ours f, theirs g\n    0x401000: ours f, theirs g\n")
        );
    }
}
