//! Tools that building Syncline and its demo need. Running it needs none of them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::check::{Check, Need};

/// All checks of this file.
pub(crate) fn checks() -> Vec<Check> {
    vec![
        tool("clang", &["--version"], "needed to build the eBPF programs: apt-get install clang"),
        header(),
        tool(
            "go",
            &["version"],
            "needed for the demo and the tests: install Go 1.21 or newer from your distribution or go.dev",
        ),
    ]
}

fn tool(name: &'static str, version: &[&str], hint: &str) -> Check {
    let Some(path) = on_path(name) else {
        return Check::warn(name, Need::Build, "not on PATH", hint);
    };
    let output = Command::new(&path).args(version).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let found =
        text.lines().next().filter(|line| !line.is_empty()).map_or_else(|| path.display().to_string(), str::to_owned);
    Check::ok(name, Need::Build, found)
}

fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(name)).find(|path| path.is_file())
}

fn header() -> Check {
    const NAME: &str = "libbpf-headers";
    let header = ["/usr/include", "/usr/local/include"].map(|dir| Path::new(dir).join("bpf/bpf_helpers.h"));
    match header.iter().find(|path| path.is_file()) {
        Some(path) => Check::ok(NAME, Need::Build, path.display().to_string()),
        None => Check::warn(
            NAME,
            Need::Build,
            "bpf/bpf_helpers.h is not in /usr/include",
            "needed to build the eBPF programs: apt-get install libbpf-dev",
        ),
    }
}
