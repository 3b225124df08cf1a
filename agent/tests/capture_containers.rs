//! One layer of a container image, mounted for two containers: two files by name and device, one inode underneath.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may fail loudly, also in its helpers

mod support;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::go_program::{ANY, GoProgram};
use support::observe::{drain, waits_until};
use syncline_agent::capture::{Capture, CaptureConfig, Target};
use syncline_event::Kind;

/// An overlay mount over `lower`, taken away again at the end.
struct Container(PathBuf);

impl Container {
    fn mount(directory: &Path, name: &str, lower: &Path) -> Option<Self> {
        let part = |kind: &str| {
            let path = directory.join(format!("{name}-{kind}"));
            std::fs::create_dir(&path).unwrap();
            path
        };
        let (upper, work, root) = (part("upper"), part("work"), part("root"));
        let options = format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
        let mounted =
            Command::new("mount").args(["-t", "overlay", "overlay", "-o", &options]).arg(&root).status().unwrap();
        mounted.success().then_some(Self(root))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Two containers from one image that holds the program.
fn two_containers(directory: &Path) -> Option<(Container, Container)> {
    let image = directory.join("image");
    std::fs::create_dir(&image).unwrap();
    std::fs::copy(ANY.program("waits"), image.join("waits")).unwrap();
    Some((Container::mount(directory, "first", &image)?, Container::mount(directory, "second", &image)?))
}

#[test]
fn a_program_in_two_containers_of_one_image_is_observed_once_in_each() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let directory = tempfile::tempdir().unwrap();
    let Some((first, second)) = two_containers(directory.path()) else {
        let _ = writeln!(std::io::stderr(), "skipped: overlay file systems cannot be mounted here");
        return;
    };
    let start = |container: &Container| GoProgram::start(&container.0.join("waits"), &["scenarios"]);
    let mut programs = [start(&first), start(&second)];
    let mut capture = Capture::start(CaptureConfig::new(Target::AllGo)).unwrap();
    programs.iter_mut().for_each(GoProgram::go);
    let expected: Vec<(u32, u64)> = programs
        .iter_mut()
        .flat_map(|program| {
            let pid = program.pid();
            program.events_until_done().into_iter().map(move |report| (pid, report["goid"].as_u64().unwrap()))
        })
        .collect();
    let key = |wait: &syncline_agent::capture::RawWait| (wait.tgid, wait.goid);
    let mut waits = waits_until(&mut capture, |waits| {
        expected.iter().all(|one| waits.iter().any(|w| w.kind == Kind::Goroutine && key(w) == *one))
    });
    waits.extend(drain(&mut capture));
    for one in &expected {
        let parks = waits.iter().filter(|wait| wait.kind == Kind::Goroutine && key(wait) == *one);
        assert_eq!(parks.count(), 1, "{one:?}");
    }
    // Other Go programs of this machine are observed as well, and may end before they are looked at; but nothing is doubled.
    assert_eq!(capture.counters().park_replaced, 0, "{:?}", capture.counters());
    drop(capture);
    for program in programs {
        assert!(program.finish().success());
    }
}
