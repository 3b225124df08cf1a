//! What a container runtime keeps on the node of a container, where that can be read. Pure.
//!
//! | runtime | file on the node | form |
//! |---|---|---|
//! | docker | `/var/lib/docker/containers/ID/config.v2.json` | its own |
//! | containerd (CRI) | `/run/[k3s/]containerd/io.containerd.runtime.v2.task/k8s.io/ID/config.json` | OCI bundle |
//! | CRI-O | `/run/containers/storage/overlay-containers/ID/userdata/config.json` | OCI bundle |
//! | podman | `/var/lib/containers/storage/overlay-containers/ID/userdata/config.json` | OCI bundle, without the labels |
//! | podman | `/var/lib/containers/storage/overlay-containers/[volatile-]containers.json` | lists of all containers with their names |
//!
//! Sources: `daemon` of moby/moby (`containerConfigPath`), `internal/cri/annotations` of containerd/containerd,
//! `pkg/annotations` of cri-o/cri-o, `pkg/kubelet/types/labels.go` of kubernetes/kubernetes, `containers.go` of containers/storage.
//! Podman keeps a container's labels in a database of its own, which is not read.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::cgroup::Runtime;

type Labels = BTreeMap<String, String>;

/// What a runtime says of a container; none of it can be said by the container itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RuntimeRecord {
    /// Name of the container; in a pod the one that the pod's specification has.
    pub(super) container_name: Option<String>,
    /// Labels of the container, or annotations of its bundle.
    pub(super) labels: Labels,
    pub(super) pod_name: Option<String>,
    pub(super) pod_uid: Option<String>,
    pub(super) namespace: Option<String>,
}

/// Form of a runtime's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Docker,
    Bundle,
    /// Of all containers.
    List,
}

/// Where the file of a container may be, relative to the node's root. `id` is a container's id as [`super::cgroup`] gives it:
/// digits, so it leads nowhere else.
pub(super) fn candidates(runtime: Option<Runtime>, id: &str) -> Vec<(Form, String)> {
    let docker = || (Form::Docker, format!("var/lib/docker/containers/{id}/config.v2.json"));
    let task =
        |at: &str| (Form::Bundle, format!("run/{at}containerd/io.containerd.runtime.v2.task/k8s.io/{id}/config.json"));
    let bundle =
        |at: &str| (Form::Bundle, format!("{at}/containers/storage/overlay-containers/{id}/userdata/config.json"));
    // Those of `run --rm` are in a list of their own.
    let list = |name: &str| (Form::List, format!("var/lib/containers/storage/overlay-containers/{name}.json"));
    match runtime {
        Some(Runtime::Docker) => vec![docker()],
        Some(Runtime::Containerd) => vec![task(""), task("k3s/")],
        Some(Runtime::CriO) => vec![bundle("run")],
        Some(Runtime::Podman) => vec![list("containers"), list("volatile-containers"), bundle("var/lib")],
        None => vec![task(""), task("k3s/"), docker(), bundle("run")],
    }
}

impl RuntimeRecord {
    /// Of a runtime's file on this container; none if it is not what the form says.
    pub(super) fn parse(form: Form, id: &str, json: &[u8]) -> Option<Self> {
        match form {
            Form::List => Self::of_list(serde_json::from_slice(json).ok()?, id),
            Form::Docker => serde_json::from_slice::<DockerConfig>(json).ok().map(Self::of_docker),
            Form::Bundle => serde_json::from_slice::<Bundle>(json).ok().map(Self::of_bundle),
        }
    }

    /// What this one says, and where it says nothing another one.
    #[must_use]
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            container_name: self.container_name.or(other.container_name),
            labels: other.labels.into_iter().chain(self.labels).collect(),
            pod_name: self.pod_name.or(other.pod_name),
            pod_uid: self.pod_uid.or(other.pod_uid),
            namespace: self.namespace.or(other.namespace),
        }
    }

    fn of_list(containers: Vec<Stored>, id: &str) -> Option<Self> {
        let stored = containers.into_iter().find(|stored| stored.id == id)?;
        Some(Self { container_name: stored.names.unwrap_or_default().into_iter().next(), ..Self::default() })
    }

    fn of_docker(config: DockerConfig) -> Self {
        let labels = config.config.and_then(|config| config.labels).unwrap_or_default();
        let own_name = config.name.map(|name| name.trim_start_matches('/').to_owned());
        let named = Self::of_labels(labels);
        Self { container_name: named.container_name.or(own_name), ..named }
    }

    fn of_bundle(bundle: Bundle) -> Self {
        Self::of_labels(bundle.annotations.unwrap_or_default())
    }

    /// The kubelet's labels, which dockershim and CRI-O hand on as they are, or containerd's.
    fn of_labels(labels: Labels) -> Self {
        let first = |keys: [&str; 2]| keys.iter().find_map(|key| labels.get(*key)).cloned();
        Self {
            container_name: first(["io.kubernetes.container.name", "io.kubernetes.cri.container-name"]),
            pod_name: first(["io.kubernetes.pod.name", "io.kubernetes.cri.sandbox-name"]),
            pod_uid: first(["io.kubernetes.pod.uid", "io.kubernetes.cri.sandbox-uid"]),
            namespace: first(["io.kubernetes.pod.namespace", "io.kubernetes.cri.sandbox-namespace"]),
            labels,
        }
    }
}

#[derive(Debug, Deserialize)]
struct DockerConfig {
    #[serde(rename = "Name")]
    name: Option<String>,
    #[serde(rename = "Config")]
    config: Option<DockerContainer>,
}

#[derive(Debug, Deserialize)]
struct DockerContainer {
    #[serde(rename = "Labels")]
    labels: Option<Labels>,
}

/// A container of `containers.json`.
#[derive(Debug, Deserialize)]
struct Stored {
    id: String,
    names: Option<Vec<String>>,
}

/// `config.json` of an OCI bundle.
#[derive(Debug, Deserialize)]
struct Bundle {
    annotations: Option<Labels>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0987061bb190";

    fn text(value: &Option<String>) -> &str {
        value.as_deref().unwrap_or("-")
    }

    #[test]
    fn a_compose_container_has_its_service_and_its_name() {
        let json =
            br#"{"StreamConfig":{},"State":{"Running":true,"Pid":7},"ID":"3f","Name":"/shop-web-1","Config":{"Env":
            ["A=b"],"Labels":{"com.docker.compose.project":"shop","com.docker.compose.service":"web"}},"Path":"/web"}"#;
        let record = RuntimeRecord::parse(Form::Docker, ID, json).unwrap();
        assert_eq!(text(&record.container_name), "shop-web-1");
        assert_eq!(record.labels["com.docker.compose.service"], "web");
        assert_eq!(record.pod_name, None);
    }

    #[test]
    fn containers_of_pods_are_named_by_the_kubelet() {
        let docker = br#"{"Name":"/k8s_app_web-0_shop_uid_0","Config":{"Labels":{"io.kubernetes.container.name":"app",
            "io.kubernetes.pod.name":"web-0","io.kubernetes.pod.namespace":"shop","io.kubernetes.pod.uid":"u"}}}"#;
        let crio =
            br#"{"ociVersion":"1.0.2","annotations":{"io.kubernetes.container.name":"app","io.kubernetes.pod.name":
            "web-0","io.kubernetes.pod.namespace":"shop","io.kubernetes.pod.uid":"u"}}"#;
        let containerd = br#"{"process":{"args":["/app"]},"annotations":{"io.kubernetes.cri.container-name":"app",
            "io.kubernetes.cri.container-type":"container","io.kubernetes.cri.sandbox-name":"web-0",
            "io.kubernetes.cri.sandbox-namespace":"shop","io.kubernetes.cri.sandbox-uid":"u"}}"#;
        for (form, json) in [(Form::Docker, &docker[..]), (Form::Bundle, &crio[..]), (Form::Bundle, &containerd[..])] {
            let record = RuntimeRecord::parse(form, ID, json).unwrap();
            let RuntimeRecord { container_name, pod_name, pod_uid, namespace, .. } = &record;
            assert_eq!([container_name, pod_name, pod_uid, namespace].map(text), ["app", "web-0", "u", "shop"]);
        }
    }

    #[test]
    fn podmans_container_has_its_name_and_the_annotations_of_its_bundle() {
        let list =
            br#"[{"id":"ffff","names":["other"]},{"id":"0987061bb190","names":["cart-1"],"image":"","layer":"de",
            "metadata":"{}","flags":{"MountLabel":""}}]"#;
        let bundle =
            br#"{"ociVersion":"1.0.2-dev","hostname":"0987061bb190","annotations":{"io.container.manager":"libpod",
            "app.kubernetes.io/name":"cart"}}"#;
        let of_list = RuntimeRecord::parse(Form::List, ID, list).unwrap();
        let both = of_list.or(RuntimeRecord::parse(Form::Bundle, ID, bundle).unwrap());
        assert_eq!(text(&both.container_name), "cart-1");
        assert_eq!(both.labels["app.kubernetes.io/name"], "cart");
        assert_eq!(RuntimeRecord::parse(Form::List, "1234", list), None);
    }

    #[test]
    fn what_is_something_else_says_nothing() {
        let whole = br#"{"Name":"/a","Config":{"Labels":{"x":"y"}}}"#;
        for end in 0..whole.len() {
            assert_eq!(RuntimeRecord::parse(Form::Docker, ID, &whole[..end]), None);
        }
        for json in [&b"[]"[..], b"{\"annotations\":[1]}", b"\xff"] {
            assert_eq!(RuntimeRecord::parse(Form::Bundle, ID, json), None);
        }
        let bare = [br#"{"Config":{"Labels":null}}"#.as_slice(), br#"{"Config":null}"#, b"{}"];
        for json in bare {
            assert_eq!(RuntimeRecord::parse(Form::Docker, ID, json), Some(RuntimeRecord::default()));
        }
    }
}
