//! What serde says, in words of those who write files.

/// Types of programs, and what people call them.
const TYPES: [(&str, &str); 6] = [
    ("a sequence", "a list"),
    ("a map", "a table"),
    ("a boolean", "true or false"),
    ("a string", "a text"),
    ("a borrowed string", "a text"),
    ("floating point number", "a number"),
];

/// The same, with what is expected told plainly: "invalid type: integer `5`, expected struct AlertsText" expects a table.
pub(crate) fn plainly(message: &str) -> String {
    let Some((found, expected)) = message.split_once(", expected ") else { return message.to_owned() };
    let expected = match expected {
        _ if expected.starts_with("struct ") => "a table",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number that is not negative",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "bool" => "true or false",
        _ => TYPES.iter().find(|(name, _)| *name == expected).map_or(expected, |(_, plain)| plain),
    };
    let found = match found {
        "invalid type: map" => "invalid type: table",
        "invalid type: sequence" => "invalid type: list",
        found => found,
    };
    format!("{found}, expected {expected}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_programs_are_told_as_people_call_them() {
        for (said, told) in [
            ("invalid type: integer `5`, expected struct AlertsText", "invalid type: integer `5`, expected a table"),
            ("invalid type: map, expected a boolean", "invalid type: table, expected true or false"),
            (
                "invalid value: integer `-1`, expected u32",
                "invalid value: integer `-1`, expected a whole number that is not negative",
            ),
            ("invalid type: string \"x\", expected a sequence", "invalid type: string \"x\", expected a list"),
            ("\"10\" is no duration", "\"10\" is no duration"),
            ("missing field `url`", "missing field `url`"),
        ] {
            assert_eq!(plainly(said), told);
        }
    }
}
