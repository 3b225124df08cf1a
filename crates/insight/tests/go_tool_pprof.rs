//! Go's own tool reads the profiles.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may fail loudly, also in its helpers

use std::process::Command;
use std::sync::Arc;

use syncline_event::{Kind, StackId};
use syncline_insight::{
    Build, Call, CallStack, Contention, Frame, Recorded, Sites, StateTimes, Wait, WaitId, Waker, pprof_gz,
};

const MS: u64 = 1_000_000;

fn frame(function: &str, line: u32) -> Frame {
    Frame { function: function.to_owned(), file: "/src/bank/main.go".to_owned(), line }
}

/// `main.take` was inlined into `main.transfer`.
fn sites() -> Sites {
    let calls = [
        vec![frame("runtime.gopark", 435)],
        vec![frame("internal/sync.(*Mutex).lockSlow", 149), frame("internal/sync.(*Mutex).Lock", 70)],
        vec![frame("sync.(*Mutex).Lock", 46)],
        vec![frame("main.take", 9), frame("main.transfer", 15)],
        vec![frame("main.main", 30)],
    ];
    let calls =
        (0x40_1000..).zip(calls).map(|(address, frames)| Arc::new(Call { address, frames })).collect::<Vec<_>>();
    let build = Arc::new(Build { id: 0xabc, path: "/opt/bank".to_owned() });
    let mut sites = Sites::default();
    for (id, reason, depth, ms) in [(1, "sync.Mutex.Lock", 5, 30), (1, "sync.Mutex.Lock", 5, 12), (2, "sleep", 1, 7)] {
        let calls = calls[5 - depth..].to_vec();
        let stack = CallStack { id: StackId(id), build: Arc::clone(&build), calls, is_cut: false };
        let times = StateTimes::of_wait(ms * MS, Some(MS));
        sites.add(&Wait {
            id: WaitId { pid: 42, kind: Kind::Goroutine, goid: 1, tid: 1, start_mono_ns: ms },
            reason: reason.into(),
            stack: Arc::new(stack),
            is_inside: false,
            began_before: false,
            times,
            waker: Waker::Timer,
            waker_site: None,
        });
    }
    sites
}

/// What the tool prints about a profile of [`sites`].
fn pprof(arguments: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("block.pb.gz");
    let comments = vec!["lost 0".to_owned()];
    let recorded = Recorded { start_wall_ns: 1_795_442_700_000_000_000, duration_ns: 2_000_000_000, comments };
    std::fs::write(&file, pprof_gz(sites().stacks().into_iter().map(Contention::of), &recorded).unwrap()).unwrap();
    let mut command = Command::new("go");
    command.args(["tool", "pprof"]).args(arguments).arg(&file).env("PPROF_TMPDIR", dir.path());
    let output = command.output().expect("the go command is needed for this test");
    let (text, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {error}");
    text.into_owned()
}

/// The columns of the line that ends in this name.
fn row(text: &str, name: &str) -> Vec<String> {
    let line = text.lines().find(|line| line.trim_end().ends_with(name)).unwrap_or_else(|| panic!("{name}: {text}"));
    line.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn top_has_the_delays_of_each_function_inlined_ones_too() {
    let text = pprof(&["-top", "-nodecount=10"]);
    assert!(text.contains("Type: delay") && text.contains("File: bank"), "{text}");
    assert!(text.contains("Duration: 2s, Total samples = 49ms"), "{text}");
    // As in Go's own block profile: what is inside of the lock is left out.
    assert_eq!(row(&text, "sync.(*Mutex).Lock")[..4], ["42ms", "85.71%", "85.71%", "42ms"]);
    assert!(!text.contains("gopark") && !text.contains("internal/sync"), "{text}");
    assert_eq!(row(&text, "main.take (inline)")[3], "42ms");
    assert_eq!(row(&text, "main.main")[3], "49ms");
}

#[test]
fn contentions_labels_lines_and_comments_are_there() {
    let counts = pprof(&["-top", "-sample_index=contentions"]);
    assert_eq!(row(&counts, "main.main")[3], "3");
    let traces = pprof(&["-traces"]);
    for (label, value) in [("reason:", "sync.Mutex.Lock"), ("reason:", "sleep"), ("pid:", "42")] {
        let is_label = |line: &str| line.split_whitespace().eq([label, value]);
        assert!(traces.lines().any(is_label), "{label} {value}: {traces}");
    }
    let only_sleep = pprof(&["-top", "-tagfocus=sleep"]);
    assert!(only_sleep.contains("7ms") && !only_sleep.contains("Lock"), "{only_sleep}");
    assert!(pprof(&["-comments"]).contains("lost 0"));
    assert!(pprof(&["-top", "-lines"]).contains("main.transfer /src/bank/main.go:15"));
}
