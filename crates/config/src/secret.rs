//! What must not be told of a file: values that may have passwords in them.

use std::ops::Range;

use crate::nearest::nearest;

/// Whether what stands there is, or is beside, the value of one of these keys.
///
/// It goes by lines, since what is wrong may be that the file is no TOML: by the line itself, which may have several keys, by the newest key at or
/// before it, whose value may go on there, and by the table. Rather too much is hidden than too little.
pub(crate) fn is_secret(text: &str, span: &Range<usize>, secrets: &[&str]) -> bool {
    let floor = |at: usize| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let begin = floor(span.start);
    let line_begin = text[..begin].rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[begin..].find('\n').map_or(text.len(), |at| begin + at);
    let names = |line: &str| {
        let mut words = line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'));
        // One that was misspelled, too.
        let key = words.clone().find(|word| !word.is_empty()).unwrap_or_default();
        let is_meant = nearest(key, secrets.iter().copied().filter(|secret| secret.len() > 4)).is_some();
        is_meant || words.any(|word| secrets.contains(&word))
    };
    if names(&text[line_begin..line_end]) {
        return true;
    }
    let mut above = text[..line_end].lines().rev().filter(|line| begins_something(line));
    let Some(newest) = above.next() else { return false };
    // The table that it is in, too.
    names(newest) || !newest.starts_with('[') && above.find(|line| line.starts_with('[')).is_some_and(names)
}

/// A key or the head of a table, as they begin lines; what is indented may be within a text of many lines, or a list.
fn begins_something(line: &str) -> bool {
    let is_bare = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    if line.starts_with('[') {
        return line.trim_end().ends_with(']') && !line.contains(['"', '\'', '=']);
    }
    let key = line.trim_start_matches(is_bare);
    key.len() < line.len() && key.trim_start().starts_with('=') && !line.ends_with("\\")
}

/// Words on a value without the value: what they quote goes.
pub(crate) fn unquoted(why: &str) -> String {
    let quotes = ['"', '`', '\''];
    match (why.find(quotes), why.rfind(quotes)) {
        (Some(first), Some(last)) if first < last => {
            format!("{}(not shown: it may be a secret){}", &why[..first], &why[last + 1..])
        }
        _ => why.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use crate::Document;

    const SECRETS: &[&str] = &["clickhouse_url", "kafka_config", "headers"];

    fn shown(text: &str, part: &str) -> String {
        let found = text.find(part).unwrap_or_default();
        match Document::parse("a.toml", text, SECRETS) {
            Ok(document) => {
                document.quoted_problem(found..found + part.len(), &format!("no such thing as \"{part}\"")).shown()
            }
            Err(problem) => problem.shown(),
        }
    }

    #[test]
    fn neither_line_nor_value_of_a_secret_is_told() {
        for (text, part) in [
            ("clickhouse_url = \"http://u:hunter2@c\"\n", "http://u:hunter2@c"),
            ("kafka_config = [\n  \"a=b\",\n  \"sasl.password=hunter2\",\n]\n", "sasl.password=hunter2"),
            ("[[alerts.webhook]]\nheaders = { Authorization = \"hunter2\" }\n", "hunter2"),
            ("[alerts.webhook.headers]\nAuthorization = 5 # hunter2\n", "5 # hunter2"),
            ("kafka_confg = \"sasl.password=hunter2\"\n", "kafka_confg"),
            // No TOML.
            ("clickhouse_url = \"http://u:hunter2@c\n", "hunter2"),
            ("region = \"eu\"\nkafka_config = [\"sasl.password=hunter2\n", "hunter2"),
            ("clickhouse_url = http://u:hunter2@c\nregion = \"eu\"", "hunter2"),
        ] {
            let told = shown(text, part);
            assert!(!told.contains("hunter2") && told.contains("a.toml:"), "{text}: {told}");
        }
    }

    #[test]
    fn what_is_no_secret_is_told() {
        let text = "clickhouse_url = \"http://c\"\nregion = \"eu/1\"\n";
        assert!(shown(text, "eu/1").contains("2 | region = \"eu/1\"\n"));
    }
}
