//! The real program with fewer capabilities than it needs, as another user.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::go_program::ANY;
use support::settings::has_links_for_uprobes;

const NOBODY_LISTENS: &str = "http://127.0.0.1:9";
/// Enough to load; whether it is enough to attach depends on the kernel.
const LOADING_ONLY: &str = "+bpf,+perfmon";

/// A copy that every user may run and read.
fn for_everybody(dir: &Path, name: &str, original: &Path) -> PathBuf {
    let copy = dir.join(name);
    std::fs::copy(original, &copy).unwrap();
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755)).unwrap();
    copy
}

/// The exit code and what it says, as a user with the capabilities to load only.
fn run_with_few_capabilities(agent: &Path, target: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--clear-groups"]);
    command.args([format!("--inh-caps={LOADING_ONLY}"), format!("--ambient-caps={LOADING_ONLY}")]).arg(agent);
    command.args(["--region", "eu", "--aggregator", NOBODY_LISTENS, "--require-aggregator", "300ms"]);
    command.args(["--spool", "none"]).args(target);
    let output = command.env("RUST_LOG", "error").output().unwrap();
    assert!(output.stdout.is_empty(), "not ready: {:?}", String::from_utf8_lossy(&output.stdout));
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn who_may_not_attach_learns_it_at_the_start_whatever_is_observed() {
    if !support::bpf_usable() || !rustix::process::geteuid().is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let agent = for_everybody(dir.path(), "agent", Path::new(env!("CARGO_BIN_EXE_syncline-agent")));
    let program = for_everybody(dir.path(), "program", &ANY.program("waits"));

    // Attaching to a real program is the proof of what this kernel allows.
    let (code, one) = run_with_few_capabilities(&agent, &["--exe", &program.to_string_lossy()]);
    assert_eq!((code, one.lines().count()), (Some(1), 1), "{one}");
    let (code, all) = run_with_few_capabilities(&agent, &["--all"]);
    assert_eq!((code, all.lines().count()), (Some(1), 1), "{all}");

    let refused = |text: &str| text.contains("refused to attach") && text.contains("CAP_SYS_ADMIN");
    let allowed = |text: &str| text.contains("did not answer within");
    assert!(refused(&one) && refused(&all) || allowed(&one) && allowed(&all), "{one}{all}");
    assert!(!has_links_for_uprobes() || allowed(&one), "links for uprobes need no more: {one}");
}
