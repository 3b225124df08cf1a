//! The real program, started and stopped as a user would.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use syncline_store::Store;

use super::DEADLINE;

/// A running aggregator. Dropping it stops it.
pub(crate) struct Program {
    child: Child,
    /// Its one line on stdout.
    pub(crate) ready: String,
    dir: PathBuf,
    stderr: PathBuf,
}

/// The program with `arguments`, and nothing of our environment that it looks at but the engine's library.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_syncline-aggregator"));
    command.args(arguments).env_remove("SYNCLINE_STORE").env_remove("SYNCLINE_URL").env_remove("RUST_LOG");
    command
}

/// Runs the program to its end, which must come by itself.
pub(crate) fn fails(arguments: &[&str]) -> Output {
    let output = command(arguments).output().unwrap();
    assert!(!output.status.success(), "{output:?}");
    assert!(output.stdout.is_empty(), "nothing is ready: {output:?}");
    output
}

/// The last line on stderr, where the error is.
pub(crate) fn error_line(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default().to_owned()
}

impl Program {
    /// Starts it and waits until it is ready. Its log goes to a file in `dir`.
    pub(crate) fn start(dir: &Path, arguments: &[&str]) -> Self {
        Self::start_with(dir, arguments, &[])
    }

    /// As [`start`](Self::start), with this in its environment.
    pub(crate) fn start_with(dir: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let stderr = dir.join(format!("stderr-{}.log", std::process::id() ^ arguments.len() as u32));
        let log = std::fs::File::options().create(true).append(true).open(&stderr).unwrap();
        let mut child = command(arguments)
            .env("RUST_LOG", "debug,h2=off,hyper=off")
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let program = Self { child, ready, dir: dir.to_owned(), stderr };
        assert!(program.ready.starts_with("ready "), "not ready: {:?}\n{}", program.ready, program.log());
        program
    }

    /// The run of its reference.
    pub(crate) fn reference_run(&self) -> u64 {
        let run = self.ready.split_whitespace().find_map(|word| word.strip_prefix("reference_run=0x"));
        u64::from_str_radix(run.unwrap(), 16).unwrap()
    }

    /// On an embedded engine in `dir`, as the root region `us`.
    pub(crate) fn embedded(dir: &Path) -> Self {
        Self::start(dir, &["--region", "us", "--listen", "127.0.0.1:0", "--store-dir", dir.to_str().unwrap()])
    }

    /// One that has the engine in `dir` for others, and leaves alerts to them.
    pub(crate) fn engine_for_others(dir: &Path) -> Self {
        let file = dir.join("engine.toml");
        std::fs::write(&file, "[alerts]\nevaluate = false\n").unwrap();
        let options = ["--config", file.to_str().unwrap(), "--region", "us", "--root", "http://127.0.0.1:9"];
        let place = ["--listen", "127.0.0.1:0", "--store-dir", dir.to_str().unwrap()];
        Self::start(dir, &[&options[..], &place].concat())
    }

    /// The value of `key=` in the ready line.
    pub(crate) fn says(&self, key: &str) -> &str {
        let field = self.ready.split_whitespace().find_map(|field| field.strip_prefix(key)?.strip_prefix('='));
        field.unwrap_or_else(|| panic!("no {key} in {:?}", self.ready))
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.says("listen"))
    }

    /// Where it was started, with the engine that it uses.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// What it logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        self.end()
    }

    /// SIGKILL: it gets no chance to do anything.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// How it ends by itself, and what it said.
    pub(crate) fn ends(mut self) -> (ExitStatus, String) {
        let status = self.wait();
        (status, self.log())
    }

    fn end(&mut self) -> ExitStatus {
        if let Some(status) = self.child.try_wait().unwrap() {
            return status;
        }
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        self.wait()
    }

    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return status,
                None if Instant::now() < deadline => std::thread::sleep(std::time::Duration::from_millis(20)),
                None => {
                    self.child.kill().unwrap();
                    panic!("did not end:\n{}", self.log());
                }
            }
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of the aggregator:\n{}", self.log());
        }
        self.end();
    }
}

/// The URL, with password, of the engine that a program runs in `dir`.
pub(crate) fn engine_url(dir: &Path) -> String {
    endpoint(dir)["url"].as_str().unwrap().to_owned()
}

/// The process of the engine that a program runs in `dir`.
pub(crate) fn engine_pid(dir: &Path) -> Pid {
    let pid = endpoint(dir)["engine_pid"].as_i64().unwrap();
    Pid::from_raw(pid.try_into().unwrap()).unwrap()
}

fn endpoint(dir: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(dir.join("endpoint.json")).unwrap()).unwrap()
}

/// The store on the engine in `dir`.
pub(crate) async fn store(dir: &Path) -> Store {
    Store::connect(&engine_url(dir), "syncline").await.unwrap()
}

/// The answer to `sql`, a row a line, columns by tabs.
pub(crate) async fn ask(store: &Store, sql: &str) -> String {
    String::from_utf8(store.query_text(sql, "TSV").await.unwrap()).unwrap().trim().to_owned()
}
