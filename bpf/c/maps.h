/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The maps that more than one part of the object uses, and the counters. */
#ifndef SYNCLINE_MAPS_H
#define SYNCLINE_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "records.h"

/* Size is set by user space before loading. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct capture_config);
} config SEC(".maps");

/* Indexed by the attach cookie of the probe that was hit. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct binary_layout);
} binaries SEC(".maps");

/*
 * tgid -> slot of its binary in `binaries`, and what holds for it. A process that is listed is observed only by the probes of
 * that slot: one layer of a container image, mounted twice, looks like two files and gets two sets of probes, but they sit on
 * one inode, so each process would hit both. One that is listed as left out is observed by none. One that is not listed is
 * observed unless config.only_watched, as config has it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 16);
	__type(key, __u32);
	__type(value, struct watch);
} watched SEC(".maps");

/* Not preallocated: a node with few goroutines should not pay for one with a million. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 20);
	__type(key, struct park_key);
	__type(value, struct park);
} parks SEC(".maps");

/*
 * Who made a parked goroutine ready; only where the wait is long enough for a record of its own, and only until it runs. The
 * oldest make room: a lost one costs a stack, not a wait.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 13);
	__type(key, struct park_key);
	__type(value, struct waker);
} wakers SEC(".maps");

/* Which system calls are of interest; empty = none. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct syscall_config);
} syscall_config SEC(".maps");

/* Threads of watched processes that are in one of them, by thread id. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 17);
	__type(key, __u32);
	__type(value, struct in_syscall);
} in_syscalls SEC(".maps");

/* The runtime.m of each thread that was seen running a goroutine, by thread id; the thread's end removes it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 17);
	__type(key, __u32);
	__type(value, struct thread);
} threads SEC(".maps");

/* Of processes whose Go code is a library: where their threads keep their g, from their bases. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 12);
	__type(key, __u32);
	__type(value, __s32);
} tls_offsets SEC(".maps");

/* How many waits of each watched process's threads could be bound to a goroutine. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 16);
	__type(key, __u32);
	__type(value, struct binding);
} bindings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

static __always_inline struct capture_config *settings(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&config, &zero);
}

/* What holds for a listed process that is not left out. */
static __always_inline const struct watch *watch_of(__u32 tgid)
{
	const struct watch *watch = bpf_map_lookup_elem(&watched, &tgid);

	return watch && watch->slot != LEFT_OUT ? watch : 0;
}

/*
 * 0 for a process that the probes of this binary do not observe, else what holds for it. That is read once, so that whatever is
 * changed meanwhile a wait becomes a record or part of a sum, never both or neither.
 */
static __always_inline struct capture_config *config_for(__u32 tgid, __u32 binary, struct watch *watch)
{
	struct capture_config *cfg = settings();
	const struct watch *listed = bpf_map_lookup_elem(&watched, &tgid);

	if (!cfg || (listed ? listed->slot != binary : cfg->only_watched))
		return 0;
	watch->threshold_ns = listed ? listed->threshold_ns : cfg->threshold_ns;
	watch->kinds = listed ? listed->kinds : cfg->kinds;
	watch->from_ns = listed ? listed->from_ns : 0;
	watch->until_ns = listed ? listed->until_ns : 0;
	return cfg;
}

/* The process is observed in windows, and this moment is in none. */
static __always_inline int is_outside(const struct watch *watch, __u64 now)
{
	return watch->until_ns && (now < watch->from_ns || now >= watch->until_ns);
}

/* Atomic although per CPU: a uprobe's program keeps its CPU but can be preempted by another one. */
static __always_inline void count(enum counter which)
{
	__u32 key = which;
	__u64 *value = bpf_map_lookup_elem(&counters, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
}

#endif
