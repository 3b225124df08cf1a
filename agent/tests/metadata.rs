//! What is found out about real processes: in real cgroups, under roots and in namespaces of their own.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may fail loudly, also in its helpers

mod support;

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, mknodat};
use support::container::{Cgroup, ContainerRoot};
use support::go_program::{ANY, GoProgram};
use syncline_agent::capture::{Capture, CaptureConfig, Target};
use syncline_agent::clock::Clocks;
use syncline_agent::intake::Intake;
use syncline_agent::metadata::MetadataReader;
use syncline_event::{Container, Process};

const UID: &str = "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0";

/// Many goroutines that wait for one another: without a network, whose loopback is down in a namespace of its own.
const CROWD: &[&str] = &["crowd", "5000", "3"];

/// A container's id that no other test has.
fn id(digit: char) -> String {
    String::from(digit).repeat(64)
}

struct Observed {
    capture: Capture,
    intake: Intake,
}

impl Observed {
    fn new(pid: u32, node_root: &Path) -> Self {
        let mut observed = Self::unacquainted(pid, node_root);
        observed.intake.greet(&observed.capture, pid);
        observed
    }

    /// Nothing was read of it yet.
    fn unacquainted(pid: u32, node_root: &Path) -> Self {
        let mut config = CaptureConfig::new(Target::Pid(pid));
        config.threshold = Duration::from_micros(100);
        let capture = Capture::start(config).unwrap();
        let intake = Intake::new(Clocks::default(), None, MetadataReader::new(node_root.to_owned()));
        Self { capture, intake }
    }

    /// The process of the next wait that has one as this wants it.
    fn process_of_a_wait(&mut self, wanted: impl Fn(&Process) -> bool) -> Arc<Process> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let mut raw = Vec::new();
            self.capture.poll(Duration::from_millis(20), &mut |wait| raw.push(wait)).unwrap();
            self.capture.rescan();
            let waits = raw.into_iter().filter_map(|wait| self.intake.wait(&self.capture, wait));
            if let Some(found) = waits.map(|wait| wait.process).find(|process| wanted(process)) {
                return found;
            }
            assert!(Instant::now() < deadline, "no such wait");
        }
    }
}

/// Observes it from its start on; gives what its waits say of it.
fn process_of(mut program: GoProgram, node_root: &Path) -> Arc<Process> {
    let mut observed = Observed::new(program.pid(), node_root);
    program.go();
    let process = observed.process_of_a_wait(|_| true);
    drop(observed);
    program.events_until_done();
    assert!(program.finish().success());
    process
}

#[test]
fn a_pod_is_known_by_its_cgroup_and_its_downward_files() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let id = id('a');
    let slice = format!("kubepods.slice/kubepods-pod{}.slice", UID.replace('-', "_"));
    let cgroup = Cgroup::unified(&format!("{slice}/cri-containerd-{id}.scope"));
    let root = ContainerRoot::with(&ANY.program("waits"));
    root.file("etc/podinfo/..v1/name", "checkout-7d9f");
    root.file("etc/podinfo/..v1/labels", "app=\"wrong\"\napp.kubernetes.io/name=\"checkout\"\n");
    root.link("etc/podinfo/..data", "..v1");
    root.link("etc/podinfo/name", "..data/name");
    root.link("etc/podinfo/labels", "..data/labels");
    root.file("var/run/secrets/kubernetes.io/serviceaccount/namespace", "shop");

    let program = GoProgram::start_by(&mut root.command(CROWD, &[]));
    cgroup.take(program.pid());
    let process = process_of(program, Path::new("/"));
    assert_eq!(process.service, "checkout");
    assert_eq!(
        process.container,
        Container {
            runtime: "containerd".into(),
            id,
            name: String::new(),
            pod_name: "checkout-7d9f".into(),
            pod_uid: UID.into(),
            namespace: "shop".into(),
        }
    );
    let now = Clocks::default().knot().mono.ns().unsigned_abs();
    assert!(process.since_mono_ns > 0 && now - process.since_mono_ns < 60_000_000_000, "{process:?}");
}

#[test]
fn a_host_name_is_the_pods_only_in_a_network_of_its_own() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let cgroup = Cgroup::unified(&format!("kubepods/burstable/pod{UID}/{}", id('b')));
    let root = ContainerRoot::with(&ANY.program("waits"));
    root.file("etc/hostname", "checkout-0\n");
    for (network, expected) in [("--net", "checkout-0"), ("--uts", "")] {
        let mut command = Command::new("/usr/bin/unshare");
        command.args(["--mount", network, "--root"]).arg(root.directory.path()).arg("/app").args(CROWD);
        let program = GoProgram::start_by(&mut command);
        cgroup.take(program.pid());
        assert_eq!(process_of(program, Path::new("/")).container.pod_name, expected, "{network}");
    }
}

#[test]
fn a_compose_container_is_known_by_what_docker_keeps_of_it() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let id = id('c');
    let path = format!("docker/{id}");
    let cgroup = Cgroup::of_controller("pids", &path).unwrap_or_else(|| Cgroup::unified(&path));
    let node = ContainerRoot::with(&ANY.program("waits"));
    node.file(
        &format!("var/lib/docker/containers/{id}/config.v2.json"),
        r#"{"Name":"/shop-web-1","Config":{"Labels":{"com.docker.compose.service":"web"}}}"#,
    );
    let root = ContainerRoot::with(&ANY.program("waits"));
    // What a container cannot claim: docker knows better.
    let program = GoProgram::start_by(&mut root.command(CROWD, &[("K8S_CONTAINER_NAME", "other")]));
    cgroup.take(program.pid());
    let process = process_of(program, node.directory.path());
    assert_eq!(process.service, "web");
    let expected = Container { runtime: "docker".into(), id, name: "shop-web-1".into(), ..Container::default() };
    assert_eq!(process.container, expected);
}

#[test]
fn the_environment_names_service_and_pod_without_any_container() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let mut command = Command::new(ANY.program("waits"));
    let attributes = "service.name=check%20out,k8s.namespace.name=shop";
    command.arg("scenarios").env("OTEL_RESOURCE_ATTRIBUTES", attributes).env("POD_NAME", "checkout-1");
    command.env_remove("SYNCLINE_SERVICE").env_remove("OTEL_SERVICE_NAME");
    let process = process_of(GoProgram::start_by(&mut command), Path::new("/"));
    assert_eq!(process.service, "check out");
    let expected = Container { pod_name: "checkout-1".into(), namespace: "shop".into(), ..Container::default() };
    assert_eq!(process.container, expected);
}

/// A wait of the former program and the exec are in the ring together: the wait is the former program's, whose environment is gone.
#[test]
fn another_program_of_the_same_process_is_asked_again_and_has_no_wait_of_the_former() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let path = ANY.program("waits");
    let file_name = path.file_name().unwrap().to_str().unwrap();
    let become_other = ["become", "/usr/bin/env", "SYNCLINE_SERVICE=after", path.to_str().unwrap(), "scenarios"];
    for (is_greeted, expected) in [(true, "before"), (false, file_name)] {
        let mut program = GoProgram::start_by(Command::new(&path).args(become_other).env("SYNCLINE_SERVICE", "before"));
        let mut observed = Observed::unacquainted(program.pid(), Path::new("/"));
        if is_greeted {
            observed.intake.greet(&observed.capture, program.pid());
        }
        program.go();
        assert_eq!(program.next_event()["event"], "started");
        let before = observed.process_of_a_wait(|_| true);
        assert_eq!(before.service, expected);
        program.go();
        let after = observed.process_of_a_wait(|process| process.service == "after");
        assert_eq!((after.pid, after.build_id), (before.pid, before.build_id));
        assert!(after.since_mono_ns > before.since_mono_ns, "{before:?} {after:?}");
        drop(observed);
        program.events_until_done();
        assert!(program.finish().success());
    }
}

#[test]
fn a_hostile_container_hurts_itself_only() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let id = id('d');
    let cgroup = Cgroup::unified(&format!("kubepods/besteffort/pod{UID}/{id}"));
    let root = ContainerRoot::with(&ANY.program("waits"));
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "secret").unwrap();
    let up = "../".repeat(40);
    root.link("etc/podinfo/name", &format!("{up}{}", secret.path().strip_prefix("/").unwrap().display()));
    mknodat(CWD, root.path("etc/podinfo/labels"), FileType::Fifo, 0o666.into(), 0).unwrap();
    File::create(root.path("etc/podinfo/namespace")).unwrap().set_len(1 << 40).unwrap();
    root.link("var/run/secrets/kubernetes.io/serviceaccount/namespace", "/proc/1/root/etc/hostname");
    let program = GoProgram::start_by(&mut root.command(CROWD, &[("POD_NAMESPACE", "Not A Name"), ("POD_UID", "x")]));
    cgroup.take(program.pid());
    let process = process_of(program, Path::new("/"));
    let expected = Container { id, pod_uid: UID.into(), ..Container::default() };
    assert_eq!((process.service.as_str(), &process.container), ("app", &expected));
}

/// A FUSE whose server never answers.
struct DeadFuse<'a> {
    at: &'a Path,
    _device: File,
}

impl<'a> DeadFuse<'a> {
    fn mount(at: &'a Path) -> Option<Self> {
        let device = File::options().read(true).write(true).open("/dev/fuse").ok()?;
        rustix::io::fcntl_setfd(&device, rustix::io::FdFlags::empty()).unwrap();
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
        let mounted = Command::new("mount").args(["-i", "-t", "fuse", "-o", &options, "dead"]).arg(at).status();
        rustix::io::fcntl_setfd(&device, rustix::io::FdFlags::CLOEXEC).unwrap();
        mounted.unwrap().success().then_some(Self { at, _device: device })
    }
}

impl Drop for DeadFuse<'_> {
    fn drop(&mut self) {
        // The last descriptor of the device goes next, and ends what waits for an answer.
        let _ = Command::new("umount").arg("-l").arg(self.at).status();
    }
}

#[test]
fn a_file_system_that_never_answers_costs_its_container_the_files_and_the_agent_a_second() {
    if !support::bpf_usable() {
        return;
    }
    let _alone = support::alone();
    let id = id('e');
    let cgroup = Cgroup::unified(&format!("kubepods/besteffort/pod{UID}/{id}"));
    let root = ContainerRoot::with(&ANY.program("waits"));
    let etc = root.path("etc");
    std::fs::create_dir(&etc).unwrap();
    let Some(dead) = DeadFuse::mount(&etc) else {
        let _ = writeln!(std::io::stderr(), "skipped: no FUSE can be mounted here");
        return;
    };
    let program = GoProgram::start_by(&mut root.command(CROWD, &[("POD_NAME", "checkout-2")]));
    cgroup.take(program.pid());
    let begun = Instant::now();
    let process = process_of(program, Path::new("/"));
    assert!(begun.elapsed() < Duration::from_secs(30));
    let expected = Container { id, pod_uid: UID.into(), pod_name: "checkout-2".into(), ..Container::default() };
    assert_eq!(process.container, expected);
    drop(dead);
}
