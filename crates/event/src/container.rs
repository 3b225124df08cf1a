//! Where a process runs.

/// The container and the pod of a process, by the names that people know them by. An empty text: there is none, or it is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// What made it, as OpenTelemetry's `container.runtime.name` has it: `docker`, `containerd`, `cri-o`, `podman`.
    pub runtime: String,
    /// Its id, 64 hexadecimal digits.
    pub id: String,
    /// Its name; in a pod the one that the pod's specification has.
    pub name: String,
    /// Name of the pod.
    pub pod_name: String,
    /// The pod's uid: a UUID, or 32 hexadecimal digits for a static pod.
    pub pod_uid: String,
    /// The pod's namespace.
    pub namespace: String,
}

impl Container {
    /// Neither container nor pod.
    pub fn is_none(&self) -> bool {
        self.texts().iter().all(|text| text.is_empty())
    }

    pub(crate) fn texts(&self) -> [&String; 6] {
        let Self { runtime, id, name, pod_name, pod_uid, namespace } = self;
        [runtime, id, name, pod_name, pod_uid, namespace]
    }
}
