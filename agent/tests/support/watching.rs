//! `syncline-agent watch` in a pipe, and what it writes.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const PATIENCE: Duration = Duration::from_secs(180);

/// The command with these arguments.
pub fn watch(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_syncline-agent"));
    command.arg("watch").args(arguments).env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

/// A watch in a pipe, whose first table has come: it observes.
pub struct Watching {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
    /// What it has written so far.
    pub text: String,
}

impl Watching {
    pub fn start(arguments: &[&str]) -> Self {
        let child = watch(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        Self::of(child)
    }

    pub fn of(mut child: Child) -> Self {
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        while !text.contains("lost: ") {
            if stdout.read_line(&mut text).unwrap() == 0 {
                let mut error = String::new();
                child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
                panic!("ended without a table: {text}{error}");
            }
        }
        Self { child, stdout, text }
    }

    /// The first table from now on that is as it should be.
    pub fn table_where(&mut self, is_as_it_should_be: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut table = String::new();
            while !table.contains("lost: ") {
                assert!(self.stdout.read_line(&mut table).unwrap() > 0, "ended: {table}");
            }
            if is_as_it_should_be(&table) {
                return table;
            }
            assert!(Instant::now() < deadline, "{table}");
        }
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// All it wrote, once it has ended well.
    pub fn end(mut self) -> String {
        self.stdout.read_to_string(&mut self.text).unwrap();
        let mut error = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!((status.code(), error.as_str()), (Some(0), ""), "{}", self.text);
        self.text
    }
}

pub fn last_table(text: &str) -> &str {
    &text[text.find("== ").unwrap_or_else(|| panic!("no last table: {text}"))..]
}

/// The cells of a site's row.
pub fn row<'t>(table: &'t str, function: &str) -> Vec<&'t str> {
    let line = table.lines().find(|line| line.contains(&format!("{function} "))).unwrap_or_else(|| panic!("{table}"));
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

/// What Go's own tool says of a profile.
pub fn pprof_top(file: &Path) -> String {
    let output = Command::new("go").args(["tool", "pprof", "-top", "-cum", "-unit=ns"]).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("Type: delay"), "{text}");
    text
}
