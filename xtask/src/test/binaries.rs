//! The test binaries of the workspace, as cargo built them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::process;

/// The tests of this package mostly wait: for sessions to end, for leases to lapse, for rounds of alerts. So more of them run at once
/// than there are processors, and two binaries. All others may be about the time that something takes.
const WAITING: (&str, &str) = ("aggregator", "4");

/// One test binary.
pub(super) struct Binary {
    /// Of its package.
    dir: PathBuf,
    target: String,
    executable: PathBuf,
}

/// A message of cargo, as far as it matters.
#[derive(Deserialize)]
struct Message {
    reason: String,
    manifest_path: Option<PathBuf>,
    target: Option<Target>,
    profile: Option<Profile>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

#[derive(Deserialize)]
struct Profile {
    test: bool,
}

/// The packages of the workspace, as cargo tells them.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    manifest_path: PathBuf,
}

/// Before anything is built.
///
/// # Errors
/// When there is no package in a directory with one of these names.
pub(super) fn check_packages(named: &[String]) -> Result<()> {
    if named.is_empty() {
        return Ok(());
    }
    let mut command = process::cargo();
    let output = process::capture(command.args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("cargo metadata is not what it was")?;
    let directories = metadata.packages.iter().filter_map(|package| package.manifest_path.parent());
    check_names(named, &directories.map(name_of).collect())
}

fn check_names(named: &[String], known: &BTreeSet<String>) -> Result<()> {
    if let Some(unknown) = named.iter().find(|name| !known.contains(*name)) {
        let known = Vec::from_iter(known.iter().map(String::as_str)).join(", ");
        bail!("no package is in a directory `{unknown}`; there are {known}");
    }
    Ok(())
}

fn name_of(directory: &Path) -> String {
    directory.file_name().unwrap_or(directory.as_os_str()).to_string_lossy().into_owned()
}

/// Builds all tests, and what they run.
///
/// # Errors
/// When something does not build.
pub(super) fn build() -> Result<Vec<Binary>> {
    let mut command = process::cargo();
    command.args(["test", "--workspace", "--no-run", "--message-format", "json-render-diagnostics"]);
    let typed = process::shown(&command);
    // What is compiled, and what is wrong with it, is told on the other stream.
    let output = command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start `{typed}`"))?;
    if !output.status.success() {
        bail!("{typed} failed ({})", output.status);
    }
    let mut built: Vec<_> = String::from_utf8_lossy(&output.stdout).lines().filter_map(binary).collect();
    // Cargo tells them in the order in which they were done.
    built.sort_by(|a, b| (&a.dir, &a.target).cmp(&(&b.dir, &b.target)));
    Ok(built)
}

fn binary(line: &str) -> Option<Binary> {
    let message: Message = serde_json::from_str(line).ok()?;
    let is_test = message.reason == "compiler-artifact" && message.profile?.test;
    let dir = message.manifest_path?.parent()?.to_owned();
    is_test.then_some(Binary { dir, target: message.target?.name, executable: message.executable? })
}

impl Binary {
    /// Its package's directory and its own name.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.package(), self.target)
    }

    /// As cargo starts it, with the output of all tests.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.executable);
        command.current_dir(&self.dir).env("CARGO_MANIFEST_DIR", &self.dir).arg("--show-output");
        if self.mostly_waits() {
            command.args(["--test-threads", WAITING.1]);
        }
        command
    }

    /// Whether others may run beside it.
    pub(super) fn mostly_waits(&self) -> bool {
        self.package() == WAITING.0
    }

    /// The name of its package's directory.
    pub(super) fn package(&self) -> String {
        name_of(&self.dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUILT: &str = r#"{"reason":"compiler-artifact","package_id":"path+file:///s/aggregator#0.1.0","manifest_path":"/s/aggregator/Cargo.toml","target":{"kind":["test"],"name":"alerts"},"profile":{"opt_level":"1","test":true},"executable":"/s/target/debug/deps/alerts-1"}"#;

    #[test]
    fn a_package_that_is_none_is_refused_with_those_that_there_are() {
        let known = BTreeSet::from(["agent", "store"].map(str::to_owned));
        assert!(check_names(&["store".to_owned()], &known).is_ok());
        let refused = check_names(&["agent".to_owned(), "shop".to_owned()], &known).unwrap_err().to_string();
        assert_eq!(refused, "no package is in a directory `shop`; there are agent, store");
        assert!(check_packages(&["xtask".to_owned(), "aggregator".to_owned()]).is_ok(), "this workspace's");
    }

    #[test]
    fn binaries_are_told_from_other_messages() {
        let alerts = binary(BUILT).unwrap();
        assert_eq!(alerts.name(), "aggregator/alerts");
        let command = alerts.command();
        assert_eq!(command.get_current_dir(), Some(Path::new("/s/aggregator")));
        assert_eq!(process::shown(&command), "alerts-1 --show-output --test-threads 4");
        let others = [
            BUILT.replace(r#""test":true"#, r#""test":false"#),
            BUILT.replace(r#""/s/target/debug/deps/alerts-1""#, "null"),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
            "no message".to_owned(),
        ];
        assert!(others.iter().all(|line| binary(line).is_none()));
        let agent = binary(&BUILT.replace("/s/aggregator/", "/s/agent/")).unwrap();
        assert_eq!(process::shown(&agent.command()), "alerts-1 --show-output");
    }
}
