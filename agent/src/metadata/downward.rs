//! What a pod's downward files say of it. Pure.

use std::collections::BTreeMap;

/// Labels as a downward volume has them: a line `key="value"` each, the value quoted as by Go's `%q`
/// (`pkg/fieldpath` of kubernetes/kubernetes). Values of labels need no escapes; lines with some are passed over.
pub(super) fn labels(text: &str) -> BTreeMap<String, String> {
    let label = |line: &str| {
        let (key, quoted) = line.split_once('=')?;
        let value = quoted.trim_end().strip_prefix('"')?.strip_suffix('"')?;
        (!value.contains(['"', '\\'])).then(|| (key.to_owned(), value.to_owned()))
    };
    text.lines().filter_map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_line_by_line() {
        let found = labels("app=\"web\"\napp.kubernetes.io/name=\"shop-web\"\nempty=\"\"\n");
        assert_eq!(found["app.kubernetes.io/name"], "shop-web");
        assert_eq!((found["app"].as_str(), found["empty"].as_str(), found.len()), ("web", "", 3));
    }

    #[test]
    fn other_lines_are_passed_over() {
        let found = labels("app=web\nx\n=\n\"\na=\"\\u0041\"\nb=\"1\" \r\nc=\"a\"b\"\nd=\"\n");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [("b".to_owned(), "1".to_owned())]);
    }
}
