/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Waits below the threshold: count, sum and histogram per process and wait reason. */
#ifndef SYNCLINE_SHORT_WAITS_H
#define SYNCLINE_SHORT_WAITS_H

#include "maps.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct short_wait_key);
	__type(value, struct short_wait);
} short_waits SEC(".maps");

/* Position of the highest set bit; 0 for 0. */
static __always_inline __u32 log2_floor(__u64 v)
{
	__u32 log = 0;

	if (v >> 32) { v >>= 32; log += 32; }
	if (v >> 16) { v >>= 16; log += 16; }
	if (v >> 8) { v >>= 8; log += 8; }
	if (v >> 4) { v >>= 4; log += 4; }
	if (v >> 2) { v >>= 2; log += 2; }
	if (v >> 1) { log += 1; }
	return log;
}

static __always_inline struct short_wait *short_wait_of(struct short_wait_key *key)
{
	/* Not on the stack, of which it would take more than half. */
	static const struct short_wait fresh;
	struct short_wait *found = bpf_map_lookup_elem(&short_waits, key);

	if (found)
		return found;
	/* Two CPUs may get here at once; NOEXIST lets the first one win, and both then find its entry. */
	bpf_map_update_elem(&short_waits, key, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&short_waits, key);
}

/* what: enum wait_kind, and WAIT_PARTS */
static __always_inline void aggregate(__u32 tgid, __u16 what, __u16 reason, __u64 wait_ns)
{
	struct short_wait_key key = { .tgid = tgid, .reason = reason, .what = what };
	struct short_wait *sum = short_wait_of(&key);
	__u32 bucket = log2_floor(wait_ns);

	if (!sum) {
		count(COUNT_AGGREGATE_FULL);
		return;
	}
	if (bucket >= HISTOGRAM_BUCKETS)
		bucket = HISTOGRAM_BUCKETS - 1;
	__sync_fetch_and_add(&sum->count, 1);
	__sync_fetch_and_add(&sum->total_ns, wait_ns);
	__sync_fetch_and_add(&sum->histogram[bucket], 1);
	count(COUNT_AGGREGATED);
}

/*
 * How long one was that was found going on is not known: whether it was a short wait is not either. In a window the part of it that is in
 * there is what counts.
 */
static __always_inline void count_short(int was_found, const struct watch *watch, __u32 tgid, enum wait_kind what, __u16 reason, __u64 duration_ns)
{
	if (was_found && watch->until_ns)
		aggregate(tgid, what | WAIT_PARTS, reason, duration_ns);
	else if (was_found)
		count(COUNT_FOUND_SHORT);
	else
		aggregate(tgid, what, reason, duration_ns);
}

#endif
