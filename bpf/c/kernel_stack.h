/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Where in the kernel a thread was that left its CPU, in a system call or outside of one: taken as it leaves, where that is
 * wanted (WATCH_KERNEL_STACKS), and kept until its wait ends.
 */
#ifndef SYNCLINE_KERNEL_STACK_H
#define SYNCLINE_KERNEL_STACK_H

#include "maps.h"

/* Of a wait of a thread: both of its kinds may go on at once, where it is preempted in a system call. */
struct kernel_stack_key {
	__u32 tid;
	__u32 what; /* wait_kind */
};

struct kernel_stack {
	__u64 began_mono_ns; /* of its wait: what an earlier one has left is of no other */
	__u64 len;
	__u64 stack[MAX_KERNEL_STACK]; /* leaf first: the scheduler itself */
};

/* The oldest make room: a lost one costs a stack, not a wait. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 12);
	__type(key, struct kernel_stack_key);
	__type(value, struct kernel_stack);
} kernel_stacks SEC(".maps");

/* Of the current thread, whose wait began at that time; `ctx` is the one of sched_switch. */
static __always_inline void take_kernel_stack(void *ctx, __u32 tid, enum wait_kind what, __u64 began_mono_ns)
{
	static const struct kernel_stack none;
	struct kernel_stack_key key = { .tid = tid, .what = what };
	struct kernel_stack *taken = bpf_map_lookup_elem(&kernel_stacks, &key);
	long bytes;

	if (!taken && (bpf_map_update_elem(&kernel_stacks, &key, &none, BPF_ANY) ||
		       !(taken = bpf_map_lookup_elem(&kernel_stacks, &key))))
		return;
	taken->began_mono_ns = began_mono_ns;
	bytes = bpf_get_stack(ctx, taken->stack, sizeof(taken->stack), 0);
	taken->len = bytes > 0 ? bytes / sizeof(taken->stack[0]) : 0;
}

/* Behind the frames of user space, in the place of the waker's, which a thread has not. */
static __always_inline void append_kernel_stack(struct wait_record *record)
{
	struct kernel_stack_key key = { .tid = record->tid, .what = record->what };
	struct kernel_stack *taken = bpf_map_lookup_elem(&kernel_stacks, &key);
	__u32 frames;

	if (!taken || taken->began_mono_ns != record->park_mono_ns) {
		count(COUNT_KERNEL_STACK_LOST);
		return;
	}
	frames = taken->len & (2 * MAX_WAKER_STACK - 1);
	if (!frames)
		count(COUNT_KERNEL_STACK_LOST);
	if (frames > MAX_KERNEL_STACK)
		frames = MAX_KERNEL_STACK;
	bpf_probe_read_kernel(&record->stack[record->stack_len & MAX_STACK], frames * sizeof(record->stack[0]), taken->stack);
	record->further_len = frames;
	bpf_map_delete_elem(&kernel_stacks, &key);
}

#endif
