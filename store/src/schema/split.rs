//! Splits a migration file into statements: the HTTP handler takes one at a time.

/// The statements of `sql` without their `;` and without comments (`--` to the end of the line). Quotes (`'`, `` ` ``, `"`) are
/// respected, with `\` and doubling as escapes.
pub(super) fn statements(sql: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut current = String::new();
    let mut quote = None;
    let mut chars = sql.chars().peekable();
    while let Some(c) = chars.next() {
        match quote {
            Some(_) if c == '\\' => {
                current.push(c);
                current.extend(chars.next());
                continue;
            }
            // A doubled quote closes and opens again, which comes to the same.
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '\'' | '`' | '"') => quote = Some(c),
            None if c == ';' => {
                found.push(std::mem::take(&mut current));
                continue;
            }
            None if c == '-' && chars.peek() == Some(&'-') => {
                while chars.next_if(|c| *c != '\n').is_some() {}
                continue;
            }
            None => {}
        }
        current.push(c);
    }
    found.push(current);
    found.into_iter().map(|statement| statement.trim().to_owned()).filter(|statement| !statement.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_comments_hide_semicolons() {
        let sql = "-- a; comment\nSELECT 'x;''y\\';', `a;b` - 1; -- end\n;\nSELECT 2 -- it's\n";
        assert_eq!(statements(sql), ["SELECT 'x;''y\\';', `a;b` - 1", "SELECT 2"]);
    }
}
