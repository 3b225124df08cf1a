//! Texts from outside, made to fit.

/// The longest beginning of a text that has at most `most_bytes` bytes and ends at a character.
pub(crate) fn cut(mut text: String, most_bytes: usize) -> String {
    text.truncate(text.floor_char_boundary(most_bytes));
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_text_is_cut_at_a_character() {
        assert_eq!(super::cut("ééé".to_owned(), 5), "éé");
        assert_eq!(super::cut("short".to_owned(), 255), "short");
    }
}
