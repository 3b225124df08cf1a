/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The maps of the TCP sampler, and its counters. */
#ifndef SYNCLINE_TCP_MAPS_H
#define SYNCLINE_TCP_MAPS_H

#include "maps.h"
#include "tcp_records.h"

/* Sizes are set by user space before loading. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 16);
	__type(key, __u64);
	__type(value, struct tcp_session);
} tcp_sessions SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 16);
	__type(key, __u64);
	__type(value, struct tcp_session);
} tcp_embryos SEC(".maps");

/* Of each open session, where send latency is measured. Sized as `tcp_sessions`. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 16);
	__type(key, __u64);
	__type(value, struct tcp_sends);
} tcp_sends SEC(".maps");

/* The value of one that has not sent yet: too large for the stack. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tcp_sends);
} tcp_no_sends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tcp_config);
} tcp_config SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TCP_COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} tcp_counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 4096);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, MAX_STACK * sizeof(__u64));
} tcp_stacks SEC(".maps");

/* What is captured of the process's TCP, if its sessions are; else 0. */
static __always_inline const struct watch *tcp_watch_of(__u32 tgid)
{
	const struct watch *watch = watch_of(tgid);

	return watch && watch->kinds & WATCH_TCP ? watch : 0;
}

static __always_inline void tcp_add(enum tcp_counter which, __u64 number)
{
	__u32 key = which;
	__u64 *value = bpf_map_lookup_elem(&tcp_counters, &key);

	if (value)
		__sync_fetch_and_add(value, number);
}

static __always_inline void tcp_count(enum tcp_counter which)
{
	tcp_add(which, 1);
}

static __always_inline const struct tcp_config *tcp_settings(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&tcp_config, &zero);
}

#endif
