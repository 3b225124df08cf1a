//! Reads the demo's store as a person does, with `syncline`, after everything that wrote to it has ended.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use tokio::process::Command;

use crate::fetch;

/// The command `syncline --store DIR`.
pub(crate) struct Store<'a> {
    pub(crate) cli: &'a Path,
    pub(crate) dir: &'a Path,
    pub(crate) libchdb: &'a Path,
}

impl Store<'_> {
    /// The rows that answer the query.
    ///
    /// # Errors
    /// When the query fails or its rows are not of this shape.
    pub(crate) async fn rows<T: DeserializeOwned>(&self, query: &str) -> Result<Vec<T>> {
        // Without this setting older ClickHouses write 64-bit numbers as strings.
        let query = format!("{query} SETTINGS output_format_json_quote_64bit_integers = 0");
        let text = self.text(&["sql", "--format", "jsonl", &query]).await?;
        let parse = |line: &str| serde_json::from_str(line).with_context(|| format!("unexpected row: {line}"));
        text.lines().filter(|line| !line.is_empty()).map(parse).collect()
    }

    /// What `syncline` prints.
    ///
    /// # Errors
    /// When it fails; its own message is in the error.
    pub(crate) async fn text(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new(self.cli);
        command.arg("--store").arg(self.dir).args(words).env(fetch::libchdb::OVERRIDE, self.libchdb);
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.context("cannot start syncline")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let shown = words.join(" ");
            bail!("syncline --store {} {shown}: {}", self.dir.display(), said.trim());
        }
        String::from_utf8(output.stdout).context("syncline printed something that is no text")
    }
}
