//! Keys below tables of a file, by their paths.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::document::Document;
use crate::problem::Problem;

impl Document {
    /// That these, `alerts.limits` as well as `alerts`, are tables where they are given: one that is a list of tables (`[[alerts]]`) would else be taken
    /// for the list of its values.
    ///
    /// # Errors
    /// One is something else.
    pub fn check_tables(&self, paths: &[&str]) -> Result<(), Problem> {
        for path in paths {
            let table = self.laid_table();
            let Some(value) = value(&table, path).filter(|value| !value.get_ref().is_table()) else { continue };
            let is_list =
                value.get_ref().as_array().is_some_and(|items| items.iter().any(|item| item.get_ref().is_table()));
            let not = if is_list { format!(", and not [[{path}]]") } else { String::new() };
            return Err(self.quoted_problem(value.span(), &format!("`{path}` is a table: write [{path}]{not}")));
        }
        Ok(())
    }

    /// Where the value of a key is, `alerts.rounds` as well as `alerts`: to tell what is wrong with it.
    #[must_use]
    pub fn span_of(&self, path: &str) -> Option<Range<usize>> {
        value(&self.laid_table(), path).map(Spanned::span)
    }
}

fn value<'t, 'd>(table: &'t DeTable<'d>, path: &str) -> Option<&'t Spanned<DeValue<'d>>> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let found = table.get(first)?;
    match rest {
        None => Some(found),
        Some(rest) => value(found.get_ref().as_table()?, rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_tables_is_no_table() {
        let told = |text: &str| {
            let document = Document::parse("a.toml", text, &[]).unwrap();
            document.check_tables(&["a", "a.b"]).err().map(|problem| problem.to_string())
        };
        for right in ["", "[a]", "[a]\nx = 1\n[a.b]", "a = { b = {} }"] {
            assert_eq!(told(right), None, "{right}");
        }
        assert_eq!(told("a = 5").unwrap(), "a.toml:1:5: `a` is a table: write [a]");
        assert_eq!(told("[[a]]\nx = 1").unwrap(), "a.toml:1:1: `a` is a table: write [a], and not [[a]]");
        assert_eq!(told("[[a.b]]").unwrap(), "a.toml:1:1: `a.b` is a table: write [a.b], and not [[a.b]]");
    }
}
