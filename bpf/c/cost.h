/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * What observing costs each process: how often its threads came into a program of ours, by the way there, and how long the programs took.
 * User space puts a process in and takes it out; for others nothing is counted, and no clock is read. What the way into a program costs
 * no program can see: user space measures that.
 */
#ifndef SYNCLINE_COST_H
#define SYNCLINE_COST_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "records.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 14);
	__type(key, __u32);
	__type(value, struct cost);
} costs SEC(".maps");

/* Longer than any program takes: the thread was taken off its CPU in the middle of it. */
#define MOST_NS 20000

struct meter {
	struct cost *cost; /* 0: nobody asks */
	__u64 began_ns;
};

static __always_inline struct meter begin_metering(__u32 tgid)
{
	struct meter meter = { .cost = bpf_map_lookup_elem(&costs, &tgid) };

	if (meter.cost)
		meter.began_ns = bpf_ktime_get_ns();
	return meter;
}

/* Atomic although per CPU: a uprobe's program can be preempted by another one. */
static __always_inline void end_metering(const struct meter *meter, enum way_in way)
{
	__u64 ns;

	if (!meter->cost)
		return;
	ns = bpf_ktime_get_ns() - meter->began_ns;
	__sync_fetch_and_add(&meter->cost->hits[way], 1);
	__sync_fetch_and_add(&meter->cost->program_ns[way], ns < MOST_NS ? ns : MOST_NS);
}

/* A uprobe's program, metered. */
#define METERED_UPROBE(program, does)                                                                                  \
	SEC("uprobe")                                                                                                  \
	int program(struct user_regs *ctx)                                                                             \
	{                                                                                                              \
		struct meter meter = begin_metering(bpf_get_current_pid_tgid() >> 32);                                 \
                                                                                                                       \
		does(ctx);                                                                                             \
		end_metering(&meter, WAY_UPROBE);                                                                      \
		return 0;                                                                                              \
	}

/* A program that does nothing, of which the cost is the way into it. */
SEC("uprobe")
int measure_way_in(void *ctx)
{
	return 0;
}

#endif
