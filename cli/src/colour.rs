//! Colours of the terminal, as the ANSI sequences that every terminal knows.

/// A way to write text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    Red,
    Green,
    Yellow,
    Blue,
    Magenta,
    Cyan,
    Grey,
    Bold,
}

impl Colour {
    fn foreground(self) -> &'static str {
        match self {
            Self::Red => "31",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Blue => "34",
            Self::Magenta => "35",
            Self::Cyan => "36",
            Self::Grey => "90",
            Self::Bold => "1",
        }
    }
}

/// Writes in colour, or does not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Palette {
    /// Whether sequences are written at all.
    pub(crate) enabled: bool,
}

impl Palette {
    /// `text` in `colour`.
    pub(crate) fn paint(self, colour: Colour, text: &str) -> String {
        self.wrap(colour.foreground(), text)
    }

    /// `text` on a ground of `colour`.
    pub(crate) fn paint_ground(self, colour: Colour, text: &str) -> String {
        self.wrap(&format!("7;{}", colour.foreground()), text)
    }

    fn wrap(self, codes: &str, text: &str) -> String {
        if self.enabled && !text.is_empty() { format!("\x1b[{codes}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_added_without_colour() {
        assert_eq!(Palette { enabled: false }.paint(Colour::Red, "x"), "x");
        assert_eq!(Palette { enabled: true }.paint(Colour::Red, "x"), "\x1b[31mx\x1b[0m");
        assert_eq!(Palette { enabled: true }.paint(Colour::Red, ""), "");
    }
}
