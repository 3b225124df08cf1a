//! What standard output is: a terminal or a pipe, how wide, in colour or not.

use std::io::{IsTerminal, stdout};

/// The width of everything that does not go to a terminal.
const PIPED_WIDTH: usize = 120;

/// Whether standard output is a terminal.
pub(crate) fn is_terminal() -> bool {
    stdout().is_terminal()
}

/// Columns of the terminal, or 120 in a pipe.
pub(crate) fn width() -> usize {
    rustix::termios::tcgetwinsize(stdout())
        .ok()
        .map(|size| usize::from(size.ws_col))
        .filter(|columns| *columns > 0)
        .unwrap_or(PIPED_WIDTH)
}

/// Whether to colour: on a terminal that is not dumb, unless `NO_COLOR` (no-color.org) is set to anything.
pub(crate) fn wants_colour() -> bool {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    is_terminal() && set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}
