//! The pages that keep the tables.

use std::fs;

use anyhow::{Context, Result};

use crate::place;

/// A place on a page of docs/, between two marks.
pub(super) struct Page {
    /// The page.
    pub(super) name: &'static str,
    /// What the marks say.
    pub(super) mark: &'static str,
}

impl Page {
    /// Writes the tables between the marks.
    ///
    /// # Errors
    /// When the page cannot be read or written, or has no marks.
    pub(super) fn write(&self, tables: &str) -> Result<()> {
        let path = place::workspace().join("docs").join(self.name);
        let page = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let page = self.replaced(&page, tables).with_context(|| path.display().to_string())?;
        fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))
    }

    fn replaced(&self, page: &str, tables: &str) -> Result<String> {
        let [begin, end] = ["begin", "end"].map(|which| format!("<!-- {}: {which} -->\n", self.mark));
        let (before, rest) = page.split_once(&begin).with_context(|| format!("no line {}", begin.trim()))?;
        let (_, after) = rest.split_once(&end).with_context(|| format!("no line {}", end.trim()))?;
        Ok(format!("{before}{begin}{}\n\n{end}{after}", tables.trim_end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: Page = Page { name: "page.md", mark: "bench" };
    const BEGIN: &str = "<!-- bench: begin -->\n";
    const END: &str = "<!-- bench: end -->\n";

    #[test]
    fn only_what_is_between_the_markers_is_replaced() {
        let page = format!("a\n\n{BEGIN}old\n{END}\nb\n");
        let once = PAGE.replaced(&page, "new\n\n").unwrap();
        assert_eq!(once, format!("a\n\n{BEGIN}new\n\n{END}\nb\n"));
        assert_eq!(PAGE.replaced(&once, "new\n\n").unwrap(), once);
    }

    #[test]
    fn a_page_without_markers_is_left_alone() {
        assert!(PAGE.replaced("a\n", "new").is_err());
        assert!(PAGE.replaced(&format!("{END}{BEGIN}"), "new").is_err());
    }
}
