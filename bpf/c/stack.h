/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The stack of a parked goroutine, by its frame pointers. */
#ifndef SYNCLINE_STACK_H
#define SYNCLINE_STACK_H

#include "maps.h"

/*
 * Walks from the registers that the runtime saved in gp.sched when the goroutine parked. Go keeps frame pointers on
 * amd64; the chain ends with a zero at the goroutine's first frame. Stacks grow downwards, so a frame pointer that does
 * not increase is garbage, and ends the walk too.
 */
static __always_inline void walk_stack(struct wait_record *record, const struct binary_layout *layout, __u64 g,
				       __u32 max_stack)
{
	struct { __u64 bp, ret; } frame;
	__u64 pc = 0, bp = 0;
	__u32 n = 0;

	if (bpf_probe_read_user(&pc, sizeof(pc), (void *)(g + layout->g_sched_pc)) ||
	    bpf_probe_read_user(&bp, sizeof(bp), (void *)(g + layout->g_sched_bp))) {
		record->flags |= WAIT_STACK_UNREADABLE;
		record->stack_len = 0;
		return;
	}
	for (__u32 i = 0; i < MAX_STACK; i++) {
		if (i >= max_stack) {
			record->flags |= WAIT_STACK_TRUNCATED;
			break;
		}
		record->stack[i] = pc;
		n = i + 1;
		if (!bp)
			break;
		if (bpf_probe_read_user(&frame, sizeof(frame), (void *)bp)) {
			record->flags |= WAIT_STACK_UNREADABLE;
			break;
		}
		if (!frame.ret)
			break;
		if (frame.bp && frame.bp <= bp) {
			record->flags |= WAIT_STACK_UNREADABLE;
			break;
		}
		pc = frame.ret;
		bp = frame.bp;
	}
	record->stack_len = n;
}

#endif
