//! An answer on standard output: text for people, or a JSON document for programs.

use std::io::{self, Write};

use serde::Serialize;

use crate::colour::Palette;
use crate::terminal;

/// Prints what `text` makes for this terminal, of so many columns; for what is no terminal of as many as there are.
pub(crate) fn print_text(text: impl FnOnce(usize, Palette) -> String) -> io::Result<()> {
    let width = if terminal::is_terminal() { terminal::width() } else { usize::MAX };
    let text = text(width, Palette { enabled: terminal::wants_colour() });
    io::stdout().lock().write_all(text.as_bytes())
}

/// Prints a document, and a line feed after it.
pub(crate) fn print_json(document: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, document).map_err(io::Error::from)?;
    writeln!(out)
}
