//! Running other programs, with errors that say which one and how to mend it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

/// The cargo that started us.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(crate::place::workspace());
    command
}

/// Runs the command with our own terminal.
///
/// # Errors
/// When it cannot be started or does not succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| cannot_start(command))?;
    if !status.success() {
        bail!("{} failed ({status})", shown(command));
    }
    Ok(())
}

/// Runs the command and keeps what it prints; the last lines it printed become part of the error.
///
/// # Errors
/// When it cannot be started or does not succeed.
pub(crate) fn capture(command: &mut Command) -> Result<Output> {
    let output = command.stdin(Stdio::null()).output().with_context(|| cannot_start(command))?;
    if !output.status.success() {
        bail!("{} failed ({}): {}", shown(command), output.status, last_words(&output));
    }
    Ok(output)
}

/// Whether the program exists on the search path.
pub(crate) fn is_installed(program: &str) -> bool {
    find(program).is_some()
}

/// The command about as a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    std::iter::once(name)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}

fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

fn cannot_start(command: &Command) -> String {
    format!("cannot start `{}`", shown(command))
}

/// The last lines of the error output that say something, in one line.
fn last_words(output: &Output) -> String {
    const LINES: usize = 3;
    let text = String::from_utf8_lossy(&output.stderr);
    let said: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    said[said.len().saturating_sub(LINES)..].join(" / ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_named_with_its_last_words() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo first >&2; echo reason >&2; exit 3"]);
        let error = format!("{:#}", capture(&mut command).unwrap_err());
        assert!(error.contains("sh -c") && error.contains("first / reason") && error.contains('3'), "{error}");
    }

    #[test]
    fn programs_are_found_on_the_search_path() {
        assert!(is_installed("sh") && !is_installed("no-such-program-of-ours"));
        let error = format!("{:#}", capture(&mut Command::new("no-such-program-of-ours")).unwrap_err());
        assert!(error.contains("cannot start `no-such-program-of-ours`"), "{error}");
    }
}
