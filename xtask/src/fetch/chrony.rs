//! A chronyd for the tests of clock claims. It is unpacked beside the other things that tests need, and not installed: an installed one
//! would take over this machine's clock.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::deb;
use crate::{place, process};

/// What tells the tests where it is.
pub(crate) const OVERRIDE: &str = "SYNCLINE_CHRONYD";
const INSTALLED: &str = "/usr/sbin/chronyd";

/// Where it is, if it is anywhere.
pub(crate) fn path() -> Option<PathBuf> {
    let unpacked = unpacked().ok();
    [Some(PathBuf::from(INSTALLED)), unpacked].into_iter().flatten().find(|path| path.is_file())
}

/// Says so where it cannot be had: tests without it are skipped.
pub(crate) fn ensure() {
    match path().map_or_else(fetch, Ok).and_then(|path| version(&path)) {
        Ok(version) => println!("have {version}"),
        Err(error) => println!(
            "no chronyd, so tests of its claims are skipped (or fail, with SYNCLINE_REQUIRE_CHRONY=1): {error:#}"
        ),
    }
}

fn unpacked() -> Result<PathBuf> {
    Ok(place::cache()?.join("chrony").join("usr/sbin/chronyd"))
}

fn fetch() -> Result<PathBuf> {
    deb::unpack(&["chrony"], &place::cache()?.join("chrony"))?;
    unpacked()
}

/// That it runs at all: its libraries are this system's.
fn version(path: &Path) -> Result<String> {
    let output = process::capture(Command::new(path).arg("--version"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.split(" (+").next().unwrap_or("chronyd").trim().to_owned())
}
