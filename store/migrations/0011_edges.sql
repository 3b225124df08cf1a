-- Who woke whom, and who held the locks that others waited for.

-- wake_edges(t0, t1): what ended the waits that began in [t0, t1): an edge from a waker to the one that waited.
--
-- via            'goroutine': a goroutine of the same process made it ready: the sender or receiver of a channel, whoever unlocked, ...;
--                'network': the process at the other end of the connection that it waited for
-- at, err_ns     when it could go on, on the fleet's clock, and the half width of the bound
-- dur_ns         how long it had waited; run_delay_ns: part of it, from at on
-- stack          where it waited, and waker_stack where its waker was: the innermost functions that are not Go's own way of waiting
-- waker_*        the waker. Of a network edge the process that was seen with the other end, if one is observed: no edge if none is. Its
--                goroutine is known where a marked message of it (see messages) was sent while the wait went on: sent, sent_err_ns
--
-- Ends are matched by their addresses: what a proxy or a translation of addresses is in between of has no edge across it.
CREATE OR REPLACE VIEW wake_edges AS
WITH
    toIPv6('::1') AS loopback,
    toIPv6('::ffff:127.0.0.0') AS loopback_from,
    toIPv6('::ffff:127.255.255.255') AS loopback_to,
    -- Buckets are on the region's own clock, and stamped before alignment: see timeline.
    (SELECT toInt64(max(greatest(abs(off), abs(off_to)))) + 1000000000 FROM region_clock) AS apart_ns,
    toStartOfMinute({t0:DateTime64(9, 'UTC')} - toIntervalNanosecond(apart_ns) - toIntervalSecond(30)) AS bucket_from,
    {t1:DateTime64(9, 'UTC')} + toIntervalNanosecond(apart_ns) + toIntervalSecond(30) AS bucket_to,
    far AS (
        SELECT DISTINCT peer_address, peer_port, local_address, local_port
        FROM events WHERE bucket >= bucket_from AND bucket <= bucket_to AND peer_port != 0
    ),
    far_ends AS (
        SELECT
            region, node, boot, service, pid, local_address, local_port, peer_address, peer_port,
            if(local_address = loopback OR local_address BETWEEN loopback_from AND loopback_to, boot, 0) AS only_boot,
            -- On the region's own clock.
            aligned - toIntervalNanosecond(apart_ns) AS from_at, aligned_end + toIntervalNanosecond(apart_ns) + toIntervalHour(1) AS to_at
        FROM tcp_sessions FINAL
        WHERE aligned_end >= {t0:DateTime64(9, 'UTC')} - toIntervalNanosecond(apart_ns) - toIntervalHour(1) AND (local_address, local_port, peer_address, peer_port) IN far
    ),
    sends AS (
        SELECT at, err_ns, node, boot, pid, goid, local_address, local_port, peer_address, peer_port
        FROM messages_live(t0 = {t0:DateTime64(9, 'UTC')}, t1 = {t1:DateTime64(9, 'UTC')})
        WHERE direction = 'send' AND (local_address, local_port, peer_address, peer_port) IN far
    ),
    -- Loopback addresses are of one machine each.
    waits AS (
        SELECT
            *, aligned_end - toIntervalNanosecond(run_delay_ns) AS ready,
            kind = 'goroutine' AND waker_goid != 0 AS by_goroutine,
            peer_port != 0 AND (kind = 'goroutine' AND bitTest(flags, 1) OR kind = 'syscall' AND result >= 0) AS by_network,
            if(peer_address = loopback OR peer_address BETWEEN loopback_from AND loopback_to, boot, 0) AS only_boot
        FROM timeline(t0 = {t0:DateTime64(9, 'UTC')}, t1 = {t1:DateTime64(9, 'UTC')})
        WHERE by_goroutine OR by_network
    ),
    -- Of connections that had the same ends one after the other, the last that began before.
    reached AS (
        SELECT
            w.*, f.region AS far_region, f.node AS far_node, f.boot AS far_boot, f.service AS far_service,
            if(by_network AND w.ready <= f.to_at, f.pid, 0) AS far_pid
        FROM waits AS w
        ASOF LEFT JOIN far_ends AS f
            ON w.peer_address = f.local_address AND w.peer_port = f.local_port AND w.local_address = f.peer_address AND w.local_port = f.peer_port
            AND w.only_boot = f.only_boot AND w.ready >= f.from_at
        WHERE by_goroutine OR far_pid != 0
    ),
    edges AS (
        SELECT r.*, far_pid != 0 AND m.pid = far_pid AND m.at >= r.aligned AS has_sent, m.at AS m_at, m.goid AS m_goid, m.err_ns AS m_err_ns
        FROM reached AS r
        ASOF LEFT JOIN sends AS m
            ON r.peer_address = m.local_address AND r.peer_port = m.local_port AND r.local_address = m.peer_address AND r.local_port = m.peer_port
            AND r.far_node = m.node AND r.far_boot = m.boot AND r.ready >= m.at
    ),
    tops AS (
        SELECT stack_id, top FROM stack_tops
        WHERE stack_id IN (SELECT waker_stack_id FROM events WHERE bucket >= bucket_from AND bucket <= bucket_to AND waker_stack_id != 0)
    )
SELECT
    if(e.by_goroutine, 'goroutine', 'network') AS via, e.ready AS at, e.err_end_ns AS err_ns, e.region AS region, e.node AS node, e.boot AS boot,
    e.service AS service, e.pid AS pid, e.goid AS goid, e.kind AS kind, e.reason AS reason, e.aligned AS since, e.dur_ns AS dur_ns,
    e.run_delay_ns AS run_delay_ns, e.stack AS stack, e.stack_id AS stack_id, e.address AS address,
    if(e.by_goroutine, e.region, e.far_region) AS waker_region, if(e.by_goroutine, e.node, e.far_node) AS waker_node,
    if(e.by_goroutine, e.boot, e.far_boot) AS waker_boot, if(e.by_goroutine, e.service, e.far_service) AS waker_service,
    if(e.by_goroutine, e.pid, e.far_pid) AS waker_pid, multiIf(e.by_goroutine, e.waker_goid, e.has_sent, e.m_goid, 0) AS waker_goid,
    s.top AS waker_stack, e.waker_stack_id AS waker_stack_id, if(e.has_sent, e.m_at, NULL) AS sent, if(e.has_sent, e.m_err_ns, NULL) AS sent_err_ns,
    e.local_address AS local_address, e.local_port AS local_port, e.peer_address AS peer_address, e.peer_port AS peer_port,
    e.trace AS trace, e.span AS span
FROM edges AS e LEFT JOIN tops AS s ON e.waker_stack_id = s.stack_id;

-- lock_sites(t0, t1): where goroutines waited for locks in [t0, t1), by place.
--
-- level        'go': sync.Mutex and sync.RWMutex, which park the goroutine and mostly never reach the kernel; 'futex': a thread in futex(2) on
--              behalf of a goroutine, as for the runtime's own locks, and those of C code. One does not contain the other
-- contentions  waits of at least the agent's threshold; shorter ones are in short_waits, without a place
-- locks        how many locks were waited for: of Go's, those of the runtime's lists of waiters, which some locks share
-- holders      who unlocked, of Go's: place and how often, the most frequent first, ten at most; '' = not seen
CREATE OR REPLACE VIEW lock_sites AS
WITH
    waits AS (
        SELECT *, if(kind = 'goroutine', 'go', 'futex') AS level
        FROM timeline(t0 = {t0:DateTime64(9, 'UTC')}, t1 = {t1:DateTime64(9, 'UTC')})
        WHERE kind = 'goroutine' AND match(reason, '^sync[.](RW)?Mutex[.]') OR kind = 'syscall' AND startsWith(reason, 'futex') AND goid != 0
    ),
    tops AS (SELECT stack_id, top FROM stack_tops WHERE stack_id IN (SELECT waker_stack_id FROM waits WHERE waker_stack_id != 0)),
    by_holder AS (
        SELECT
            w.region AS region, w.service AS service, w.level AS level, w.reason AS reason, w.stack AS site, s.top AS holder, count() AS times,
            sum(w.dur_ns) AS waited_ns, max(w.dur_ns) AS longest_ns, quantilesExactState(0.5, 0.99)(w.dur_ns) AS quantiles,
            uniqExactState(w.node, w.boot, w.pid, w.address) AS addresses, uniqExactState(w.node) AS of_nodes
        FROM waits AS w LEFT JOIN tops AS s ON w.waker_stack_id = s.stack_id
        GROUP BY region, service, level, reason, site, holder
    )
SELECT
    region, service, level, reason, site, sum(times) AS contentions, sum(waited_ns) AS waited_ns,
    quantilesExactMerge(0.5, 0.99)(quantiles)[1] AS p50_ns, quantilesExactMerge(0.5, 0.99)(quantiles)[2] AS p99_ns,
    max(longest_ns) AS max_ns, uniqExactMerge(addresses) AS locks, uniqExactMerge(of_nodes) AS nodes,
    arraySlice(arrayReverseSort(h -> (h.2, h.1), groupArray((holder, times))), 1, 10) AS holders
FROM by_holder
GROUP BY region, service, level, reason, site;
