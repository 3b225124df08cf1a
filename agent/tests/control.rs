//! The real agent, and what is said to it over its socket while it observes real programs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may")]

mod fake;
mod support;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use fake::{Answer, Fake, eventually};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::go_program::{ANY, GoProgram};
use support::settings::linked_tracepoints;
use syncline_event::{Batch, Kind};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(120);
/// Waits of each kind in a round of the program.
const EACH: usize = 5;

struct Agent {
    child: Child,
    log: Receiver<String>,
    socket: PathBuf,
}

impl Agent {
    /// Observes what runs the file, and is ready.
    fn start(fake: &Fake, program: &Path, socket: &Path, more: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_syncline-agent"))
            .args([
                "--region",
                "eu",
                "--node",
                "n1",
                "--aggregator",
                &fake.url(),
                "--without",
                "tcp",
                "--symbol-cache",
                "none",
                "--budget",
                "off",
            ])
            .args(["--probe-interval", "600ms", "--require-aggregator", "20s", "--spool", "none"])
            .arg("--exe")
            .arg(program)
            .arg("--control")
            .arg(socket)
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = lines(child.stderr.take().unwrap());
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n", "{:?}", log.try_iter().collect::<Vec<_>>());
        Self { child, log, socket: socket.to_owned() }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The next line of its log with this in it.
    fn logged(&self, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.log.recv_timeout(left).unwrap_or_else(|_| panic!("{part:?} was not logged"));
            if line.contains(part) {
                return line;
            }
        }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_syncline-agent"));
        command.arg(arguments[0]).arg("--control").arg(&self.socket).args(&arguments[1..]).output().unwrap()
    }

    fn set(&self, arguments: &[&str]) -> String {
        let output = self.run(&[&["set"], arguments].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{arguments:?}: {said}");
        said
    }

    /// What holds for each process, by pid.
    fn shown(&self) -> (Value, HashMap<u64, Value>) {
        let output = self.run(&["show", "--json"]);
        let state: Value = serde_json::from_slice(&output.stdout).unwrap();
        let processes = state["processes"].as_array().unwrap().iter();
        let by_pid = processes.map(|process| (process["pid"].as_u64().unwrap(), process.clone())).collect();
        (state, by_pid)
    }

    /// A line to the socket, whatever it is, and the line of the answer.
    fn say(&self, line: &[u8]) -> String {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(line).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn end(mut self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success());
        assert!(!self.socket.exists());
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(stderr: ChildStderr) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        BufReader::new(stderr)
            .lines()
            .map_while(Result::ok)
            .take_while(|line| sender.send(line.clone()).is_ok())
            .count()
    });
    lines
}

/// Two services of one program, and a directory for the agent's files.
struct Stage {
    fake: Fake,
    dir: TempDir,
    path: PathBuf,
    a: GoProgram,
    b: GoProgram,
}

impl Stage {
    async fn set() -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Its own file: the tests of this program do not observe each other's.
        let path = dir.path().join("rounds");
        // By another process: what is open for writing here, a child that is just being started would have open, too.
        assert!(Command::new("cp").arg(ANY.program("rounds")).arg(&path).status().unwrap().success());
        let start = |service| GoProgram::start_by(Command::new(&path).env("SYNCLINE_SERVICE", service));
        let (a, b) = (start("a"), start("b"));
        Self { fake: Fake::start(|_, _| Answer::Store).await, dir, path, a, b }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("agent.toml")
    }

    fn agent(&self, more: &[&str]) -> Agent {
        Agent::start(&self.fake, &self.path, &self.dir.path().join("agent.sock"), more)
    }

    /// A round of each.
    async fn round(&mut self) {
        for program in [&mut self.a, &mut self.b] {
            program.go();
            program.next_event();
        }
    }

    fn batches(&self) -> Vec<Batch> {
        self.fake.arrivals().iter().map(|arrival| syncline_proto::decode(&arrival.bytes).unwrap()).collect()
    }

    /// Sleeps of `a` and `b` that have arrived as events, and as parts of sums.
    fn sleeps(&self) -> [(usize, u64); 2] {
        let batches = self.batches();
        [self.a.pid(), self.b.pid()].map(|pid| {
            let mut told = (0, 0);
            for batch in &batches {
                told.0 += events_of(batch, pid, Kind::Goroutine, "sleep");
                told.1 += in_sums_of(batch, pid, "sleep");
            }
            told
        })
    }

    fn calls(&self) -> [usize; 2] {
        let batches = self.batches();
        [self.a.pid(), self.b.pid()]
            .map(|pid| batches.iter().map(|batch| events_of(batch, pid, Kind::Syscall, "nanosleep")).sum())
    }
}

fn pid_at(batch: &Batch, process: u32) -> u32 {
    batch.processes[process as usize].pid
}

fn in_sums_of(batch: &Batch, pid: u32, reason: &str) -> u64 {
    let sums = batch.short_waits.iter().filter(|sum| pid_at(batch, sum.process) == pid);
    sums.filter(|sum| batch.reasons[sum.reason as usize] == reason).map(|sum| sum.count).sum()
}

fn events_of(batch: &Batch, pid: u32, kind: Kind, reason: &str) -> usize {
    let waits = &batch.waits;
    let is_such = |row: &usize| {
        pid_at(batch, waits.process[*row]) == pid
            && waits.kind[*row] == kind
            && batch.reasons[waits.reason[*row] as usize] == reason
            && waits.duration_ns[*row] >= 19_000_000
    };
    (0..waits.len()).filter(is_such).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_set_over_the_socket_holds_for_what_is_observed() {
    if !support::bpf_usable() {
        return;
    }
    let mut stage = Stage::set().await;
    std::fs::write(stage.file(), "[[rule]]\nservice = \"b\"\nthreshold = \"1s\"\n").unwrap();
    let file = stage.file();
    let agent = stage.agent(&["--config", file.to_str().unwrap()]);
    let [a, b] = [stage.a.pid(), stage.b.pid()].map(u64::from);
    assert_eq!(std::fs::metadata(&agent.socket).unwrap().permissions().mode() & 0o777, 0o600);
    let (state, processes) = agent.shown();
    assert_eq!(state["rules"][0]["line"], 1);
    assert_eq!(
        (&processes[&a]["settings"]["threshold"], &processes[&b]["settings"]["threshold"]),
        (&"1ms".into(), &"1s".into())
    );
    assert_eq!((&processes[&a]["service"], &processes[&b]["service"]), (&"a".into(), &"b".into()));
    stage.round().await;
    let each = EACH as u64;
    eventually("a's are events, b's a sum", async || stage.sleeps() == [(EACH, 0), (0, each)]).await;

    let said = agent.set(&["--service", "b", "--threshold", "1ms", "--without", "syscall"]);
    assert!(said.contains("changed=1 observed=2"), "{said}");
    agent.logged("set for service=b: threshold=1ms without=syscall");
    stage.round().await;
    eventually("b's are events, too", async || stage.sleeps() == [(2 * EACH, 0), (EACH, each)]).await;
    eventually("but not its calls", async || stage.calls() == [2 * EACH, 0]).await;

    assert!(agent.set(&["--pid", &a.to_string(), "--observe", "false"]).contains("observed=1 left_out=1"));
    assert_eq!(agent.shown().1[&a]["settings"]["observe"], false);
    stage.round().await;
    eventually("only b's arrive", async || stage.sleeps() == [(2 * EACH, 0), (2 * EACH, each)]).await;

    agent.set(&["--without", "syscall,cgo,off-cpu,states"]);
    assert_eq!(linked_tracepoints(agent.child.id()), ["sched_process_exec", "sched_process_exit"]);
    assert!(agent.set(&["--reset"]).contains("observed=2 left_out=0"));
    assert_eq!(linked_tracepoints(agent.child.id()).len(), 6);
    let text = String::from_utf8(agent.run(&["show"]).stdout).unwrap();
    assert!(text.contains("line 1: service=b => threshold=1s") && !text.contains("set:"), "{text}");
    stage.round().await;
    eventually("as at the start", async || stage.sleeps() == [(3 * EACH, 0), (2 * EACH, 2 * each)]).await;
    let losses: Vec<_> = stage.batches().into_iter().flat_map(|batch| batch.losses).collect();
    assert!(losses.is_empty(), "{losses:?}");
    agent.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hangup_has_the_file_read_again_and_a_bad_one_changes_nothing() {
    if !support::bpf_usable() {
        return;
    }
    let stage = Stage::set().await;
    let (file, b) = (stage.file(), u64::from(stage.b.pid()));
    std::fs::write(&file, "[[rule]]\nservice = \"b\"\nthreshold = \"7ms\"\n").unwrap();
    let agent = stage.agent(&["--config", file.to_str().unwrap()]);
    let threshold = || agent.shown().1[&b]["settings"]["threshold"].as_str().unwrap().to_owned();
    let again = |text: &str| {
        std::fs::write(&file, text).unwrap();
        kill_process(agent.pid(), Signal::HUP).unwrap();
    };
    again("[[rule]]\nservice = \"b\"\nthreshhold = \"9ms\"\n");
    let line = agent.logged("still holds");
    assert!(line.contains("agent.toml:3:1: unknown key `threshhold`; did you mean `threshold`?"), "{line}");
    assert_eq!(threshold(), "7ms");
    again("[[rule]]\nservice = \"b\"\nthreshold = \"9ms\"\n");
    agent.logged("was read again");
    assert_eq!(threshold(), "9ms");
    agent.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_speaks_nonsense_or_nothing_to_the_socket_holds_up_only_himself() {
    if !support::bpf_usable() {
        return;
    }
    let mut stage = Stage::set().await;
    let agent = stage.agent(&[]);
    let long = [vec![b'x'; 100 << 10], b"\n".to_vec()].concat();
    for (line, part) in [
        (&b"hello\n"[..], "no request"),
        (b"{\"version\":9,\"ask\":\"show\"}\n", "version 9"),
        (b"{\"version\":1,\"ask\":{\"set\":{\"rule\":{}}}}\n", "says nothing"),
        (b"{\"version\":1,\"ask\":{\"set\":{\"pid\":4194304,\"rule\":{\"observe\":true}}}}\n", "process 4194304"),
    ] {
        let answer: Value = serde_json::from_str(&agent.say(line)).unwrap();
        assert!(answer["answer"]["refused"].as_str().unwrap().contains(part), "{answer}");
    }
    // It is cut off before all of it is sent.
    let mut stream = UnixStream::connect(&agent.socket).unwrap();
    let _ = stream.write_all(&long);

    // More than may be open at once say nothing; waits go on arriving, and once those are gone the agent answers again.
    let silent: Vec<_> = (0..20).map(|_| UnixStream::connect(&agent.socket).unwrap()).collect();
    stage.round().await;
    eventually("the waits of both", async || stage.sleeps() == [(EACH, 0), (EACH, 0)]).await;
    drop(silent);
    eventually("it answers", async || agent.run(&["show"]).status.success()).await;
    agent.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_agent_goes_on_without_the_socket_and_a_killed_one_leaves_it_to_the_next() {
    if !support::bpf_usable() {
        return;
    }
    let stage = Stage::set().await;
    let mut first = stage.agent(&[]);
    let second = stage.agent(&[]);
    second.logged("another agent is spoken to at");
    assert!(first.run(&["show"]).status.success());
    let mut second = second;
    kill_process(second.pid(), Signal::TERM).unwrap();
    assert!(second.child.wait().unwrap().success());
    assert!(first.socket.exists(), "it is the first one's");
    kill_process(first.pid(), Signal::KILL).unwrap();
    first.child.wait().unwrap();
    let nobody = first.run(&["show"]);
    let said = String::from_utf8(nobody.stderr).unwrap();
    assert!(
        nobody.status.code() == Some(1) && said.contains("no agent is there") && said.lines().count() == 1,
        "{said}"
    );
    let next = stage.agent(&[]);
    assert!(next.run(&["show"]).status.success());
    next.end();
}
