//! The observed processes of a batch.

use syncline_event::{Batch, Container, Process};
use syncline_store::rows::ProcessRows;
use xxhash_rust::xxh3::Xxh3;

use super::{Whose, bucket, texts};

const SECONDS_PER_DAY: u32 = 86_400;

/// Processes, those given.
pub(crate) fn processes(batch: &Batch, processes: &[&Process]) -> ProcessRows {
    let Whose { region, node, boot } = Whose::of(batch, processes.len());
    let all = || processes.iter().copied();
    let containers = || all().map(|process| &process.container);
    ProcessRows {
        region,
        node,
        boot,
        pid: all().map(|process| process.pid).collect(),
        since_mono_ns: all().map(|process| process.since_mono_ns).collect(),
        build_id: all().map(|process| process.build_id).collect(),
        service: texts(all().map(|process| process.service.as_str())),
        executable: texts(all().map(|process| process.executable.as_str())),
        go_version: texts(all().map(|process| process.go_version.as_str())),
        container_runtime: texts(containers().map(|container| container.runtime.as_str())),
        container_id: containers().map(|container| container.id.clone()).collect(),
        container_name: texts(containers().map(|container| container.name.as_str())),
        k8s_pod_name: texts(containers().map(|container| container.pod_name.as_str())),
        k8s_pod_uid: containers().map(|container| container.pod_uid.clone()).collect(),
        k8s_namespace: texts(containers().map(|container| container.namespace.as_str())),
        seen: vec![bucket::of_batch(batch); processes.len()],
    }
}

/// All that a process's row says and the day that it is said on: another key is another row, or one that is due again, so that
/// rows outlive the events that refer to them.
pub(crate) fn processes_key(batch: &Batch, process: &Process) -> u64 {
    let Process { pid, service, executable, go_version, build_id, since_mono_ns, container } = process;
    let Container { runtime, id, name, pod_name, pod_uid, namespace } = container;
    let day = bucket::of_batch(batch) / SECONDS_PER_DAY;
    let numbers = [batch.origin.boot.0, u64::from(*pid), *since_mono_ns, *build_id, u64::from(day)];
    let node = [batch.origin.region.as_str(), batch.origin.node.as_str()];
    let texts = [service, executable, go_version, runtime, id, name, pod_name, pod_uid, namespace];
    let mut hash = Xxh3::new();
    numbers.iter().for_each(|number| hash.update(&number.to_le_bytes()));
    for text in node.into_iter().chain(texts.into_iter().map(String::as_str)) {
        // With its length, so that no two lists of texts come to the same bytes.
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    hash.digest()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::samples;

    #[test]
    fn a_process_has_one_row_with_all_that_is_known_of_it() {
        let batch = samples::batch("n", 5);
        let rows = processes(&batch, &[&batch.processes[0]]);
        assert_eq!((rows.pid[0], rows.since_mono_ns[0], rows.build_id[0]), (42, 1_000_000, 7));
        let text = format!("{rows:?}");
        for expected in ["orders", "/srv/orders", "go1.27.3", "containerd", "app", "orders-0", "shop"] {
            assert!(text.contains(&format!("{expected:?}")), "{expected} is not in {text}");
        }
        assert_eq!(rows.into_block().unwrap().rows(), 1);
    }

    #[test]
    fn a_row_is_told_again_where_anything_of_it_changed_and_the_next_day() {
        let batch = samples::batch("n", 5);
        let process = &batch.processes[0];
        let key = processes_key(&batch, process);
        let mut soon = samples::batch("n", 6);
        assert_eq!(processes_key(&soon, process), key);
        soon.coarse_reference = syncline_timebase::Offset::from_ns(samples::OFFSET + 86_400 * samples::SECOND);
        assert_ne!(processes_key(&soon, process), key, "the next day");
        assert_ne!(processes_key(&samples::batch("m", 5), process), key, "another node");
        let mut moved = process.clone();
        (moved.container.name, moved.container.pod_name) = ("apporders".into(), "-0".into());
        let others = [
            Process { since_mono_ns: 2, ..process.clone() },
            Process { service: "other".into(), ..process.clone() },
            Process { container: Container::default(), ..process.clone() },
            moved,
        ];
        assert!(others.iter().all(|other| processes_key(&batch, other) != key));
    }
}
