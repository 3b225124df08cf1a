//! Real forms of cgroup paths, and what is none.

use super::*;

const ID: &str = "3f1c5d8e9a7b6c5d4e3f2a1b0c9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f4a3b2c1d";
const INNER: &str = "00aa11bb22cc33dd44ee55ff66aa77bb88cc99dd00ee11ff22aa33bb44cc55dd";
const UID: &str = "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0";
const STATIC: &str = "d41d8cd98f00b204e9800998ecf8427e";

fn filled(form: &str) -> String {
    let underscored = UID.replace('-', "_");
    form.replace("<id>", ID).replace("<inner>", INNER).replace("<uid_>", &underscored).replace("<uid>", UID)
}

fn told(file: &str) -> (Option<&'static str>, Option<String>, Option<String>) {
    let Place { runtime, container_id, pod_uid } = place(filled(file).as_bytes());
    (runtime.map(Runtime::name), container_id, pod_uid)
}

/// Container (`i` = ID, `n` = INNER), runtime and whether there is a pod, for the path of a unified hierarchy.
#[test]
fn known_forms_tell_container_and_pod() {
    let forms: [(&str, char, Option<&str>, bool); 37] = [
        ("/docker/<id>", 'i', Some("docker"), false),
        ("/system.slice/docker-<id>.scope", 'i', Some("docker"), false),
        ("/system.slice/docker-<id>.scope/init.scope", 'i', Some("docker"), false),
        ("/system.slice/docker-<id>.scope/system.slice/cron.service", 'i', Some("docker"), false),
        ("/user.slice/user-1000.slice/user@1000.service/user.slice/docker-<id>.scope", 'i', Some("docker"), false),
        (
            "/user.slice/user-1000.slice/user@1000.service/app.slice/docker.service/docker/<id>",
            'i',
            Some("docker"),
            false,
        ),
        ("/docker/<id>/docker/<inner>", 'n', Some("docker"), false),
        ("/ecs/6e0c1b0c-9f2a-4c65-a4f1-0c3f1b9d5a01/<id>", 'i', Some("docker"), false),
        ("/kubepods/burstable/pod<uid>/<id>", 'i', None, true),
        ("/kubepods/besteffort/pod<uid>/<id>", 'i', None, true),
        ("/kubepods/pod<uid>/<id>", 'i', None, true),
        ("/k3s/kubepods/burstable/pod<uid>/<id>", 'i', None, true),
        ("/kubelet/kubepods/besteffort/pod<uid>/<id>", 'i', None, true),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid_>.slice/docker-<id>.scope",
            'i',
            Some("docker"),
            true,
        ),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid_>.slice/cri-containerd-<id>.scope",
            'i',
            Some("containerd"),
            true,
        ),
        (
            "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod<uid_>.slice/cri-containerd-<id>.scope",
            'i',
            Some("containerd"),
            true,
        ),
        ("/kubepods.slice/kubepods-pod<uid_>.slice/cri-containerd-<id>.scope", 'i', Some("containerd"), true),
        (
            "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod<uid_>.slice/cri-containerd-<id>.scope",
            'i',
            Some("containerd"),
            true,
        ),
        (
            "/system.slice/containerd.service/kubepods-burstable-pod<uid_>.slice:cri-containerd:<id>",
            'i',
            Some("containerd"),
            true,
        ),
        ("/kubepods-besteffort-pod<uid_>.slice:cri-containerd:<id>", 'i', Some("containerd"), true),
        ("/system.slice/nerdctl-<id>.scope", 'i', Some("containerd"), false),
        ("/default/<id>", 'i', Some("containerd"), false),
        ("/k8s.io/<id>", 'i', Some("containerd"), false),
        ("/moby/<id>", 'i', Some("containerd"), false),
        (
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod<uid_>.slice/crio-<id>.scope",
            'i',
            Some("cri-o"),
            true,
        ),
        ("/kubepods.slice/kubepods-pod<uid_>.slice/crio-<id>.scope/container", 'i', Some("cri-o"), true),
        ("/kubepods/burstable/pod<uid>/crio-<id>", 'i', Some("cri-o"), true),
        ("/machine.slice/libpod-<id>.scope", 'i', Some("podman"), false),
        ("/machine.slice/libpod-<id>.scope/container", 'i', Some("podman"), false),
        ("/machine.slice/machine-libpod_pod_<inner>.slice/libpod-<id>.scope", 'i', Some("podman"), false),
        ("/libpod_parent/libpod-<id>", 'i', Some("podman"), false),
        (
            "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-<id>.scope/container",
            'i',
            Some("podman"),
            false,
        ),
        ("/system.slice/web.service/libpod-payload-<id>", 'i', Some("podman"), false),
        // kind and docker in a pod: the innermost container, and the pod that is around it.
        ("/docker/<id>/kubelet/kubepods/besteffort/pod<uid>/<inner>", 'n', None, true),
        ("/kubepods/besteffort/pod<uid>/<id>/docker/<inner>", 'n', Some("docker"), true),
        // As seen from within another container's cgroup namespace.
        (
            "/../../kubepods-burstable.slice/kubepods-burstable-pod<uid_>.slice/cri-containerd-<id>.scope",
            'i',
            Some("containerd"),
            true,
        ),
        ("/system.slice/docker-<id>.scope (deleted)", 'i', Some("docker"), false),
    ];
    for (form, id, runtime, is_in_pod) in forms {
        let id = if id == 'n' { INNER } else { ID };
        let expected = (runtime, Some(id.to_owned()), is_in_pod.then(|| UID.to_owned()));
        assert_eq!(told(&format!("0::{form}\n")), expected, "{form}");
        assert_eq!(told(&format!("12:pids:/\n4:memory:{form}\n")), expected, "v1 {form}");
    }
}

#[test]
fn a_pod_without_a_container_is_a_pod() {
    for form in ["/kubepods/burstable/pod<uid>", "/kubepods.slice/kubepods-pod<uid_>.slice/crio-conmon-<id>.scope"] {
        assert_eq!(told(&format!("0::{form}")), (None, None, Some(UID.to_owned())), "{form}");
    }
    let of_static = place(format!("0::/kubepods/burstable/pod{STATIC}/{ID}").as_bytes());
    assert_eq!((of_static.pod_uid.as_deref(), of_static.container_id.as_deref()), (Some(STATIC), Some(ID)));
    let of_static = place(format!("0::/kubepods.slice/kubepods-burstable-pod{STATIC}.slice/x").as_bytes());
    assert_eq!(of_static.pod_uid.as_deref(), Some(STATIC));
}

#[test]
fn what_is_not_known_tells_nothing() {
    for form in [
        "/",
        "",
        "docker/<id>",
        "/init.scope",
        "/user.slice/user-1000.slice/session-3.scope",
        "/system.slice/cron.service",
        "/<id>",
        "/unknown/<id>",
        "/docker/<id>0",
        "/docker/3f1c5d8e9a7b",
        "/system.slice/docker-<id>x.scope",
        "/system.slice/docker-.scope",
        "/system.slice/crio-conmon-<id>.scope",
        "/machine.slice/libpod-conmon-<id>.scope",
        "/system.slice/my-docker-<id>.scope",
        "/lxc/web",
        "/kubepods/burstable/podinfo/web",
        "/kubepods/burstable/pod<uid>0",
        "/kubepods.slice/kubepods-burstable-pod<uid>.slice",
        "/other.slice/other-pod<uid_>.slice",
        "/machine.slice/machine-libpod_pod_<id>.slice",
        "/actions_job/<id>",
    ] {
        assert_eq!(told(&format!("0::{form}\n")), (None, None, None), "{form}");
    }
    assert_eq!(place(b""), Place::default());
    assert_eq!(place(b"\xff\xfe:\n0:\n::/docker\n"), Place::default());
}

#[test]
fn the_unified_hierarchy_wins_if_it_tells_a_container() {
    let both = "5:memory:/docker/<inner>\n0::/system.slice/docker-<id>.scope\n";
    assert_eq!(told(both).1.as_deref(), Some(ID));
    let hybrid = "5:memory:/docker/<inner>\n1:name=systemd:/\n0::/system.slice/containerd.service\n";
    assert_eq!(told(hybrid).1.as_deref(), Some(INNER));
    let pod_only = "3:cpu:/kubepods/pod<uid>/<id>\n0::/kubepods.slice/kubepods-pod<uid_>.slice\n";
    assert_eq!(told(pod_only), (None, Some(ID.to_owned()), Some(UID.to_owned())));
}

/// Every cut and every replaced byte of a real file: never a panic, and never an id that is not 64 digits.
#[test]
fn whatever_is_read_gives_a_sound_id_or_none() {
    let sound = |file: &[u8]| {
        let place = place(file);
        assert!(place.container_id.is_none_or(|id| is_id(&id)));
        assert!(place.pod_uid.is_none_or(|uid| is_pod_uid(&uid)));
    };
    let file = filled(
        "7:pids:/kubepods/besteffort/pod<uid>/<id>\n\
        0::/kubepods.slice/kubepods-pod<uid_>.slice:cri-containerd:<id>/docker-<inner>.scope\n",
    );
    for at in 0..file.len() {
        sound(&file.as_bytes()[..at]);
        sound(&file.as_bytes()[at..]);
        for byte in [0, b'/', b':', b'-', b'0', 0xff] {
            let mut altered = file.clone().into_bytes();
            altered[at] = byte;
            sound(&altered);
        }
    }
}
