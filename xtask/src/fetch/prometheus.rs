//! A Prometheus, its promtool and an Alertmanager, for the tests of metrics, rules and of what is told of alerts.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::deb;
use crate::{place, process};

/// What tells the tests in which directory the programs are.
pub(crate) const OVERRIDE: &str = "SYNCLINE_PROMETHEUS";
const INSTALLED: &str = "/usr/bin";
const PROGRAMS: [&str; 3] = ["prometheus", "promtool", "prometheus-alertmanager"];
/// What they do with our rules, our metrics and our alerts is what the tests say of them, so they are of one version.
const PACKAGES: [deb::Pinned; 2] = [
    deb::Pinned {
        name: "prometheus",
        version: "2.42.0+ds-5+deb12u1",
        sha256: "81d59a24fce84f7fbe97a45a4f2914b6a5881b5cd1db2a6a0e129e515e1a5f55",
    },
    deb::Pinned {
        name: "prometheus-alertmanager",
        version: "0.25.0-1+b4",
        sha256: "4fb9aed15cfe8e0c32408e643ab32a1e41ee87d2cc26f18aeba928b1b0b98ae7",
    },
];

/// The directory that has all of them, if there is one.
pub(crate) fn path() -> Option<PathBuf> {
    let has_all = |dir: &PathBuf| PROGRAMS.iter().all(|program| dir.join(program).is_file());
    [Some(PathBuf::from(INSTALLED)), unpacked().ok()].into_iter().flatten().find(has_all)
}

/// Says so where they cannot be had: tests without them are skipped.
pub(crate) fn ensure() {
    match path().map_or_else(fetch, Ok).and_then(|dir| version(&dir)) {
        Ok(version) => println!("have {version}"),
        Err(error) => {
            println!(
                "no Prometheus, so tests with it are skipped (or fail, with SYNCLINE_REQUIRE_PROMETHEUS=1): {error:#}"
            );
        }
    }
}

fn unpacked() -> Result<PathBuf> {
    Ok(place::cache()?.join("prometheus").join("usr/bin"))
}

fn fetch() -> Result<PathBuf> {
    deb::unpack_pinned(&PACKAGES, &place::cache()?.join("prometheus"))?;
    unpacked()
}

/// That it runs at all: its libraries are this system's.
fn version(dir: &std::path::Path) -> Result<String> {
    let output = process::capture(Command::new(dir.join("promtool")).arg("--version"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.split(" (").next().unwrap_or("promtool").trim().to_owned())
}
