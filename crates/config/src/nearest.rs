//! What may have been meant.

/// The known word that is nearest to `word`, unless none is near.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let word = word.to_lowercase().replace('-', "_");
    let distance = |known: &str| strsim::damerau_levenshtein(&word, &known.replace('-', "_"));
    // A third of its letters may be wrong.
    let is_near = |(known, distance): &(&str, usize)| *distance <= (known.chars().count() / 3).max(1);
    let all = known.into_iter().map(|known| (known, distance(known)));
    all.filter(is_near).min_by_key(|(_, distance)| *distance).map(|(known, _)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["threshold", "open_after", "region", "root"];
        for (word, meant) in [
            ("threshhold", Some("threshold")),
            ("open-after", Some("open_after")),
            ("Region", Some("region")),
            ("roto", Some("root")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
    }
}
