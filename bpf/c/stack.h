/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* User stacks, by their frame pointers. */
#ifndef SYNCLINE_STACK_H
#define SYNCLINE_STACK_H

#include "maps.h"
#include "regs.h"

static __always_inline long read_word(__u64 *into, __u64 address)
{
	return bpf_probe_read_user(into, sizeof(*into), (void *)address);
}

/*
 * The return addresses from a frame pointer on, into `stack` from index `n`; returns how many there are then, at most
 * `max_stack`, which is at most `limit`, a constant. Go keeps frame pointers; the chain ends with a zero at the goroutine's
 * first frame. Stacks grow downwards, so a frame pointer that does not increase is garbage, and ends the walk too.
 */
static __always_inline __u32 walk_frames(__u64 *stack, __u32 n, const __u32 limit, __u32 max_stack, __u64 bp, __u8 *flags)
{
	struct { __u64 bp, ret; } frame;

	for (__u32 i = 0; i < limit; i++) {
		if (!bp)
			break;
		if (bpf_probe_read_user(&frame, sizeof(frame), (void *)bp)) {
			*flags |= WAIT_STACK_UNREADABLE;
			break;
		}
		if (!frame.ret)
			break;
		if (n >= max_stack || n >= limit) {
			*flags |= WAIT_STACK_TRUNCATED;
			break;
		}
		stack[n] = frame.ret;
		n++;
		if (frame.bp && frame.bp <= bp) {
			*flags |= WAIT_STACK_UNREADABLE;
			break;
		}
		bp = frame.bp;
	}
	return n;
}

/*
 * From the registers that the runtime saved in gp.sched: of a parked goroutine, and of one that runs C code or on another stack.
 * Behind `n` frames, a constant, that are there.
 */
static __always_inline __u32 walk_saved(__u64 *stack, const __u32 n, const __u32 limit, __u32 max_stack,
					const struct binary_layout *layout, __u64 g, __u8 *flags)
{
	__u64 pc = 0, bp = 0;

	if (bpf_probe_read_user(&pc, sizeof(pc), (void *)(g + layout->g_sched_pc)) ||
	    bpf_probe_read_user(&bp, sizeof(bp), (void *)(g + layout->g_sched_bp))) {
		*flags |= WAIT_STACK_UNREADABLE;
		return n;
	}
	if (n >= max_stack) {
		*flags |= WAIT_STACK_TRUNCATED;
		return n;
	}
	stack[n] = pc;
	return walk_frames(stack, n + 1, limit, max_stack, bp, flags);
}

/* Go code runs on the goroutine's stack; C code, and the runtime's own, on the thread's. */
static __always_inline int is_on_stack_of(const struct binary_layout *layout, __u64 g, __u64 sp)
{
	__u64 lo = 0, hi = 0;

	return !read_word(&lo, g + layout->g_stack_lo) && !read_word(&hi, g + layout->g_stack_hi) && sp >= lo && sp < hi;
}

/*
 * Of a thread that the kernel has stopped at `pc`, a return address; g is the goroutine that it runs, 0 for none. In Go code from
 * the registers: where the function has no frame, as most of Go's that make system calls, and any at its begin, the return address
 * is where the call has put it, and the frame pointer is the caller's. User space knows the function, and decides. In C code, which
 * keeps no frame pointers, the function that it is in, and then the goroutine where it went there.
 */
static __always_inline __u32 walk_thread(__u64 *stack, const __u32 limit, __u32 max_stack, const struct binary_layout *layout,
					 __u64 g, __u64 pc, const struct user_regs *regs, __u8 *flags)
{
	stack[0] = pc;
	if (g && !is_on_stack_of(layout, g, REGS_SP(regs)))
		return walk_saved(stack, 1, limit, max_stack, layout, g, flags);
	if (READ_RETURN_ADDRESS(&stack[1], regs)) {
		*flags |= WAIT_STACK_UNREADABLE;
		return 1;
	}
	*flags |= WAIT_TOP_OF_STACK;
	return walk_frames(stack, 2, limit, max_stack, REGS_FP(regs), flags);
}

#endif
