/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * What the kernel side and user space exchange. Each struct is mirrored in ../src/layout.rs; the asserts on both sides
 * hold the two together. All times are nanoseconds; all integers are in the byte order of the host.
 */
#ifndef SYNCLINE_RECORDS_H
#define SYNCLINE_RECORDS_H

#include <linux/types.h>

/* Most return addresses one record can carry. 127, as bpf_get_stackid's, so that `n & 127` bounds a count. */
#define MAX_STACK 127
/* Buckets of the histogram of short waits: bucket i counts waits of [2^i, 2^(i+1)) ns, the last one also all longer. */
#define HISTOGRAM_BUCKETS 32

/* First word of each record in the ring. */
enum record_kind {
	RECORD_WAIT = 1,
	RECORD_EXEC = 2,
};

enum wait_flags {
	WAIT_READY_SEEN = 1 << 0,       /* ready_mono_ns is a measurement */
	WAIT_BY_NETPOLL = 1 << 1,       /* made runnable by the network poller */
	WAIT_STACK_TRUNCATED = 1 << 2,  /* deeper than the configured depth */
	WAIT_STACK_UNREADABLE = 1 << 3, /* a frame could not be read: the stack ends there */
};

/* One finished wait: parked, (made ready,) running again. Sent without the unused tail of `stack`. */
struct wait_record {
	__u32 kind;
	__u32 stack_len;
	__u32 tgid;
	__u32 tid; /* the thread that ran the goroutine when it parked */
	__u64 goid;
	__u64 park_mono_ns;
	__u64 park_wall_ns;
	__u64 ready_mono_ns;
	__u64 run_mono_ns;
	__u64 waker_goid; /* 0: not woken by a goroutine */
	__u32 binary;     /* index into `binaries` */
	__u8 reason;      /* number of the binary's own Go version */
	__u8 flags;
	__u16 reserved;
	__u64 trace_id_high; /* from the goroutine's labels, as numbers; 0: it has none */
	__u64 trace_id_low;
	__u64 span_id;
	__u64 stack[MAX_STACK]; /* return addresses, leaf first */
};
#define WAIT_HEADER_BYTES __builtin_offsetof(struct wait_record, stack)

/* A process replaced its program. */
struct exec_record {
	__u32 kind;
	__u32 tgid;
	__u64 mono_ns; /* after everything the former program did, before everything the new one does */
};

/* What g.labels points to. */
enum labels_form {
	LABELS_UNKNOWN = 0, /* they are not read */
	LABELS_MAP = 1,
	LABELS_SLICE = 2,
};

/* Offsets inside the Go runtime's structs for one binary. */
struct binary_layout {
	__u32 g_goid;
	__u32 g_m;
	__u32 g_sched_pc;
	__u32 g_sched_bp;
	__u32 m_curg;
	__u32 polldesc_rg;
	__u32 polldesc_wg;
	__u32 valid; /* 0: this slot holds no binary */
	__u32 g_labels;
	__u32 labels_form;
};

struct capture_config {
	__u64 threshold_ns; /* waits at least this long become a record */
	__u32 max_stack;    /* at most MAX_STACK */
	__u32 only_watched; /* 1: only processes listed in `watched` */
};

struct clock_config {
	__s64 tai_offset_ns; /* TAI - REALTIME, from adjtimex(2) */
};

struct park_key {
	__u32 tgid;
	__u32 reserved;
	__u64 g; /* address of the runtime.g */
};

/* A goroutine that is parked now. */
struct park {
	__u64 goid;
	__u64 park_mono_ns;
	__u64 park_wall_ns;
	__u64 ready_mono_ns;
	__u64 waker_goid;
	__u32 tid;
	__u8 reason;
	__u8 flags;
	__u16 reserved;
};

struct short_wait_key {
	__u32 tgid;
	__u32 reason;
};

/* Waits below the threshold, summed up; cumulative per CPU. */
struct short_wait {
	__u64 count;
	__u64 total_ns;
	__u64 histogram[HISTOGRAM_BUCKETS];
};

/*
 * What was seen and what was lost, and why. Two sums hold at rest:
 *   parks    = finished + map_full + map_error + park_replaced + (entries in `parks`, now or removed by user space)
 *   finished = emitted + aggregated + ring_full + aggregate_full + goid_mismatch + execute_fault + scratch_busy
 */
enum counter {
	COUNT_PARKS,            /* goroutines that began to wait */
	COUNT_READIES,          /* parked goroutines seen being made ready */
	COUNT_FINISHED,         /* parked goroutines seen running again */
	COUNT_EMITTED,          /* records put into the ring */
	COUNT_AGGREGATED,       /* waits added to `short_waits` */
	COUNT_RING_FULL,        /* lost: no room in the ring */
	COUNT_MAP_FULL,         /* lost: no room in `parks` */
	COUNT_MAP_ERROR,        /* lost: `parks` refused for another cause */
	COUNT_PARK_REPLACED,    /* lost: parked again, its run was never seen */
	COUNT_PARK_FAULT,       /* lost: g unreadable at park, so never counted as parked */
	COUNT_AGGREGATE_FULL,   /* lost: no room in `short_waits` */
	COUNT_GOID_MISMATCH,    /* lost: the g was given to another goroutine meanwhile */
	COUNT_EXECUTE_FAULT,    /* lost: g unreadable when it ran again */
	COUNT_SCRATCH_BUSY,     /* lost: no free slot to build a record in */
	COUNT_STACK_UNREADABLE, /* kept, with a shorter stack */
	COUNT_STACK_TRUNCATED,  /* kept, with a shorter stack */
	COUNT_WAKER_FAULT,      /* kept, without a waker */
	COUNT_NETPOLL_FAULT,    /* kept, without a ready stamp */
	COUNT_EXEC_RING_FULL,   /* an exec notice was lost: user space finds the process at its next scan */
	COUNT_LABELS_UNREAD,    /* kept, without a trace that may be among labels not looked at */
	COUNT_LABELS_FAULT,     /* kept, without a trace: labels unreadable */
	COUNT_LABELS_MALFORMED, /* kept, without a trace or a span whose label is none */
	COUNTERS,
};

#define ASSERT_SIZE(type, size) _Static_assert(sizeof(type) == (size), "size of " #type)
#define ASSERT_OFFSET(type, field, offset) \
	_Static_assert(__builtin_offsetof(type, field) == (offset), "offset of " #type "." #field)

ASSERT_SIZE(struct wait_record, 96 + 8 * MAX_STACK);
ASSERT_OFFSET(struct wait_record, stack_len, 4);
ASSERT_OFFSET(struct wait_record, tgid, 8);
ASSERT_OFFSET(struct wait_record, tid, 12);
ASSERT_OFFSET(struct wait_record, goid, 16);
ASSERT_OFFSET(struct wait_record, park_mono_ns, 24);
ASSERT_OFFSET(struct wait_record, park_wall_ns, 32);
ASSERT_OFFSET(struct wait_record, ready_mono_ns, 40);
ASSERT_OFFSET(struct wait_record, run_mono_ns, 48);
ASSERT_OFFSET(struct wait_record, waker_goid, 56);
ASSERT_OFFSET(struct wait_record, binary, 64);
ASSERT_OFFSET(struct wait_record, reason, 68);
ASSERT_OFFSET(struct wait_record, flags, 69);
ASSERT_OFFSET(struct wait_record, trace_id_high, 72);
ASSERT_OFFSET(struct wait_record, trace_id_low, 80);
ASSERT_OFFSET(struct wait_record, span_id, 88);
ASSERT_OFFSET(struct wait_record, stack, 96);
ASSERT_SIZE(struct exec_record, 16);
ASSERT_OFFSET(struct exec_record, tgid, 4);
ASSERT_OFFSET(struct exec_record, mono_ns, 8);
ASSERT_SIZE(struct binary_layout, 40);
ASSERT_OFFSET(struct binary_layout, g_goid, 0);
ASSERT_OFFSET(struct binary_layout, g_m, 4);
ASSERT_OFFSET(struct binary_layout, g_sched_pc, 8);
ASSERT_OFFSET(struct binary_layout, g_sched_bp, 12);
ASSERT_OFFSET(struct binary_layout, m_curg, 16);
ASSERT_OFFSET(struct binary_layout, polldesc_rg, 20);
ASSERT_OFFSET(struct binary_layout, polldesc_wg, 24);
ASSERT_OFFSET(struct binary_layout, valid, 28);
ASSERT_OFFSET(struct binary_layout, g_labels, 32);
ASSERT_OFFSET(struct binary_layout, labels_form, 36);
ASSERT_SIZE(struct capture_config, 16);
ASSERT_OFFSET(struct capture_config, threshold_ns, 0);
ASSERT_OFFSET(struct capture_config, max_stack, 8);
ASSERT_OFFSET(struct capture_config, only_watched, 12);
ASSERT_SIZE(struct clock_config, 8);
ASSERT_SIZE(struct park_key, 16);
ASSERT_OFFSET(struct park_key, tgid, 0);
ASSERT_OFFSET(struct park_key, g, 8);
ASSERT_SIZE(struct park, 48);
ASSERT_OFFSET(struct park, park_mono_ns, 8);
ASSERT_SIZE(struct short_wait_key, 8);
ASSERT_OFFSET(struct short_wait_key, reason, 4);
ASSERT_SIZE(struct short_wait, 16 + 8 * HISTOGRAM_BUCKETS);
ASSERT_OFFSET(struct short_wait, total_ns, 8);
ASSERT_OFFSET(struct short_wait, histogram, 16);
_Static_assert(COUNTERS == 22, "number of counters");

#endif
