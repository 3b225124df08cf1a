//! What all pictures have in common.

use std::fmt::{self, Write};

/// Begins a picture, on white.
pub(super) fn write_begin(out: &mut String, width: f64, height: f64) -> fmt::Result {
    writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" font-family=\"sans-serif\" font-size=\"12\">"
    )?;
    writeln!(out, "<rect width=\"{width:.0}\" height=\"{height:.0}\" fill=\"#ffffff\"/>")
}

/// A line of text at a place; `anchor` is the end of it that is there, and `more` goes into its tag.
pub(super) fn write_text(out: &mut String, x: f64, y: f64, anchor: &str, more: &str, text: &str) -> fmt::Result {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\"{more}>{text}</text>")
}

/// Tags that are open at the end, or the first that does not fit.
#[cfg(test)]
pub(super) fn unbalanced(text: &str) -> Option<String> {
    let mut open: Vec<String> = Vec::new();
    for tag in text.split('<').skip(1) {
        let (tag, _) = tag.split_once('>')?;
        if tag.matches('"').count() % 2 == 1 {
            return Some(tag.to_owned());
        }
        let name = tag.split([' ', '/']).find(|word| !word.is_empty())?.to_owned();
        match () {
            () if tag.starts_with('/') => match open.pop() {
                Some(last) if last == name => {}
                _ => return Some(name),
            },
            () if !tag.ends_with('/') => open.push(name),
            () => {}
        }
    }
    open.pop()
}
