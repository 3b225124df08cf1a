//! Container and pod from the cgroup of a process. Pure.
//!
//! The forms that are known, each as a component of a path, wherever it stands in it:
//!
//! | component | who makes it |
//! |---|---|
//! | `docker-ID.scope`, `docker/ID`, `ecs/TASK/ID` | docker with the systemd and the cgroupfs driver; ECS |
//! | `cri-containerd-ID.scope`, `...slice:cri-containerd:ID` | containerd's CRI with the systemd driver; with another one than its kubelet |
//! | `nerdctl-ID.scope`, `default/ID`, `k8s.io/ID`, `moby/ID` | containerd by its namespaces |
//! | `crio-ID.scope`, `crio-ID` | CRI-O with either driver |
//! | `libpod-ID.scope`, `libpod-ID`, `libpod-payload-ID` | podman: scope, cgroupfs, in the cgroup of a systemd service |
//! | `podUID/ID` | any runtime under a kubelet with the cgroupfs driver |
//! | `podUID`, `kubepods[-QOS]-podUID.slice` | the kubelet, cgroupfs and systemd |
//!
//! An id has 64 hexadecimal digits; a pod's uid is a UUID, or 32 digits for a static pod. What looks otherwise is no container
//! and no pod: nothing is guessed.

/// Digits of a container's id.
const ID_DIGITS: usize = 64;

/// What made a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Runtime {
    Docker,
    Containerd,
    CriO,
    Podman,
}

impl Runtime {
    /// As OpenTelemetry's `container.runtime.name` has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Containerd => "containerd",
            Self::CriO => "cri-o",
            Self::Podman => "podman",
        }
    }
}

/// Where a process runs, as far as its cgroup tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// None also where the path names a container of any runtime.
    pub(super) runtime: Option<Runtime>,
    pub(super) container_id: Option<String>,
    pub(super) pod_uid: Option<String>,
}

/// Prefixes of ids. The longer of two goes first.
const PREFIXES: [(&str, Runtime); 6] = [
    ("docker-", Runtime::Docker),
    ("cri-containerd-", Runtime::Containerd),
    ("nerdctl-", Runtime::Containerd),
    ("crio-", Runtime::CriO),
    ("libpod-payload-", Runtime::Podman),
    ("libpod-", Runtime::Podman),
];

/// The place by the content of `/proc/PID/cgroup` (cgroups(7)): by the unified hierarchy if that tells a container, else by the
/// first one that does, else by the first that tells a pod.
pub(super) fn place(cgroup: &[u8]) -> Place {
    let mut places: Vec<Place> = Vec::new();
    for line in cgroup.split(|byte| *byte == b'\n') {
        let Some((is_unified, path)) = std::str::from_utf8(line).ok().and_then(path_of) else { continue };
        let place = place_of(path);
        if is_unified { places.insert(0, place) } else { places.push(place) }
    }
    let with_container = places.iter().position(|place| place.container_id.is_some());
    let best = with_container.or_else(|| places.iter().position(|place| place.pod_uid.is_some()));
    best.map_or_else(Place::default, |best| places.swap_remove(best))
}

/// The path in a line `HIERARCHY:CONTROLLERS:PATH`, and whether it is the unified hierarchy's.
fn path_of(line: &str) -> Option<(bool, &str)> {
    let mut fields = line.splitn(3, ':');
    let (hierarchy, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    path.starts_with('/').then_some((hierarchy == "0" && controllers.is_empty(), path))
}

/// The innermost container of a path and the pod around it.
fn place_of(path: &str) -> Place {
    let mut place = Place::default();
    let mut above = ["", ""];
    for component in path.split('/').filter(|component| !component.is_empty()) {
        let (pod, container) = match parts(component) {
            Some((slice, prefix, id)) => (pod_uid(slice), prefixed(&format!("{prefix}-{id}"))),
            None => (pod_uid(component), container(component, above)),
        };
        if let Some(uid) = pod {
            place = Place { pod_uid: Some(uid), ..Place::default() };
        }
        if let Some((runtime, id)) = container {
            (place.runtime, place.container_id) = (runtime, Some(id.to_ascii_lowercase()));
        }
        above = [above[1], component];
    }
    place
}

/// `SLICE:PREFIX:ID`, what a cgroupfs driver makes of a path that was meant for systemd.
fn parts(component: &str) -> Option<(&str, &str, &str)> {
    let (slice, rest) = component.split_once(':')?;
    let (prefix, id) = rest.split_once(':')?;
    Some((slice, prefix, id))
}

/// `above` are the two components above, the nearer one last.
fn container(component: &str, above: [&str; 2]) -> Option<(Option<Runtime>, String)> {
    if !is_id(component) {
        return prefixed(component);
    }
    let runtime = match above {
        [_, "docker"] | ["ecs", _] => Some(Runtime::Docker),
        [_, "default" | "k8s.io" | "moby"] => Some(Runtime::Containerd),
        [_, pod] if pod_uid(pod).is_some() => None,
        _ => return None,
    };
    Some((runtime, component.to_owned()))
}

fn prefixed(component: &str) -> Option<(Option<Runtime>, String)> {
    let name = component.strip_suffix(".scope").unwrap_or(component);
    let found = |(prefix, runtime): &(&str, Runtime)| Some((*runtime, name.strip_prefix(prefix)?));
    let (runtime, id) = PREFIXES.iter().find_map(found)?;
    is_id(id).then(|| (Some(runtime), id.to_owned()))
}

fn is_id(text: &str) -> bool {
    text.len() == ID_DIGITS && is_hexadecimal(text)
}

fn pod_uid(component: &str) -> Option<String> {
    let uid = match component.strip_suffix(".slice") {
        // systemd takes "-" for a boundary between slices.
        Some(slice) => {
            let (parent, uid) = slice.rsplit_once("-pod")?;
            let is_pod = !uid.contains('-') && parent.split('-').any(|part| part == "kubepods");
            is_pod.then(|| uid.replace('_', "-"))?
        }
        None => component.strip_prefix("pod")?.to_owned(),
    };
    is_pod_uid(&uid).then(|| uid.to_ascii_lowercase())
}

/// Whether the kubelet would make such a uid: a UUID, or an MD5 for a static pod.
pub(super) fn is_pod_uid(text: &str) -> bool {
    let mut groups = text.split('-').map(|group| if is_hexadecimal(group) { group.len() } else { 0 });
    groups.clone().eq([8, 4, 4, 4, 12]) || (groups.next() == Some(32) && groups.next().is_none())
}

fn is_hexadecimal(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
#[path = "cgroup_tests.rs"]
mod tests;
