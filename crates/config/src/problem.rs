//! What is wrong with a setting, and where.

use std::fmt;

/// The exit code of a program whose configuration is wrong, as in sysexits.h.
pub const EX_CONFIG: u8 = 78;

/// Something is wrong with a setting. As text it is one line; [`Problem::shown`] has the line of the file, too, unless that may
/// have a secret in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file or variable.
    pub(crate) place: String,
    /// Where in the file.
    pub(crate) at: Option<At>,
    /// What is wrong, and what would be right.
    pub(crate) why: String,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct At {
    /// From 1 on.
    line: usize,
    /// In characters, from 1 on.
    column: usize,
    /// The line itself; none where it may have a secret in it.
    text: Option<String>,
    /// Characters that the carets are under.
    width: usize,
}

impl Problem {
    /// A problem with a file or variable as a whole.
    pub fn of(place: impl Into<String>, why: impl Into<String>) -> Self {
        Self { place: place.into(), at: None, why: why.into() }
    }

    /// The problem with the line that it is about, and carets under what is wrong in it. Ends without a line break.
    #[must_use]
    pub fn shown(&self) -> String {
        let Some(At { line, column, text: Some(text), width }) = &self.at else { return self.to_string() };
        let (number, blank) = (line.to_string(), " ".repeat(line.to_string().len()));
        // Tabs stay, so that the carets stand under their characters whatever the width of a tab.
        let before = text.chars().take(column - 1).map(|c| if c == '\t' { '\t' } else { ' ' });
        let carets: String = before.chain(std::iter::repeat_n('^', *width)).collect();
        format!("{self}\n{blank} |\n{number} | {text}\n{blank} | {carets}")
    }

    /// The line, from 1 on, if it is about one.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.at.as_ref().map(|at| at.line)
    }
}

impl At {
    /// The place of these bytes in `text`; what goes on behind its line is left out.
    pub(crate) fn of(text: &str, span: std::ops::Range<usize>) -> Self {
        let floor = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let (begin, end) = (floor(span.start), floor(span.end));
        let from = text[..begin].rfind('\n').map_or(0, |at| at + 1);
        let line_text = text[from..].split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let column = text[from..begin].chars().count() + 1;
        let rest = line_text.chars().count().saturating_sub(column - 1);
        let width = text[begin..end.max(begin)].chars().count().min(rest).max(1);
        Self { line: text[..begin].matches('\n').count() + 1, column, text: Some(line_text.to_owned()), width }
    }

    /// The place without what stands there.
    pub(crate) fn hidden(self) -> Self {
        Self { text: None, ..self }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, at, why } = self;
        match at {
            Some(At { line, column, .. }) => write!(f, "{place}:{line}:{column}: {why}"),
            None => write!(f, "{place}: {why}"),
        }
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str, span: std::ops::Range<usize>) -> Problem {
        Problem { place: "a.toml".to_owned(), at: Some(At::of(text, span)), why: "no".to_owned() }
    }

    #[test]
    fn carets_are_under_what_is_wrong() {
        let text = "a = 1\n\tübel = 22\n";
        let shown = problem(text, 7..12).shown();
        assert_eq!(shown, "a.toml:2:2: no\n  |\n2 | \tübel = 22\n  | \t^^^^");
    }

    #[test]
    fn a_span_of_many_lines_ends_with_its_first_and_an_end_has_a_caret_too() {
        assert_eq!(problem("a = [\n1]", 4..8).shown(), "a.toml:1:5: no\n  |\n1 | a = [\n  |     ^");
        assert_eq!(problem("a =", 3..3).shown(), "a.toml:1:4: no\n  |\n1 | a =\n  |    ^");
        assert_eq!(problem("a\r\nb", 0..9).shown(), "a.toml:1:1: no\n  |\n1 | a\n  | ^");
        assert_eq!(problem("", 5..9).to_string(), "a.toml:1:1: no");
    }
}
