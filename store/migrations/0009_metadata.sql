-- What the observed processes are (services, programs, containers, pods), and the traces that waits belong to. The names in parentheses are
-- OpenTelemetry's.

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

-- Of the labels that the program gave the goroutine (runtime/pprof); zeros and 0 where it gave none.
ALTER TABLE events
    ADD COLUMN IF NOT EXISTS trace_id FixedString(16) COMMENT 'trace that it belongs to, 16 bytes; zeros = none known' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS span_id UInt64 COMMENT 'span that it belongs to; 0 = none known' CODEC(ZSTD(1)),
    ADD COLUMN IF NOT EXISTS trace String ALIAS if(trace_id = toFixedString('', 16), '', lower(hex(trace_id))) COMMENT 'trace_id in 32 hexadecimal digits; empty = none known',
    ADD COLUMN IF NOT EXISTS span String ALIAS if(span_id = 0, '', leftPad(lower(hex(span_id)), 16, '0')) COMMENT 'span_id in 16 hexadecimal digits; empty = none known',
    ADD INDEX IF NOT EXISTS trace_id_bloom trace_id TYPE bloom_filter(0.01) GRANULARITY 4;
