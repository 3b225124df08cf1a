-- Programs that people hand in, since no agent could read their files; what is known of each build.

-- Wide parts, so that ClickHouse reads no more of a file than is asked for.
CREATE TABLE IF NOT EXISTS binaries (
    build_id   UInt64 COMMENT 'hash of the executable''s build id, as in stacks and symbols' CODEC(ZSTD(1)),
    content    UInt64 COMMENT 'XXH3-64 of the whole file' CODEC(ZSTD(1)),
    part       UInt32 COMMENT 'place of the part, from 0' CODEC(ZSTD(1)),
    parts      UInt32 COMMENT 'parts of the whole file; where some are missing it is of no use' CODEC(ZSTD(1)),
    bytes      String COMMENT 'the part' CODEC(ZSTD(3)),
    name       LowCardinality(String) COMMENT 'name of the file that was handed in',
    go_version LowCardinality(String) COMMENT 'Go version that built it',
    uploaded   DateTime('UTC') COMMENT 'when it was handed in, by the clock of who did; s since 1970' CODEC(ZSTD(1))
) ENGINE = ReplacingMergeTree(uploaded)
ORDER BY (build_id, content, part)
TTL uploaded + INTERVAL 90 DAY DELETE
SETTINGS index_granularity = 1
COMMENT 'Executables handed in with syncline symbols upload, in parts: addresses of their builds are named from them';

-- unnamed_addresses: addresses of stacks that have no name. Ask for some by build_id.
CREATE OR REPLACE VIEW unnamed_addresses AS
SELECT build_id, pc
FROM (SELECT DISTINCT build_id, arrayJoin(pcs) AS pc FROM stacks)
WHERE (build_id, pc) NOT IN (SELECT build_id, pc FROM symbols);

-- builds: what is known of each build: who runs it, and how many of its addresses have names.
CREATE OR REPLACE VIEW builds AS
WITH
    told AS (SELECT build_id, uniqExact(stack_id) AS stacks, uniqExactArray(pcs) AS addresses FROM stacks GROUP BY build_id),
    unnamed AS (SELECT build_id, count() AS unnamed FROM unnamed_addresses GROUP BY build_id),
    programs AS (
        SELECT
            build_id, arraySort(groupUniqArray(service)) AS services, arraySort(groupUniqArray(executable)) AS executables,
            arraySort(groupUniqArray(go_version)) AS go_versions, max(seen) AS last_seen
        FROM processes GROUP BY build_id
    ),
    kept AS (
        SELECT build_id, max(is_whole) AS is_kept
        FROM (SELECT build_id, uniqExact(part) = any(parts) AS is_whole FROM binaries GROUP BY build_id, content)
        GROUP BY build_id
    ),
    ids AS (SELECT build_id FROM told UNION DISTINCT SELECT build_id FROM programs UNION DISTINCT SELECT build_id FROM kept)
SELECT
    i.build_id AS build_id, leftPad(lower(hex(i.build_id)), 16, '0') AS build,
    p.services AS services, p.executables AS executables, p.go_versions AS go_versions, t.stacks AS stacks,
    t.addresses AS addresses, u.unnamed AS unnamed, k.is_kept AS is_kept, p.last_seen AS last_seen
FROM ids AS i
LEFT JOIN told AS t ON i.build_id = t.build_id
LEFT JOIN unnamed AS u ON i.build_id = u.build_id
LEFT JOIN programs AS p ON i.build_id = p.build_id
LEFT JOIN kept AS k ON i.build_id = k.build_id;
