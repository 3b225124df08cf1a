//! The options as a table of the documentation.

use clap::{Arg, Command};

use crate::options::Options;

impl Options {
    /// The keys of the file with variable, default and meaning, as a table in Markdown.
    #[must_use]
    pub fn table(&self, command: &Command) -> String {
        let mut table = "| key | variable | values | default | meaning |\n| --- | --- | --- | --- | --- |\n".to_owned();
        for arg in self.keys(command) {
            let key = arg.get_id().as_str();
            let alias = self.aliases.iter().find(|(known, _)| *known == key).map(|(_, name)| format!(", `{name}`"));
            let (variable, alias) = (self.variable(key), alias.unwrap_or_default());
            let (values, default, meaning) = (values(arg), default(arg), meaning(arg));
            table.push_str(&format!("| `{key}` | `{variable}`{alias} | {values} | {default} | {meaning} |\n"));
        }
        table
    }
}

fn values(arg: &Arg) -> String {
    if !arg.get_action().takes_values() {
        return "`true`, `false`".to_owned();
    }
    let names = arg.get_value_names().unwrap_or_default();
    let names: Vec<String> = names.iter().map(|name| name.to_lowercase().replace('|', " or ")).collect();
    let many = if matches!(arg.get_action(), clap::ArgAction::Append) { ", or a list of them" } else { "" };
    format!("{}{many}", names.join(" "))
}

fn default(arg: &Arg) -> String {
    if !arg.get_action().takes_values() {
        return "`false`".to_owned();
    }
    let values: Vec<String> =
        arg.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
    if arg.is_required_set() { "must be given".to_owned() } else { values.join(", ") }
}

/// What its help says first, on one line.
fn meaning(arg: &Arg) -> String {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    help.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_a_row() {
        let options = Options {
            prefix: "X_",
            aliases: &[("url", "URL")],
            exclusive: &[],
            not_in_file: &["config"],
            elsewhere: &[],
            secret: &[],
            tables: &[],
            below: &[],
        };
        let command = Command::new("x").args([
            Arg::new("url").long("url").required(true).value_name("URL").help("Where\nto | from"),
            Arg::new("wait").long("wait").value_name("TIME").default_value("1s").help("How long"),
            Arg::new("config").long("config"),
        ]);
        let rows: Vec<String> = options.table(&command).lines().skip(2).map(str::to_owned).collect();
        assert_eq!(
            rows,
            [
                "| `url` | `X_URL`, `URL` | url | must be given | Where to \\| from |",
                "| `wait` | `X_WAIT` | time | `1s` | How long |"
            ]
        );
    }
}
