//! Names of functions as people write them. What a C++ name of some hundred bytes stands for may be longer than any memory, so it is
//! written down only as far as it is read.

use std::fmt::{self, Write};

/// Bytes of a name: C++ has longer ones than people read.
pub(super) const NAME_BYTES: usize = 512;
/// Bytes of a mangled name; longer ones stay as they are.
const MOST_MANGLED: usize = 16 << 10;

/// The name that a symbol table or debug information has for a function, cut.
pub(super) fn readable(name: &[u8]) -> String {
    let is_cut = name.len() > MOST_MANGLED;
    let name = String::from_utf8_lossy(name.get(..MOST_MANGLED).unwrap_or(name));
    let demangled = if is_cut { None } else { of_rust(&name).or_else(|| of_cpp(&name)) };
    demangled.unwrap_or_else(|| cut(&name))
}

fn of_rust(name: &str) -> Option<String> {
    let symbol = rustc_demangle::try_demangle(name).ok()?;
    written(|text| write!(text, "{symbol:#}"))
}

fn of_cpp(name: &str) -> Option<String> {
    // Without it the name of a C function is taken for a type's: `f` is a float.
    if !name.starts_with("_Z") {
        return None;
    }
    let symbol = cpp_demangle::Symbol::new(name).ok()?;
    written(|text| symbol.structured_demangle(text, &cpp_demangle::DemangleOptions::default()))
}

fn cut(name: &str) -> String {
    crate::text::cut(name.to_owned(), NAME_BYTES)
}

/// What is written until nothing more is taken; none where it goes wrong before.
fn written(write: impl FnOnce(&mut Text) -> fmt::Result) -> Option<String> {
    let mut text = Text::default();
    let is_whole = write(&mut text).is_ok();
    (is_whole || text.is_full).then_some(text.text)
}

/// As much as a name has.
#[derive(Default)]
struct Text {
    text: String,
    is_full: bool,
}

impl Write for Text {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = NAME_BYTES - self.text.len();
        self.is_full |= more.len() > room;
        self.text.push_str(more.get(..more.floor_char_boundary(room)).unwrap_or_default());
        if self.is_full { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_language_are_readable() {
        let names = [
            ("_ZN5store5flushEi", "store::flush(int)"),
            ("_ZN5store5flush17h0123456789abcdefE", "store::flush"),
            ("_RNvC5store5flush", "store::flush"),
            ("clock_nanosleep", "clock_nanosleep"),
            ("f", "f"),
            ("_Z", "_Z"),
        ];
        for (name, expected) in names {
            assert_eq!(readable(name.as_bytes()), expected);
        }
        assert_eq!(readable(b"\xff"), "\u{fffd}");
    }

    /// `f(P<int, int>, P<that, that>, ...)`: each further argument is twice as long.
    #[test]
    fn a_name_that_stands_for_gigabytes_is_cut() {
        const DOUBLINGS: usize = 30;
        let number = |place: usize| match place {
            0 => "S_".to_owned(),
            place => format!("S{}_", char::from_digit(place as u32 - 1, 36).unwrap().to_ascii_uppercase()),
        };
        let doubled = |last: usize| format!("S_I{0}{0}E", number(last));
        let name: String = std::iter::once("_Z1f1PIiiE".to_owned()).chain((1..=DOUBLINGS).map(doubled)).collect();
        let readable = readable(name.as_bytes());
        assert!(readable.starts_with("f(P<int, int>, P<P<int, int>, P<int, int> >"), "{readable}");
        assert!(readable.len() <= NAME_BYTES && readable.len() > NAME_BYTES - 16, "{}", readable.len());
    }

    #[test]
    fn a_long_name_is_cut_at_a_character() {
        assert_eq!(readable("é".repeat(MOST_MANGLED).as_bytes()).len(), NAME_BYTES);
    }
}
