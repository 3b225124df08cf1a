//! The programs whose symbols are verified, and where their code lies.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::Which;
use crate::{place, process};

/// A program that was built.
pub(super) struct Program {
    pub(super) path: PathBuf,
    /// Go's version, as GOTOOLCHAIN takes it.
    pub(super) go: String,
    /// Where its Go code lies, as the linker's symbols say.
    pub(super) code: std::ops::Range<u64>,
    /// The function that tells of the code.
    pub(super) walk: u64,
}

/// The linker's symbols around the code, and of the function that walks it.
const TEXT: &str = "runtime.text";
const END: &str = "runtime.etext";
const WALK: &str = "github.com/syncline/syncline/symbols/walk.Run";

impl Program {
    /// Builds a program of `xtask/symbols` into `dir`.
    ///
    /// # Errors
    /// When it does not build, or lacks the symbols.
    pub(super) fn build(which: Which, go: &str, dir: &Path) -> Result<Self> {
        let path = dir.join(format!("{}-{go}", which.name()));
        eprintln!("building {} with {go}", which.name());
        let mut command = Command::new("go");
        command.current_dir(place::workspace().join("xtask/symbols").join(which.name()));
        command.env("GOTOOLCHAIN", go).env("GOWORK", "off").args(["build", "-trimpath", "-o"]).arg(&path).arg(".");
        process::run(&mut command)?;
        let listing = process::capture(tool(go, "nm").arg(&path))?;
        let listing = String::from_utf8_lossy(&listing.stdout);
        let code = address_of(TEXT, &listing)?..address_of(END, &listing)?;
        Ok(Self { walk: address_of(WALK, &listing)?, path, go: go.to_owned(), code })
    }

    /// A tool of the Go that built it.
    pub(super) fn tool(&self, name: &str) -> Command {
        tool(&self.go, name)
    }
}

fn tool(go: &str, name: &str) -> Command {
    let mut command = Command::new("go");
    // Outside of any module, whose go.mod would have a say in which toolchain runs.
    command.current_dir(std::env::temp_dir()).env("GOTOOLCHAIN", go).args(["tool", name]);
    command
}

/// The address of a symbol in what `go tool nm` prints.
fn address_of(symbol: &str, listing: &str) -> Result<u64> {
    let mut lines = listing.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let found = lines.find(|words| matches!(words[..], [_, "T" | "t", name] if name == symbol));
    let words = found.with_context(|| format!("go tool nm lists no {symbol}"))?;
    u64::from_str_radix(words[0], 16).with_context(|| format!("go tool nm says {}", words.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_of_code_are_found_by_their_whole_names() {
        let listing = "  402000 T runtime.text2\n  401000 T runtime.text\n  500000 D runtime.etext\n         U abort\n";
        assert_eq!(address_of("runtime.text", listing).unwrap(), 0x40_1000);
        assert!(address_of("runtime.etext", listing).unwrap_err().to_string().contains("runtime.etext"));
    }
}
