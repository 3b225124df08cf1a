//! Which source wins where several say something. Pure; docs/operations.md has the same order for people.

use std::collections::BTreeMap;
use std::path::Path;

use syncline_event::Container;

use super::cgroup::{Place, is_pod_uid};
use super::environment::Environment;
use super::runtime_record::RuntimeRecord;
use crate::text;

/// Longer names are cut: the wire's limit for a text, with room to spare.
const SERVICE_BYTES: usize = 255;
/// Variables of a service's name.
const SERVICE: [&str; 2] = ["SYNCLINE_SERVICE", "OTEL_SERVICE_NAME"];
/// Labels of containers and pods that name the service, the recommended one of Kubernetes first.
const SERVICE_LABELS: [&str; 5] =
    ["app.kubernetes.io/name", "com.docker.compose.service", "com.docker.swarm.service.name", "app", "k8s-app"];
/// Variables by which pods are told of themselves; there is no rule, only custom.
const POD_NAME: [&str; 4] = ["POD_NAME", "K8S_POD_NAME", "KUBERNETES_POD_NAME", "MY_POD_NAME"];
const NAMESPACE: [&str; 6] = [
    "POD_NAMESPACE",
    "K8S_NAMESPACE",
    "K8S_POD_NAMESPACE",
    "KUBERNETES_NAMESPACE",
    "KUBERNETES_POD_NAMESPACE",
    "MY_POD_NAMESPACE",
];
const POD_UID: [&str; 4] = ["POD_UID", "K8S_POD_UID", "KUBERNETES_POD_UID", "MY_POD_UID"];
/// Not `CONTAINER_NAME`, which others use for other things.
const CONTAINER_NAME: [&str; 2] = ["K8S_CONTAINER_NAME", "KUBERNETES_CONTAINER_NAME"];

/// All that was read of a process; what could not be is empty.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    pub(super) place: Place,
    pub(super) environment: Environment,
    pub(super) record: RuntimeRecord,
    pub(super) downward: Downward,
}

/// What a pod's files say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Downward {
    pub(super) name: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) service_account_namespace: Option<String>,
    /// The host name, where it is the pod's own: not on the node's network.
    pub(super) own_host_name: Option<String>,
}

impl Sources {
    /// Name of the service: its environment, a label of its container or pod, its executable's base name.
    pub(super) fn service(&self, executable: &Path) -> String {
        let labelled = || [&self.record.labels, &self.downward.labels].into_iter().find_map(labelled_service);
        let named = self
            .environment
            .first(&SERVICE)
            .or_else(|| self.environment.resource_attributes().value("service.name"))
            .or_else(labelled)
            .or_else(|| executable.file_name().map(|name| name.to_string_lossy().into_owned()));
        fitting(named.unwrap_or_else(|| "unknown".to_owned()))
    }

    /// Its container and pod. What the node's own files say goes before what the container says, and what no kubelet or
    /// runtime would accept as a name is passed over.
    pub(super) fn container(&self) -> Container {
        let Self { place, environment, record, downward } = self;
        let attributes = environment.resource_attributes();
        let first = |is_name: fn(&str) -> bool, said: &[Option<String>]| {
            said.iter().flatten().map(|text| text.trim()).find(|text| is_name(text)).unwrap_or_default().to_owned()
        };
        let is_in_pod = place.pod_uid.is_some();
        let host_name = downward.own_host_name.clone().filter(|_| is_in_pod);
        Container {
            runtime: place.runtime.map_or("", |runtime| runtime.name()).to_owned(),
            id: place.container_id.clone().unwrap_or_default(),
            name: first(
                is_container_name,
                &[
                    record.container_name.clone(),
                    environment.first(&CONTAINER_NAME),
                    attributes.value("k8s.container.name"),
                    attributes.value("container.name"),
                ],
            ),
            pod_name: first(
                is_pod_name,
                &[
                    record.pod_name.clone(),
                    environment.first(&POD_NAME),
                    attributes.value("k8s.pod.name"),
                    downward.name.clone(),
                    host_name,
                ],
            ),
            pod_uid: first(
                is_pod_uid,
                &[
                    place.pod_uid.clone(),
                    record.pod_uid.clone(),
                    environment.first(&POD_UID),
                    attributes.value("k8s.pod.uid"),
                ],
            ),
            namespace: first(
                is_namespace,
                &[
                    record.namespace.clone(),
                    environment.first(&NAMESPACE),
                    attributes.value("k8s.namespace.name"),
                    downward.namespace.clone(),
                    downward.service_account_namespace.clone(),
                ],
            ),
        }
    }
}

/// A service's name, cut to what the wire takes.
pub(crate) fn fitting(name: String) -> String {
    text::cut(name, SERVICE_BYTES)
}

fn labelled_service(labels: &BTreeMap<String, String>) -> Option<String> {
    SERVICE_LABELS.iter().find_map(|label| labels.get(*label).filter(|name| !name.is_empty())).cloned()
}

/// A DNS subdomain (RFC 1123), as names of pods are.
fn is_pod_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_part)
}

/// A DNS label (RFC 1123).
fn is_namespace(text: &str) -> bool {
    text.len() <= 63 && is_dns_part(text)
}

/// Part of a DNS subdomain, which Kubernetes does not hold to 63 characters.
fn is_dns_part(text: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(is_fine) && !text.starts_with('-') && !text.ends_with('-')
}

/// What docker takes: `[a-zA-Z0-9][a-zA-Z0-9_.-]*`; names in pods are a part of that.
fn is_container_name(text: &str) -> bool {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    text.len() <= 255 && text.bytes().all(is_fine) && text.starts_with(|first: char| first.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::super::cgroup::place;
    use super::*;

    const UID: &str = "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0";

    fn environment(entries: &[&str]) -> Environment {
        Environment::new(entries.iter().flat_map(|entry| [entry.as_bytes(), b"\0"].concat()).collect())
    }

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn in_pod() -> Place {
        place(format!("0::/kubepods/burstable/pod{UID}/{}", "ab".repeat(32)).as_bytes())
    }

    /// Takes one source of a service's name away after the other.
    #[test]
    fn the_service_is_named_by_the_first_source_that_names_it() {
        let mut entries = vec![
            "SYNCLINE_SERVICE=ours",
            "OTEL_SERVICE_NAME=otel",
            "OTEL_RESOURCE_ATTRIBUTES=service.name=an%20attribute,k8s.pod.name=p",
        ];
        let mut sources = Sources {
            record: RuntimeRecord {
                labels: labels(&[("com.docker.compose.service", "compose")]),
                ..Default::default()
            },
            downward: Downward {
                labels: labels(&[("app.kubernetes.io/name", ""), ("app", "label")]),
                ..Downward::default()
            },
            ..Sources::default()
        };
        let path = Path::new("/opt/bin/payment");
        for expected in ["ours", "otel", "an attribute"] {
            sources.environment = environment(&entries);
            assert_eq!(sources.service(path), expected);
            entries.remove(0);
        }
        sources.environment = environment(&entries);
        assert_eq!(sources.service(path), "compose");
        sources.record = RuntimeRecord::default();
        assert_eq!(sources.service(path), "label");
        sources.downward = Downward::default();
        assert_eq!(sources.service(path), "payment");
        assert_eq!(sources.service(Path::new("/")), "unknown");
    }

    #[test]
    fn without_a_name_in_the_environment_it_is_the_executable() {
        for entry in ["SYNCLINE_SERVICE=", "XSYNCLINE_SERVICE=no", "SYNCLINE_SERVICE2=no"] {
            let sources = Sources { environment: environment(&[entry]), ..Sources::default() };
            assert_eq!(sources.service(Path::new("/opt/bin/payment")), "payment");
        }
    }

    #[test]
    fn a_huge_name_is_cut_at_a_character() {
        let entry = format!("SYNCLINE_SERVICE={}", "é".repeat(1_000));
        let sources = Sources { environment: environment(&[&entry]), ..Sources::default() };
        assert_eq!(sources.service(Path::new("x")).len(), SERVICE_BYTES - 1);
    }

    #[test]
    fn the_nodes_files_go_before_what_the_container_says_and_that_before_its_host_name() {
        let some = |text: &str| Some(text.to_owned());
        let mut sources = Sources {
            place: in_pod(),
            environment: environment(&["POD_NAME=of-env", "POD_NAMESPACE=ns-env", "K8S_CONTAINER_NAME=c-env"]),
            record: RuntimeRecord {
                container_name: some("c-node"),
                pod_name: some("of-node"),
                namespace: some("ns-node"),
                ..RuntimeRecord::default()
            },
            downward: Downward {
                name: some("of-file\n"),
                namespace: some("ns-file"),
                service_account_namespace: some("ns-account"),
                own_host_name: some("of-host\n"),
                ..Downward::default()
            },
        };
        let names = |sources: &Sources| {
            let Container { name, pod_name, namespace, pod_uid, .. } = sources.container();
            assert_eq!(pod_uid, UID);
            [name, pod_name, namespace]
        };
        assert_eq!(names(&sources), ["c-node", "of-node", "ns-node"]);
        sources.record = RuntimeRecord::default();
        assert_eq!(names(&sources), ["c-env", "of-env", "ns-env"]);
        sources.environment =
            environment(&["OTEL_RESOURCE_ATTRIBUTES=k8s.pod.name=of-attr,k8s.namespace.name=ns-attr"]);
        assert_eq!(names(&sources), ["", "of-attr", "ns-attr"]);
        sources.environment = Environment::default();
        assert_eq!(names(&sources), ["", "of-file", "ns-file"]);
        (sources.downward.name, sources.downward.namespace) = (None, None);
        assert_eq!(names(&sources), ["", "of-host", "ns-account"]);
        sources.place = Place::default();
        assert_eq!(sources.container().pod_name, "", "a host name is no pod's name outside a pod");
    }

    #[test]
    fn what_is_no_name_is_passed_over_for_the_next() {
        let long = format!("POD_NAME={}", "x".repeat(254));
        for bad in ["POD_NAME=Über", "POD_NAME=a b", "POD_NAME=-a", "POD_NAME=a..b", "POD_NAME=$(POD)", &long] {
            let name = Some("good-0.x".to_owned());
            let downward = Downward { name, ..Downward::default() };
            let sources = Sources { environment: environment(&[bad]), downward, ..Sources::default() };
            assert_eq!(sources.container().pod_name, "good-0.x", "{bad}");
        }
        let environment = environment(&["POD_NAMESPACE=a.b", "K8S_CONTAINER_NAME=_x", "POD_UID=7"]);
        let sources = Sources { environment, ..Sources::default() };
        assert_eq!(sources.container(), Container::default());
    }
}
