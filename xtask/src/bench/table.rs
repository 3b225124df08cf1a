//! Markdown tables.

/// Prints a table with these headings; the first column is text, the others are numbers.
pub(crate) fn print(headings: &[&str], rows: &[Vec<String>]) {
    print!("{}", text(headings, rows));
}

/// A table with these headings and an empty line after it.
pub(super) fn text(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut lines = vec![line(headings.iter().copied())];
    lines.push(line((0..headings.len()).map(|column| if column == 0 { "---" } else { "---:" })));
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str))));
    lines.join("\n") + "\n\n"
}

fn line<'a>(cells: impl Iterator<Item = &'a str>) -> String {
    cells.fold("|".to_owned(), |line, cell| line + " " + cell + " |")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown() {
        let rows = [vec!["a".to_owned(), "1".to_owned()]];
        assert_eq!(text(&["what", "ns"], &rows), "| what | ns |\n| --- | ---: |\n| a | 1 |\n\n");
    }
}
