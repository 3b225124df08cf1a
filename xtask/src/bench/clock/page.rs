//! The page that keeps the tables.

use std::fs;

use anyhow::{Context, Result};

use crate::place;

const BEGIN: &str = "<!-- bench clock: begin -->\n";
const END: &str = "<!-- bench clock: end -->\n";

/// Writes the tables between the markers of docs/accuracy.md.
///
/// # Errors
/// When the page cannot be read or written, or has no markers.
pub(super) fn write(tables: &str) -> Result<()> {
    let path = place::workspace().join("docs").join("accuracy.md");
    let page = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let page = replaced(&page, tables).with_context(|| path.display().to_string())?;
    fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))
}

fn replaced(page: &str, tables: &str) -> Result<String> {
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("no line {}", BEGIN.trim()))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("no line {}", END.trim()))?;
    Ok(format!("{before}{BEGIN}{}\n\n{END}{after}", tables.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_is_replaced() {
        let page = format!("a\n\n{BEGIN}old\n{END}\nb\n");
        let once = replaced(&page, "new\n\n").unwrap();
        assert_eq!(once, format!("a\n\n{BEGIN}new\n\n{END}\nb\n"));
        assert_eq!(replaced(&once, "new\n\n").unwrap(), once);
    }

    #[test]
    fn a_page_without_markers_is_left_alone() {
        assert!(replaced("a\n", "new").is_err());
        assert!(replaced(&format!("{END}{BEGIN}"), "new").is_err());
    }
}
