//! Builds and runs the Go programs under `tests/programs`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::Value;

/// Longest that a program may take for anything.
const PATIENCE: Duration = Duration::from_secs(180);

/// How a program is built.
#[derive(Debug, Clone, Copy)]
pub struct Build {
    pub toolchain: &'static str,
    /// Short name of the flags, for the file's name.
    pub variant: &'static str,
    pub flags: &'static [&'static str],
    /// With C code.
    pub cgo: bool,
}

pub const PLAIN: &[&str] = &[];
pub const STRIPPED: &[&str] = &["-ldflags=-s -w"];
pub const PIE_STRIPPED: &[&str] = &["-buildmode=pie", "-ldflags=-s -w"];

/// Any toolchain will do.
pub const ANY: Build = Build { toolchain: "go1.24.11", variant: "plain", flags: PLAIN, cgo: false };

/// With C code, of any toolchain.
pub const CGO: Build = Build { variant: "cgo", cgo: true, ..ANY };
pub const CGO_PIE: Build = Build { variant: "cgo-pie", flags: PIE_STRIPPED, ..CGO };
/// C's library inside, too: thread-local storage lies elsewhere.
pub const CGO_STATIC: Build = Build { variant: "cgo-static", flags: &["-ldflags=-extldflags=-static"], ..CGO };

impl Build {
    /// Builds `tests/programs/NAME` (the go command caches).
    pub fn program(&self, name: &str) -> PathBuf {
        self.program_for("amd64", name)
    }

    /// The same for another processor.
    pub fn program_for(&self, goarch: &str, name: &str) -> PathBuf {
        let file = format!("{name}-{goarch}-{}-{}", self.toolchain, self.variant);
        let output = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file);
        // Once: a build replaces the executable of a program that another test observes, whose symbols are gone then.
        static BUILT: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
        let mut known = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(&output) {
            return output;
        }
        let built = Command::new("go")
            .args(["build", "-o"])
            .arg(&output)
            .args(self.flags)
            .arg(".")
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(name))
            .envs([
                ("GOTOOLCHAIN", self.toolchain),
                ("GOARCH", goarch),
                ("CGO_ENABLED", if self.cgo { "1" } else { "0" }),
                ("GOFLAGS", "-buildvcs=false"),
            ])
            .output()
            .expect("the go command is needed to build the observed programs");
        assert!(built.status.success(), "{self:?}: {}", String::from_utf8_lossy(&built.stderr));
        known.push(output.clone());
        output
    }
}

/// A C program that loads a Go library.
pub const LIBRARY_HOST: &str = "library-host";

/// Builds the C program that loads the library, once.
pub fn library_host() -> PathBuf {
    static HOST_BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/library/host.c");
        let output = Path::new(env!("CARGO_TARGET_TMPDIR")).join(LIBRARY_HOST);
        let unfinished = output.with_extension(std::process::id().to_string());
        let mut compiler = Command::new("cc");
        let built = compiler.args(["-O2", "-pthread", "-o"]).arg(&unfinished).arg(source).arg("-ldl").status();
        assert!(built.expect("a C compiler is needed").success());
        std::fs::rename(&unfinished, &output).unwrap();
        output
    };
    HOST_BUILT.get_or_init(build).clone()
}

/// A running program that talks JSON lines. Killed when dropped without [`finish`](Self::finish).
pub struct GoProgram {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl GoProgram {
    /// Starts it and waits until it says that it has started.
    pub fn start(path: &Path, args: &[&str]) -> Self {
        Self::start_by(Command::new(path).args(args))
    }

    /// The same by a command that becomes it, in the same process.
    pub fn start_by(command: &mut Command) -> Self {
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let stdin = child.stdin.take();
        let mut program = Self { child, stdin, lines };
        assert_eq!(program.next_event()["event"], "started");
        program
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it go on to its next step.
    pub fn go(&mut self) {
        self.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    }

    pub fn next_event(&mut self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).expect("the program ended or said nothing for a minute");
        serde_json::from_str(&line).unwrap()
    }

    /// The next event if there is one.
    pub fn event_now(&mut self) -> Option<Value> {
        let line = self.lines.try_recv().ok()?;
        Some(serde_json::from_str(&line).unwrap())
    }

    /// Events up to the one that says `done`.
    pub fn events_until_done(&mut self) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let event = self.next_event();
            if event["event"] == "done" {
                return events;
            }
            events.push(event);
        }
    }

    /// Closes its input, on which it ends.
    pub fn finish(mut self) -> ExitStatus {
        drop(self.stdin.take());
        let ended = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty()).unwrap();
        let patience = Timespec::try_from(PATIENCE).unwrap();
        let hangs = || poll(&mut [PollFd::new(&ended, PollFlags::IN)], Some(&patience)).map(|ready| ready == 0);
        assert!(!retry_on_intr(hangs).unwrap(), "the program hangs");
        self.child.wait().unwrap()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for GoProgram {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
