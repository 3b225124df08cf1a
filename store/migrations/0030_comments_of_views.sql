-- What DESCRIBE and SHOW teach of views, as far as ClickHouse keeps it: of views with parameters no comments on columns. A view that is replaced loses
-- its comments: they come with it. And the names that OpenTelemetry has for what columns hold.

ALTER TABLE timeline
    MODIFY COMMENT 'The waits of all regions that began in [t0, t1), on the fleet''s clock: a row each, times in UTC to the nanosecond, lengths in ns';

ALTER TABLE events_live
    MODIFY COMMENT 'The rows of `events` whose bucket is in [t0, t1), placed by the newest revision of their node''s clock model';

ALTER TABLE open_waits_now
    MODIFY COMMENT 'The waits that go on now, as far as is known, each with what was told of it last',
    COMMENT COLUMN IF EXISTS region 'region of the node (cloud.region)',
    COMMENT COLUMN IF EXISTS service 'service of the process (service.name)',
    COMMENT COLUMN IF EXISTS node 'name of the node (host.name)',
    COMMENT COLUMN IF EXISTS boot 'first 8 bytes of the boot id',
    COMMENT COLUMN IF EXISTS pid 'process id in the host''s namespace (process.pid)',
    COMMENT COLUMN IF EXISTS goid 'goroutine id; 0 = none',
    COMMENT COLUMN IF EXISTS tid 'thread that waits, or that the goroutine parked on (thread.id); 0 = not known',
    COMMENT COLUMN IF EXISTS kind 'what waits',
    COMMENT COLUMN IF EXISTS reason 'what for, as in open_waits',
    COMMENT COLUMN IF EXISTS since 'its begin; REF of the region',
    COMMENT COLUMN IF EXISTS err_ns 'half width of the bound of since, ns; 18446744073709551615 = unbounded',
    COMMENT COLUMN IF EXISTS seen 'when it was looked at last; REF of the region',
    COMMENT COLUMN IF EXISTS open_ns 'how long it had gone on then, ns of mono',
    COMMENT COLUMN IF EXISTS is_current '1, or 0 where it should have been told of again since and was not',
    COMMENT COLUMN IF EXISTS stack 'the site, as in timeline; empty = not known',
    COMMENT COLUMN IF EXISTS stack_id 'stacks.stack_id; 0 = no stack',
    COMMENT COLUMN IF EXISTS fd 'file descriptor that it waits for; -1 = none, or not known',
    COMMENT COLUMN IF EXISTS fd_type 'what the descriptor stands for; empty = not known',
    COMMENT COLUMN IF EXISTS local_address 'this end of its connection (network.local.address); IPv4 as ::ffff:a.b.c.d',
    COMMENT COLUMN IF EXISTS local_port 'port of this end (network.local.port); 0 = no connection',
    COMMENT COLUMN IF EXISTS peer_address 'the other end (network.peer.address); IPv4 as ::ffff:a.b.c.d',
    COMMENT COLUMN IF EXISTS peer_port 'port of the other end (network.peer.port); 0 = not connected',
    COMMENT COLUMN IF EXISTS address 'what it waits on, in the memory of the process; 0 = not known',
    COMMENT COLUMN IF EXISTS flags 'bits, as in open_waits',
    COMMENT COLUMN IF EXISTS mono_ns 'its begin; mono, ns',
    COMMENT COLUMN IF EXISTS trace_id 'trace that it belongs to, 16 bytes; zeros = none known',
    COMMENT COLUMN IF EXISTS span_id 'span that it belongs to; 0 = none known',
    COMMENT COLUMN IF EXISTS trace 'trace_id in 32 hexadecimal digits; empty = none known',
    COMMENT COLUMN IF EXISTS span 'span_id in 16 hexadecimal digits; empty = none known';

ALTER TABLE wake_edges
    MODIFY COMMENT 'What ended the waits that began in [t0, t1): an edge from a waker to the one that waited; a wait has one at most';

ALTER TABLE lock_sites
    MODIFY COMMENT 'Where goroutines waited for locks in [t0, t1), by region, service and place; lengths in ns, each wait by its weight';

ALTER TABLE blocked_time
    MODIFY COMMENT 'How often and how long (ns) in all the processes of services waited, by region, service, kind and reason, in buckets from t0 to t1';

ALTER TABLE top_blockers
    MODIFY COMMENT 'The places in the code where goroutines waited, of the waits that began in [t0, t1); lengths in ns, each wait by its weight';

ALTER TABLE state_split
    MODIFY COMMENT 'How the goroutines of each process spent their time (ns) in the intervals that began in [t0, t1): a row for each state, of blocked for each reason';

ALTER TABLE goroutine_split
    MODIFY COMMENT 'The goroutines that lived in [t0, t1), each with all that is known of its life, also before t0 and after t1; lengths in ns';

ALTER TABLE run_accounts
    MODIFY COMMENT 'Of each run of an agent, what it captured and where that went, by the batches that were sealed in the minutes from that of t0 to before t1';

ALTER TABLE batch_audit
    MODIFY COMMENT 'Of each batch in the ledger that was sealed in the minutes from that of t0 to before t1, whether what it had is in the tables, once';

ALTER TABLE repeated_rows
    MODIFY COMMENT 'Where rows of a batch are there more than once, of the tables that `batch_audit` does not look at, in the minutes from that of t0 to before t1';

ALTER TABLE tcp_send_latency
    MODIFY COMMENT 'How long what was sent took to be acknowledged (ns), of the TCP connections that sent or received in [t0, t1), by region, service, opener, peer and port';

ALTER TABLE tcp_session_waits
    MODIFY COMMENT 'The waits of goroutines that began in [t0, t1) for a TCP connection in `tcp_sessions`, each with the connection that it was for; lengths in ns';

ALTER TABLE stack_tops
    MODIFY COMMENT 'Of each stack the innermost Go function that is not Go''s own way of waiting; ask for some by `stack_id`',
    COMMENT COLUMN IF EXISTS stack_id 'as in stacks',
    COMMENT COLUMN IF EXISTS top 'the function, or the address where it has no name';

ALTER TABLE messages_live
    MODIFY COMMENT 'The messages of all regions in [t0, t1) on the fleet''s clock, by the newest revision of their nodes'' clock models';

ALTER TABLE causal_pairs
    MODIFY COMMENT 'The sends in [t0, t1) of the fleet''s clock, each with its receipt, across nodes and regions, and whether that came after it; lengths in ns';

ALTER TABLE pair_sums
    MODIFY COMMENT 'The pairs of `causal_pairs` in [t0, t1) by sender and receiver: how many are right and violated, and by how much (ns)';

ALTER TABLE region_maps
    MODIFY COMMENT 'Where the regions'' clocks were on the root''s in [t0, t1): what to add (ns) to a moment of a region''s clock, by the row with the latest `ref_from` before it';

ALTER TABLE skew_now
    MODIFY COMMENT 'One row per node: the newest that is known of its clocks',
    COMMENT COLUMN IF EXISTS region 'region of the node (cloud.region)',
    COMMENT COLUMN IF EXISTS node 'name of the node (host.name)',
    COMMENT COLUMN IF EXISTS boot 'first 8 bytes of the boot id',
    COMMENT COLUMN IF EXISTS epoch 'disruption generation within the boot',
    COMMENT COLUMN IF EXISTS status 'unknown, synchronized, free_running or disrupted: at as_of, but free_running where no probe has come for 16 s',
    COMMENT COLUMN IF EXISTS wall_offset_ns 'the node''s wall clock - the fleet''s clock, ns',
    COMMENT COLUMN IF EXISTS err_ns 'half width of the bound of wall_offset_ns, ns: the node''s plus the region''s; 18446744073709551615 = unbounded',
    COMMENT COLUMN IF EXISTS drift_ppb 'how fast its oscillator runs against the fleet''s clock, 1e-9; positive = fast',
    COMMENT COLUMN IF EXISTS bound_class 'what the bound assumes',
    COMMENT COLUMN IF EXISTS as_of 'when it held; the fleet''s clock',
    COMMENT COLUMN IF EXISTS probe_age_ms 'since the newest probe was inserted, ms, by the database''s clock; NULL = none',
    COMMENT COLUMN IF EXISTS last_probe 'the newest probe; REF of the region; NULL = none',
    COMMENT COLUMN IF EXISTS region_off_ns 'what was added to REF of the region, ns',
    COMMENT COLUMN IF EXISTS region_err_ns 'the region''s part of err_ns, ns',
    COMMENT COLUMN IF EXISTS rev 'revision of the clock model';

ALTER TABLE skew_history
    MODIFY COMMENT 'What is known now of a node''s clocks at the end of each segment of its clock model in [t0, t1): a row for each second or so of a node';

ALTER TABLE stacks_named
    MODIFY COMMENT 'Of each stack its frames, by name; ask for some by `stack_id`',
    COMMENT COLUMN IF EXISTS stack_id 'as in events',
    COMMENT COLUMN IF EXISTS frames 'innermost first: func file:line as far as file and line are known, or the address where there is no symbol';

ALTER TABLE builds
    MODIFY COMMENT 'What is known of each build that a stack, a process or an uploaded executable is of',
    COMMENT COLUMN IF EXISTS build_id 'hash of the executable''s build id, as in stacks and symbols',
    COMMENT COLUMN IF EXISTS build 'the same in 16 hexadecimal digits',
    COMMENT COLUMN IF EXISTS services 'services of the processes that run or ran it (service.name)',
    COMMENT COLUMN IF EXISTS executables 'paths of their executables, as they see them (process.executable.path)',
    COMMENT COLUMN IF EXISTS go_versions 'their Go versions (process.runtime.version)',
    COMMENT COLUMN IF EXISTS stacks 'distinct stacks',
    COMMENT COLUMN IF EXISTS addresses 'distinct addresses on them',
    COMMENT COLUMN IF EXISTS unnamed 'of these, without a name',
    COMMENT COLUMN IF EXISTS is_kept '1 = an executable of it was uploaded, and is whole',
    COMMENT COLUMN IF EXISTS last_seen 'when a process of it was told last; s since 1970';

ALTER TABLE unnamed_addresses
    MODIFY COMMENT 'Addresses on stacks that have no name; ask for some by `build_id`',
    COMMENT COLUMN IF EXISTS build_id 'hash of the executable''s build id, as in stacks and symbols',
    COMMENT COLUMN IF EXISTS pc 'address in the executable';

ALTER TABLE wait_hours
    MODIFY COMMENT 'How often and how long was waited, by the hour: what is left of waits when their rows are gone';

ALTER TABLE alert_states
    COMMENT COLUMN IF EXISTS region 'the region that tells alerts: the root, as far as it is known (cloud.region); the newest row of all counts';

ALTER TABLE batch_claims
    COMMENT COLUMN IF EXISTS region 'region of the node (cloud.region)',
    COMMENT COLUMN IF EXISTS node 'name of the node (host.name)';

ALTER TABLE clock_claims
    COMMENT COLUMN IF EXISTS region 'region of the node (cloud.region)',
    COMMENT COLUMN IF EXISTS node 'name of the node (host.name)';

ALTER TABLE clock_disruptions
    COMMENT COLUMN IF EXISTS region 'region of the node, or of the aggregator that saw it (cloud.region)',
    COMMENT COLUMN IF EXISTS node 'name of the node (host.name); empty = of two regions'' references, one against the other';

ALTER TABLE clock_now
    COMMENT COLUMN IF EXISTS region 'region of the node (cloud.region)',
    COMMENT COLUMN IF EXISTS node 'name of the node (host.name)';

ALTER TABLE clock_probes
    COMMENT COLUMN IF EXISTS region 'region of the node (cloud.region)',
    COMMENT COLUMN IF EXISTS node 'name of the node (host.name)';

ALTER TABLE clock_segments
    COMMENT COLUMN IF EXISTS region 'region of the node (cloud.region)',
    COMMENT COLUMN IF EXISTS node 'name of the node (host.name)';

ALTER TABLE clock_segments_log
    COMMENT COLUMN IF EXISTS region 'region of the node (cloud.region)',
    COMMENT COLUMN IF EXISTS node 'name of the node (host.name)';

ALTER TABLE clock_states
    COMMENT COLUMN IF EXISTS region 'region of the node (cloud.region)',
    COMMENT COLUMN IF EXISTS node 'name of the node (host.name)';

ALTER TABLE clock_steps
    COMMENT COLUMN IF EXISTS region 'region of the node (cloud.region)',
    COMMENT COLUMN IF EXISTS node 'name of the node (host.name)';

ALTER TABLE dropped_batches
    COMMENT COLUMN IF EXISTS region 'region of the node (cloud.region)',
    COMMENT COLUMN IF EXISTS node 'name of the node (host.name)';

ALTER TABLE events
    COMMENT COLUMN IF EXISTS region 'region of the node (cloud.region)',
    COMMENT COLUMN IF EXISTS service 'service of the process (service.name)',
    COMMENT COLUMN IF EXISTS node 'name of the node (host.name)',
    COMMENT COLUMN IF EXISTS pid 'process id in the host''s namespace (process.pid)',
    COMMENT COLUMN IF EXISTS tid 'thread that waited, or that the goroutine parked on (thread.id); 0 = not known, of a goroutine where flags has bit 7';

ALTER TABLE goroutine_states
    COMMENT COLUMN IF EXISTS region 'region of the node (cloud.region)',
    COMMENT COLUMN IF EXISTS service 'service of the process (service.name)',
    COMMENT COLUMN IF EXISTS node 'name of the node (host.name)',
    COMMENT COLUMN IF EXISTS pid 'process id in the host''s namespace (process.pid)';

ALTER TABLE ingest_ledger
    COMMENT COLUMN IF EXISTS region 'region of the node (cloud.region)',
    COMMENT COLUMN IF EXISTS node 'name of the node (host.name)';

ALTER TABLE losses
    COMMENT COLUMN IF EXISTS region 'region of the node (cloud.region)',
    COMMENT COLUMN IF EXISTS node 'name of the node (host.name)';

ALTER TABLE messages
    COMMENT COLUMN IF EXISTS region 'region of the node (cloud.region)',
    COMMENT COLUMN IF EXISTS service 'service of the process (service.name)',
    COMMENT COLUMN IF EXISTS node 'name of the node (host.name)',
    COMMENT COLUMN IF EXISTS pid 'process id in the host''s namespace (process.pid)',
    COMMENT COLUMN IF EXISTS tid 'thread that made the call (thread.id)';

ALTER TABLE nodes
    COMMENT COLUMN IF EXISTS region 'region of the node (cloud.region)',
    COMMENT COLUMN IF EXISTS node 'name of the node (host.name)';

ALTER TABLE observations
    COMMENT COLUMN IF EXISTS region 'region of the node (cloud.region)',
    COMMENT COLUMN IF EXISTS service 'service of the process (service.name)',
    COMMENT COLUMN IF EXISTS node 'name of the node (host.name)',
    COMMENT COLUMN IF EXISTS pid 'process id in the host''s namespace (process.pid)';

ALTER TABLE open_waits
    COMMENT COLUMN IF EXISTS region 'region of the node (cloud.region)',
    COMMENT COLUMN IF EXISTS service 'service of the process (service.name)',
    COMMENT COLUMN IF EXISTS node 'name of the node (host.name)',
    COMMENT COLUMN IF EXISTS pid 'process id in the host''s namespace (process.pid)',
    COMMENT COLUMN IF EXISTS tid 'thread that waits, or that the goroutine parked on (thread.id); 0 = not known, of a goroutine where flags has bit 7';

ALTER TABLE probe_now
    COMMENT COLUMN IF EXISTS region 'region of the node (cloud.region)',
    COMMENT COLUMN IF EXISTS node 'name of the node (host.name)';

ALTER TABLE process_states
    COMMENT COLUMN IF EXISTS region 'region of the node (cloud.region)',
    COMMENT COLUMN IF EXISTS service 'service of the process (service.name)',
    COMMENT COLUMN IF EXISTS node 'name of the node (host.name)',
    COMMENT COLUMN IF EXISTS pid 'process id in the host''s namespace (process.pid)';

ALTER TABLE region_claims
    COMMENT COLUMN IF EXISTS region 'region whose aggregator claims it (cloud.region)';

ALTER TABLE region_clock
    COMMENT COLUMN IF EXISTS region 'region mapped (cloud.region)';

ALTER TABLE region_links
    COMMENT COLUMN IF EXISTS region 'region that measures (cloud.region)';

ALTER TABLE region_pairs
    COMMENT COLUMN IF EXISTS region 'one region (cloud.region)';

ALTER TABLE short_waits
    COMMENT COLUMN IF EXISTS region 'region of the node (cloud.region)',
    COMMENT COLUMN IF EXISTS service 'service of the process (service.name)',
    COMMENT COLUMN IF EXISTS node 'name of the node (host.name)',
    COMMENT COLUMN IF EXISTS pid 'process id in the host''s namespace (process.pid)';

ALTER TABLE skew_alerts
    COMMENT COLUMN IF EXISTS region 'region of the subject (cloud.region); empty where it is of several',
    COMMENT COLUMN IF EXISTS node 'node, where the subject is one (host.name); else empty';

ALTER TABLE symbols
    COMMENT COLUMN IF EXISTS func 'function (code.function.name)',
    COMMENT COLUMN IF EXISTS file 'source file (code.file.path)',
    COMMENT COLUMN IF EXISTS line 'line in the file (code.line.number); 0 = not known';

ALTER TABLE tcp_losses
    COMMENT COLUMN IF EXISTS region 'region of the node (cloud.region)',
    COMMENT COLUMN IF EXISTS node 'name of the node (host.name)';

ALTER TABLE tcp_sessions
    COMMENT COLUMN IF EXISTS region 'region of the node (cloud.region)',
    COMMENT COLUMN IF EXISTS service 'service of the process (service.name)',
    COMMENT COLUMN IF EXISTS node 'name of the node (host.name)',
    COMMENT COLUMN IF EXISTS pid 'process id in the host''s namespace (process.pid)',
    COMMENT COLUMN IF EXISTS tid 'thread that opened it, or was seen with it first (thread.id)';

ALTER TABLE wait_hours
    COMMENT COLUMN IF EXISTS region 'region of the nodes (cloud.region)',
    COMMENT COLUMN IF EXISTS service 'service of the processes (service.name)';
