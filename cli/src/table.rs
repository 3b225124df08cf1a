//! A table of text with columns that line up.

/// Where the text of a column stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// A table that grows row by row.
pub(crate) struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new(columns: &[(&str, Align)]) -> Self {
        Self { columns: columns.iter().map(|(name, align)| ((*name).to_owned(), *align)).collect(), rows: Vec::new() }
    }

    /// Adds a row; a missing cell is empty.
    pub(crate) fn push(&mut self, row: &[String]) {
        self.rows.push(row.iter().map(|cell| printable(cell)).collect());
    }

    /// The text, one line per row, cut to `width` columns.
    pub(crate) fn lines(&self, width: usize) -> Vec<String> {
        let heading = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let widths = self.widths();
        std::iter::once(&heading).chain(&self.rows).map(|row| cut(&self.line(row, &widths), width)).collect()
    }

    fn widths(&self) -> Vec<usize> {
        let widest =
            |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| columns_of(cell)).max();
        let of = |(column, (name, _)): (usize, &(String, Align))| columns_of(name).max(widest(column).unwrap_or(0));
        self.columns.iter().enumerate().map(of).collect()
    }

    fn line(&self, row: &[String], widths: &[usize]) -> String {
        let cell = |((column, (_, align)), width): ((usize, &(String, Align)), &usize)| {
            let text = row.get(column).map_or("", String::as_str);
            match align {
                Align::Left => format!("{text:<width$}"),
                Align::Right => format!("{text:>width$}"),
            }
        };
        let cells: Vec<String> = self.columns.iter().enumerate().zip(widths).map(cell).collect();
        cells.join("  ").trim_end().to_owned()
    }
}

/// `text` without control characters: names come from the nodes, and none may steer the reader's terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Columns that a text takes.
pub(crate) fn columns_of(text: &str) -> usize {
    text.chars().count()
}

/// `text` in at most `width` columns; what is cut ends in `…`.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if columns_of(text) <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_long_lines_are_cut() {
        let mut table = Table::new(&[("NODE", Align::Left), ("OFFSET", Align::Right)]);
        table.push(&["a".into(), "+1 ms".into()]);
        table.push(&["longer".into(), "-12 ms".into()]);
        assert_eq!(table.lines(80), ["NODE    OFFSET", "a        +1 ms", "longer  -12 ms"]);
        assert_eq!(printable("a\x1b[2Jb"), "a\u{fffd}[2Jb");
        assert_eq!(table.lines(6), ["NODE …", "a    …", "longe…"]);
    }
}
