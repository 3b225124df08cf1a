//! The keys of a `[[rule]]` as a table of the documentation.

const KEYS: [(&str, &str, &str); 11] = [
    ("service", "pattern", "the service that a process belongs to"),
    ("exe", "pattern", "its executable: the whole path where there is a slash in it, else the file's name"),
    ("container", "pattern", "its container, by name or id"),
    ("pod", "pattern", "its pod, by name or uid"),
    ("namespace", "pattern", "the namespace of its pod"),
    ("observe", "`true`, `false`", "whether it is observed"),
    ("threshold", "duration", "as the key for all; so are the others below"),
    ("open_after", "duration", ""),
    ("budget", "percent or off", ""),
    ("without", "kinds, a list", ""),
    ("with", "kinds, a list", ""),
];

/// For whom a rule is, and what it changes for them.
#[must_use]
pub fn rule_table() -> String {
    let line = |(key, values, meaning): (&str, &str, &str)| {
        let meaning = if meaning.is_empty() { "likewise" } else { meaning };
        format!("| `rule.{key}` | {values} | {meaning} |\n")
    };
    format!("| key | values | meaning |\n| --- | --- | --- |\n{}", KEYS.into_iter().map(line).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choice::RuleText;

    /// A key that is none would be refused with all that there are.
    #[test]
    fn all_keys_are_there() {
        let why = serde_json::from_str::<RuleText>("{\"no such\": 1}").unwrap_err().to_string();
        let known: Vec<&str> = why.split('`').skip(3).step_by(2).collect();
        assert_eq!(KEYS.map(|(key, ..)| key).as_slice(), known.as_slice(), "{why}");
    }
}
