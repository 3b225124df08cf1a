//! A small node, and a directory in which its stream is replayed.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

pub(crate) const MS: i64 = 1_000_000;
/// The reference minus the node's MONO, at MONO zero.
const AHEAD: i64 = 1_800_000_000_000 * MS;

/// `seconds` of a node whose clocks gain 20 ppm and whose packets take 100 to 140 us; an event each second, behind the knot
/// that closes its batch.
pub(crate) fn stream(seconds: i64) -> String {
    let mut text = "F,50000\n".to_owned();
    for tick in 0..seconds * 10 {
        let at = tick * 100 * MS;
        if tick % 10 == 5 {
            text += &probe(tick, at - 30 * MS, 0);
        }
        writeln!(text, "K,{at},{at},{}", AHEAD + at).unwrap();
        if tick % 10 == 5 {
            let id = tick / 10;
            let event = at - 20 * MS;
            writeln!(text, "E,{id},{event},{}", AHEAD + event).unwrap();
        }
    }
    text
}

/// A probe that leaves at `sent`; the reference is `jumped` ns further than it should be.
pub(crate) fn probe(tick: i64, sent: i64, jumped: i64) -> String {
    let (there, back) = (100_000 + tick * 7_919 % 4_001 * 10, 100_000 + tick * 104_729 % 3_989 * 10);
    let received = truth(sent) + there + jumped;
    let returned = sent + there + back;
    format!("P,{sent},{received},{received},{returned},{},{}\n", AHEAD + sent, AHEAD + returned)
}

pub(crate) fn truth(mono: i64) -> i64 {
    AHEAD + mono - mono / 50_000
}

pub(crate) struct Place {
    dir: TempDir,
}

impl Place {
    pub(crate) fn with(stream: impl AsRef<[u8]>) -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap() };
        fs::write(place.path("stream.csv"), stream).unwrap();
        place
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Replays `stream.csv` into `answers.csv`, in the directory.
    pub(crate) fn replay(&self, options: &[&str]) -> Output {
        let files = ["clock", "replay", "--stream", "stream.csv", "--answers", "answers.csv"];
        self.run(&[&files, options].concat(), b"")
    }

    pub(crate) fn answers(&self, options: &[&str]) -> String {
        summary(&self.replay(options));
        self.read("answers.csv")
    }

    /// Runs the program in the directory.
    pub(crate) fn run(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_syncline"));
        command.args(arguments).current_dir(self.dir.path()).env_remove("RUST_LOG").env_remove("SYNCLINE_URL");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // A program that refuses its arguments does not read.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }
}

/// The summary of a replay that went well.
pub(crate) fn summary(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(output.status.success(), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

/// The one line of a replay that was refused.
pub(crate) fn refusal(output: &Output, code: i32) -> String {
    let text = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(output.stdout.is_empty());
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}
