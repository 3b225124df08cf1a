//! Reads what tells of a process: from `/proc`, from its own root, and from the node's files of its container's runtime.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, statat};

use super::cgroup::{self, Place};
use super::describe::{Downward, Sources};
use super::downward::labels;
use super::environment::Environment;
use super::rooted::{Root, read_at_most};
use super::runtime_record::{Form, RuntimeRecord, candidates};
use crate::patience::Found;
use crate::proc_stat::start_time_in;

/// Bytes of an environment that are read; the rest of a larger one is not.
const ENVIRONMENT_BYTES: u64 = 1 << 20;
/// Bytes of `/proc/PID/cgroup`: a line for each of some 13 hierarchies, each path at most 4,096 bytes.
const CGROUP_BYTES: u64 = 64 << 10;
/// Bytes of `/proc/PID/stat`.
const STAT_BYTES: u64 = 4 << 10;
/// Bytes of a file with one name.
const NAME_BYTES: u64 = 512;
/// Bytes of a file of labels: Kubernetes holds annotations to 256 KiB, and labels are fewer.
const LABELS_BYTES: u64 = 256 << 10;
/// Bytes of a runtime's file of a container.
const RECORD_BYTES: u64 = 4 << 20;

/// Where a pod's files are: the mount point is the pod's choice, these are the customary ones.
const DOWNWARD: &str = "etc/podinfo";
const SERVICE_ACCOUNT_NAMESPACE: &str = "var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// A process's directory in `/proc`, held open: once the process has ended, nothing is read of the next one with its pid.
#[derive(Debug)]
pub(super) struct ProcDir(OwnedFd);

impl ProcDir {
    /// That of the process with this pid that started at this time (clock ticks since boot).
    ///
    /// # Errors
    /// If it is not there any more.
    pub(super) fn open(pid: u32, start_time: u64) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = Self(openat(CWD, format!("/proc/{pid}"), flags, Mode::empty())?);
        let started = start_time_in(&dir.read("stat", STAT_BYTES)?);
        if started == Some(start_time) { Ok(dir) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    /// Where it runs, by its cgroup. Never waits for anybody.
    pub(super) fn place(&self) -> Place {
        self.read("cgroup", CGROUP_BYTES).map_or_else(|_| Place::default(), |cgroup| cgroup::place(&cgroup))
    }

    fn read(&self, name: &str, most_bytes: u64) -> io::Result<Vec<u8>> {
        read_at_most(self.file(name)?, most_bytes)
    }

    fn file(&self, name: &str) -> io::Result<File> {
        Ok(File::from(openat(&self.0, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?))
    }

    fn environment(&self) -> io::Result<Environment> {
        let mut bytes = Vec::new();
        self.file("environ")?.take(ENVIRONMENT_BYTES).read_to_end(&mut bytes)?;
        Ok(Environment::new(bytes))
    }

    /// Whether it has a network of its own; false where that cannot be told. The agent's counts as the node's where that of the
    /// first process may not be looked at.
    fn has_own_network(&self) -> bool {
        let network_of = |process: &str| std::fs::metadata(format!("/proc/{process}/ns/net")).map(|found| found.ino());
        let of_node = network_of("1").or_else(|_| network_of("self"));
        let its = statat(&self.0, "ns/net", AtFlags::empty()).map(|stat| stat.st_ino);
        matches!((of_node, its), (Ok(of_node), Ok(its)) if of_node != its)
    }
}

impl AsFd for ProcDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Reads what there is, the surest first; `found` has its place already. `node_root` is where the node's files are.
pub(super) fn read(process: &ProcDir, node_root: &Path, found: &Found<Sources>) {
    let place = found.lock().place.clone();
    if let Some(record) = place.container_id.as_deref().and_then(|id| runtime_record(node_root, &place, id)) {
        found.lock().record = record;
    }
    if let Ok(environment) = process.environment() {
        found.lock().environment = environment;
    }
    // Outside a container the root is the node's, whose host name and files are nobody's own.
    if place.container_id.is_some() || place.pod_uid.is_some() {
        read_downward(process, found);
    }
}

fn runtime_record(node_root: &Path, place: &Place, id: &str) -> Option<RuntimeRecord> {
    let root = Root::open(CWD, node_root.to_str()?).ok()?;
    let record = |(form, path): (Form, String)| RuntimeRecord::parse(form, id, &root.read(&path, RECORD_BYTES).ok()?);
    candidates(place.runtime, id).into_iter().filter_map(record).reduce(RuntimeRecord::or)
}

fn read_downward(process: &ProcDir, found: &Found<Sources>) {
    let Ok(root) = Root::open(process, "root") else { return };
    let name_in = |path: &str| root.text(path, NAME_BYTES);
    let downward = Downward {
        name: name_in(&format!("{DOWNWARD}/name")),
        namespace: name_in(&format!("{DOWNWARD}/namespace")),
        labels: root.text(&format!("{DOWNWARD}/labels"), LABELS_BYTES).map(|text| labels(&text)).unwrap_or_default(),
        service_account_namespace: name_in(SERVICE_ACCOUNT_NAMESPACE),
        own_host_name: process.has_own_network().then(|| name_in("etc/hostname")).flatten(),
    };
    found.lock().downward = downward;
}
