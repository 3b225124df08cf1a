//! What must not be told of a file: values that may have passwords in them.

use std::ops::Range;

use toml::de::DeTable;

use crate::nearest::nearest;

/// Whether what stands there is, or is beside, the value of one of these keys.
///
/// It goes by lines, since what is wrong may be that the file is no TOML. From the head of a table that is called so, and from a key that is, unless
/// its value ends with its line, all is hidden down to the next head. Rather too much is hidden than too little.
pub(crate) fn is_secret(text: &str, span: &Range<usize>, secrets: &[&str]) -> bool {
    let begin = (0..=span.start.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let line_end = text[begin..].find('\n').map_or(text.len(), |at| begin + at);
    let mut is_within = false;
    let mut is_hidden = false;
    // A line break at the end begins another line, which is empty.
    for line in text[..line_end].split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let is_named = names(line, secrets);
        let begins_table = line.trim_start().starts_with('[');
        is_within = if begins_table && is_named {
            true
        } else if is_head(line) {
            false
        } else {
            is_within || is_named && DeTable::parse(line).is_err()
        };
        is_hidden = is_within || is_named;
    }
    is_hidden
}

/// Whether one of the keys is in the line, maybe misspelled.
fn names(line: &str, secrets: &[&str]) -> bool {
    let mut words = line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-'));
    // Short ones are near to too much.
    let long = || secrets.iter().copied().filter(|secret| secret.len() > 4);
    words.any(|word| secrets.contains(&word) || nearest(word, long()).is_some())
}

/// The head of a table, and no item of a list.
fn is_head(line: &str) -> bool {
    let head = line.split('#').next().unwrap_or_default().trim();
    head.starts_with('[') && head.ends_with(']') && !head.contains(['"', '\'', '=', ','])
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
            ("[alerts.webhook.headers] # chat\nAuthorization = \"Bearer hunter2\n", "hunter2"),
            ("[alerts]\n  [alerts.webhook.headers]\n  Authorization = \"Bearer hunter2\n", "hunter2"),
            ("[alerts.webhook.\"headers\"]\nAuthorization = \"Bearer hunter2\n", "hunter2"),
            ("[alerts.webhook.haeders]\nAuthorization = \"Bearer hunter2\n", "hunter2"),
            ("kafka_config = \"\"\"\nsasl.password=hunter2\\q\n\"\"\"\n", "hunter2"),
            ("[[alerts.webhook]]\nheaders = {\n  X = \"a\",\n  Authorization = \"Bearer hunter2\n}\n", "hunter2"),
            ("[[alerts.webhook]]\nheaders = {\nX = \"a\",\nAuthorization = 5 # hunter2\n}\n", "5 # hunter2"),
        ] {
            let told = shown(text, part);
            assert!(!told.contains("hunter2") && told.contains("a.toml:"), "{text}: {told}");
        }
    }

    #[test]
    fn what_is_no_secret_is_told() {
        let text = "clickhouse_url = \"http://c\"\nregion = \"eu/1\"\n";
        assert!(shown(text, "eu/1").contains("2 | region = \"eu/1\"\n"));
        let text = "[alerts.webhook.headers]\nX = \"y\"\n\n [alerts.limits] # all's\nstep = \"1\"\n";
        assert!(shown(text, "\"1\"").contains("5 | step = \"1\"\n"));
    }
}
