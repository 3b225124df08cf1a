-- What the observed processes are: services, programs, containers, pods. The names in parentheses are OpenTelemetry's.

-- A pid is given away again within a boot, and a process may replace its program: since_mono_ns tells them apart. The process of
-- a wait is the last one of its pid that began before it (ASOF JOIN on since_mono_ns <= mono_ns).
CREATE TABLE IF NOT EXISTS processes (
    region            LowCardinality(String) COMMENT 'region of the node (cloud.region)',
    node              LowCardinality(String) COMMENT 'name of the node (host.name)',
    boot              UInt64 COMMENT 'first 8 bytes of the boot id' CODEC(ZSTD(1)),
    pid               UInt32 COMMENT 'process id in the host''s namespace (process.pid)' CODEC(T64, ZSTD(1)),
    since_mono_ns     UInt64 COMMENT 'since when it runs this program: its exec, or its start to a clock tick; mono, ns; 0 = not known' CODEC(ZSTD(1)),
    build_id          UInt64 COMMENT 'hash of the executable''s build id, as in stacks and symbols' CODEC(ZSTD(1)),
    service           LowCardinality(String) COMMENT 'name of its service (service.name)',
    executable        LowCardinality(String) COMMENT 'path of its executable, as it sees it (process.executable.path)',
    go_version        LowCardinality(String) COMMENT 'Go version of its program (process.runtime.version)',
    container_runtime LowCardinality(String) COMMENT 'docker, containerd, cri-o or podman (container.runtime.name); empty = none, or not known, as all that follow',
    container_id      String COMMENT 'id of its container (container.id)' CODEC(ZSTD(1)),
    container_name    LowCardinality(String) COMMENT 'name of its container (container.name), in a pod as in the pod''s specification (k8s.container.name)',
    k8s_pod_name      LowCardinality(String) COMMENT 'name of its pod (k8s.pod.name)',
    k8s_pod_uid       String COMMENT 'uid of its pod (k8s.pod.uid)' CODEC(ZSTD(1)),
    k8s_namespace     LowCardinality(String) COMMENT 'namespace of its pod (k8s.namespace.name)',
    seen              DateTime('UTC') COMMENT 'the batch that told it, to a minute; told anew each day; s since 1970' CODEC(Delta(4), ZSTD(1))
) ENGINE = ReplacingMergeTree(seen)
ORDER BY (region, node, boot, pid, since_mono_ns, build_id)
TTL seen + INTERVAL 16 DAY DELETE
SETTINGS non_replicated_deduplication_window = 100000
COMMENT 'Observed processes, a row for each program that one ran; query with FINAL';
