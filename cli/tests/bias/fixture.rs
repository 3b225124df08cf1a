//! The observed Go program, and ways to run `syncline bias` on it.

use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::Value;

/// How the program is built.
#[derive(Clone, Copy)]
pub(crate) struct Build {
    pub(crate) go: &'static str,
    pub(crate) flags: &'static [&'static str],
    pub(crate) cgo: &'static str,
}

pub(crate) const NEWEST: Build = Build { go: "go1.27.3", flags: &[], cgo: "0" };
/// Its profiles leave out what later ones have; it is linked by the dynamic linker, and stripped.
pub(crate) const OLDEST: Build = Build { go: "go1.21.13", flags: &["-buildmode=pie", "-ldflags=-s -w"], cgo: "0" };
pub(crate) const WITH_C: Build = Build { go: "go1.24.11", flags: &[], cgo: "1" };

/// Builds `program`, once: the go command gives even what is up to date a new time, and the agent takes a file of another time for
/// one that was overwritten, of which it asks no names.
pub(crate) fn program(build: Build) -> PathBuf {
    static BUILT: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
    let mut built_before = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("blocks-{}-{}", build.go, build.cgo));
    if built_before.contains(&output) {
        return output;
    }
    let built = Command::new("go")
        .args(["build", "-o"])
        .arg(&output)
        .args(build.flags)
        .arg(".")
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bias/program"))
        .envs([
            ("GOTOOLCHAIN", build.go),
            ("CGO_ENABLED", build.cgo),
            ("GOFLAGS", "-buildvcs=false"),
            ("GOWORK", "off"),
        ])
        .output()
        .expect("the go command is needed to build the observed program");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    built_before.push(output.clone());
    output
}

pub(crate) fn bias(arguments: &[&str]) -> Output {
    bias_by(&mut Command::new(env!("CARGO_BIN_EXE_syncline")), arguments)
}

/// The same by a command that becomes it, with its own arguments.
pub(crate) fn bias_by(command: &mut Command, arguments: &[&str]) -> Output {
    command.arg("bias").args(arguments).stdin(Stdio::null()).env_remove("RUST_LOG").output().unwrap()
}

/// The one line on standard error, after checking the exit code and that nothing else was written.
pub(crate) fn refusal(output: &Output, code: i32) -> String {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

/// Runs it with these arguments before and after `--`; gives its tables and its JSON.
pub(crate) fn report(options: &[&str], command: &[&str]) -> (String, Value) {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("bias.json");
    let output = bias(&[options, &["--json", json.to_str().unwrap(), "--"], command].concat());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && error.is_empty(), "{error}");
    let document = serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap();
    (String::from_utf8(output.stdout).unwrap(), document)
}

/// An address that nobody listens at.
pub(crate) fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Whether Go programs can be captured here. If not, says `skipped: <reason>`, or fails where `SYNCLINE_REQUIRE_BPF=1` demands it.
pub(crate) fn can_capture() -> bool {
    let doctor = Command::new(env!("CARGO_BIN_EXE_syncline")).args(["doctor", "--json"]).output().unwrap();
    let found: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let agent = Path::new(env!("CARGO_BIN_EXE_syncline")).with_file_name("syncline-agent");
    let why = if found["can_capture"] != true {
        "Go programs cannot be captured here: see `syncline doctor`".to_owned()
    } else if !agent.exists() {
        format!("there is no {}: `cargo build` makes it", agent.display())
    } else {
        return true;
    };
    assert!(std::env::var("SYNCLINE_REQUIRE_BPF").as_deref() != Ok("1"), "SYNCLINE_REQUIRE_BPF=1, but: {why}");
    let _ = writeln!(std::io::stderr(), "skipped: {why}");
    false
}

/// Held by a test whose figures depend on who else runs.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A copy in this directory, which others may execute where the directory is open to them.
pub(crate) fn copied(file: &Path, dir: &Path) -> PathBuf {
    let to = dir.join(file.file_name().unwrap());
    std::fs::copy(file, &to).unwrap();
    to
}

/// The processes that execute this file, as their state in /proc says it.
pub(crate) fn running(program: &Path) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let of_program = |process: &PathBuf| std::fs::read_link(process.join("exe")).is_ok_and(|exe| exe == program);
    processes
        .filter(of_program)
        .map(|process| std::fs::read_to_string(process.join("stat")).unwrap_or_default())
        .collect()
}

/// A named pipe that is open at both ends, so that nobody waits for the other to open it.
pub(crate) struct Fifo {
    pub(crate) path: PathBuf,
    file: File,
}

impl Fifo {
    pub(crate) fn create(path: &Path) -> Self {
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let file = File::options().read(true).write(true).open(path).unwrap();
        Self { path: path.to_owned(), file }
    }

    /// Waits until somebody writes; fails if that process ends before.
    pub(crate) fn written_before_the_end_of(&self, pid: Pid) {
        let ended = pidfd_open(pid, PidfdFlags::empty()).unwrap();
        let mut descriptors = [PollFd::new(&self.file, PollFlags::IN), PollFd::new(&ended, PollFlags::IN)];
        poll(&mut descriptors, None).unwrap();
        assert!(!descriptors[0].revents().is_empty(), "it ended before it began");
    }
}
