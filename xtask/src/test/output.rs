//! What a test binary prints: it is passed on, and what the summary is to tell is kept.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::process;
use crate::steps::Notes;

/// A test that cannot run here prints a line that begins with this, and why.
const SKIPPED: &str = "skipped:";
/// Lines of what a test says as it panics: more than that is in the output.
const MOST_LINES: usize = 6;
/// With what libtest ends where a test failed. Anything else is an abort, or a signal.
const FAILED_TESTS: i32 = 101;

/// Passes the output on to `show`, line by line. Gives whether all was well.
///
/// # Errors
/// When it cannot be started or read.
pub(super) fn pass_on(command: &mut Command, mut show: impl FnMut(&str), notes: &mut Notes) -> Result<bool> {
    let typed = process::shown(command);
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start `{typed}`"))?;
    let mut failures = Failures::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = String::from_utf8_lossy(&line?).into_owned();
            show(&line);
            if let Some(reason) = line.trim_start().strip_prefix(SKIPPED) {
                notes.skipped.push(reason.trim().to_owned());
            }
            failures.take(&line);
        }
    }
    let status = child.wait()?;
    if !status.success() {
        notes.failed.append(&mut failures.told);
        if status.code() != Some(FAILED_TESTS) {
            notes.failed.push(format!("{typed} ended by itself ({status})"));
        }
    }
    Ok(status.success())
}

/// Panics, as libtest shows them in its part about failures.
#[derive(Default)]
struct Failures {
    told: Vec<String>,
    is_in: bool,
    lines: usize,
}

impl Failures {
    fn take(&mut self, line: &str) {
        if line == "failures:" || line.starts_with("test result:") {
            self.is_in = line == "failures:";
            self.lines = 0;
        } else if self.is_in && line.starts_with("thread '") && line.contains(" panicked at ") {
            self.told.push(line.to_owned());
            self.lines = MOST_LINES;
        } else if line.starts_with("stack backtrace:") || line.starts_with("note: ") || line.is_empty() {
            self.lines = 0;
        } else if self.lines > 0
            && let Some(told) = self.told.last_mut()
        {
            self.lines -= 1;
            told.push_str("\n    ");
            told.push_str(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noted(script: &str) -> (bool, Notes, String) {
        let mut notes = Notes::default();
        // Not our own output: when we are tested, what is skipped in it would be taken for real.
        let mut shown = String::new();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let is_well = pass_on(&mut command, |line| shown.extend([line, "\n"]), &mut notes).unwrap();
        (is_well, notes, shown)
    }

    #[test]
    fn skipped_lines_are_kept_and_the_exit_status_decides() {
        let (is_well, notes, shown) = noted("echo 'skipped: not root'; echo other; echo '  skipped: no BTF'; exit 101");
        assert!(!is_well);
        assert_eq!(notes.skipped, ["not root", "no BTF"]);
        assert!(notes.failed.is_empty());
        assert_eq!(shown.lines().count(), 3);
    }

    const SAID: &str = "successes:

---- good stdout ----
thread 'good' (1) panicked at src/a.rs:1:1:
as it should

failures:

---- bad stdout ----

thread 'bad' (7) panicked at src/b.rs:2:3:
assertion failed
  left: 1
 right: 2
stack backtrace:
   0: main

failures:
    bad

test result: FAILED. 1 passed; 1 failed;
";

    #[test]
    fn what_failed_is_told_with_what_it_said() {
        let told = ["thread 'bad' (7) panicked at src/b.rs:2:3:\n    assertion failed\n      left: 1\n     right: 2"];
        let script = |code: i32| format!("cat <<'END'\n{SAID}\nEND\nexit {code}");
        assert_eq!(noted(&script(101)).1.failed, told);
        assert!(noted(&script(0)).1.failed.is_empty());
        let (is_well, notes, _) = noted("kill -9 $$");
        assert!(
            !is_well && notes.failed.len() == 1 && notes.failed[0].contains("ended by itself"),
            "{:?}",
            notes.failed
        );
    }
}
