/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Threads of watched processes in system calls, each bound to its goroutine. */
#ifndef SYNCLINE_SYSCALL_H
#define SYNCLINE_SYSCALL_H

#include "bind.h"
#include "clock.h"
#include "cost.h"
#include "file.h"
#include "kernel_stack.h"
#include "labels.h"
#include "maps.h"
#include "regs.h"
#include "send.h"
#include "short_waits.h"
#include "stack.h"
#include "states.h"

static __always_inline __u8 syscall_flags(__u64 nr)
{
	__u32 zero = 0;
	struct syscall_config *cfg = bpf_map_lookup_elem(&syscall_config, &zero);

	return cfg && nr < SYSCALLS ? cfg->flags[nr & (SYSCALLS - 1)] : 0;
}

#define FUTEX_OPERATION 0x7f
/* FUTEX_WAIT, LOCK_PI, WAIT_BITSET, WAIT_REQUEUE_PI, LOCK_PI2 (linux/futex.h): the others wake somebody, and return. */
#define FUTEX_WAITS (1 << 0 | 1 << 6 | 1 << 9 | 1 << 11 | 1 << 13)

static __always_inline int only_wakes(__u64 nr, __u64 regs)
{
	__u64 operation = 0;

	return nr == NR_FUTEX &&
	       !bpf_probe_read_kernel(&operation, sizeof(operation), (void *)(regs + __builtin_offsetof(struct user_regs, SYSCALL_ARG2))) &&
	       !(FUTEX_WAITS >> (operation & FUTEX_OPERATION & 31) & 1);
}

/* Whether it is a wait is decided as it begins: of one that began in a window the end is seen whenever it comes. */
static __always_inline void note_call(const __u64 *ctx, struct in_syscall *entry, const struct watch *watch, __u8 flags, __u32 tid)
{
	int sends = flags & (SYSCALL_SENDS | SYSCALL_SENDS_OFTEN) && watch->kinds & (WATCH_TCP_MESSAGES | WATCH_SEND_LATENCY);

	entry->is_wait = flags & SYSCALL_TRACED && watch->kinds & WATCH_SYSCALL && !only_wakes(ctx[1], ctx[0]);
	if (!entry->is_wait && !sends)
		return;
	entry->mono_ns = bpf_ktime_get_ns();
	if (is_outside(watch, entry->mono_ns)) {
		entry->is_wait = 0;
		if (!sends)
			return;
	}
	entry->wall_ns = ktime_get_real_ns();
	if (bpf_map_update_elem(&in_syscalls, &tid, entry, BPF_ANY))
		count(COUNT_THREAD_MAP_FULL);
}

/* The contexts are declared as words: aya-obj 0.3 cannot relocate bpf_raw_tracepoint_args.args[n]. */
SEC("raw_tp/sys_enter")
int syscall_enter(__u64 *ctx)
{
	struct in_syscall entry = { .nr = ctx[1] };
	const struct watch *watch;
	__u8 flags = syscall_flags(ctx[1]);
	struct meter meter;
	__u64 id;

	if (!flags)
		return 0;
	id = bpf_get_current_pid_tgid();
	entry.tgid = id >> 32;
	watch = watch_of(entry.tgid);
	if (!watch || !(watch->kinds & (WATCH_SYSCALL | WATCH_TCP_MESSAGES | WATCH_SEND_LATENCY)))
		return 0;
	meter = begin_metering(entry.tgid);
	note_call(ctx, &entry, watch, flags, (__u32)id);
	end_metering(&meter, WAY_SYSCALL);
	return 0;
}

static __always_inline void fill_syscall(struct scratch *slot, const struct in_syscall *entry, __u32 tid, __u64 now,
					 __s64 result, __u32 binary, const struct binary_layout *layout, __u32 max_stack)
{
	struct wait_record *record = &slot->record;
	const struct user_regs *regs = &slot->regs;
	__u8 flags = syscall_flags(entry->nr);
	struct bound bound;

	bind_thread(&bound, layout, entry->tgid, tid);
	count_binding(entry->tgid, bound.flags, bound.why);
	begin_record(record, WAIT_SYSCALL, entry->tgid, tid, binary);
	record->goid = bound.goid;
	record->park_mono_ns = entry->mono_ns;
	record->park_wall_ns = entry->wall_ns;
	record->began_before = entry->found;
	/* All that it waited for a CPU is told as if it had been at the end. */
	record->ready_mono_ns = now - entry->run_delay_ns;
	record->run_mono_ns = now;
	record->reason = entry->nr;
	record->flags = bound.flags | (entry->was_woken ? WAIT_READY_SEEN : 0);
	record->address = flags & SYSCALL_ADDRESS ? regs->SYSCALL_ARG1 : 0;
	record->result = result;
	record->fd = flags & SYSCALL_FD ? (__s32)regs->SYSCALL_ARG1 : -1;
	describe_file(&record->file, record->fd);
	if (bound.g)
		read_trace(slot, layout, bound.g);
	record->stack_len = walk_thread(record->stack, MAX_STACK, max_stack, layout, bound.g, REGS_PC(regs), regs, &record->flags);
	if (entry->has_kernel_stack)
		append_kernel_stack(record);
}

static __always_inline void emit_syscall(const struct in_syscall *entry, __u32 tid, __u64 now, __u64 regs, __s64 result,
					 __u32 binary, const struct binary_layout *layout, __u32 max_stack)
{
	struct scratch *slot = scratch_claim();

	if (!slot) {
		count(COUNT_SCRATCH_BUSY);
		return;
	}
	if (bpf_probe_read_kernel(&slot->regs, sizeof(slot->regs), (void *)regs)) {
		count(COUNT_EXECUTE_FAULT);
	} else {
		fill_syscall(slot, entry, tid, now, result, binary, layout, max_stack);
		send_record(&slot->record);
	}
	scratch_release(slot);
}

/* The thread may have come out of the call that user space found it in before that was noted: then it comes out of another one now. */
static __always_inline int is_out_of(const struct in_syscall *entry, __u64 regs)
{
	__typeof__(((struct user_regs *)0)->SYSCALL_NR) nr = 0;

	return !entry->found ||
	       (!bpf_probe_read_kernel(&nr, sizeof(nr), (void *)(regs + __builtin_offsetof(struct user_regs, SYSCALL_NR))) &&
		(__u32)nr == entry->nr);
}

static __always_inline void end_call(const __u64 *ctx, __u32 tid, struct in_syscall *found)
{
	struct in_syscall entry;
	struct capture_config *cfg;
	struct binary_layout *layout;
	const struct watch *found_watch;
	struct watch watch;
	__u64 now = bpf_ktime_get_ns();

	entry = *found;
	bpf_map_delete_elem(&in_syscalls, &tid);
	cfg = settings();
	found_watch = watch_of(entry.tgid);
	if (!cfg || !found_watch || !entry.is_wait)
		return;
	watch = *found_watch;
	layout = binary_at(watch.slot);
	if (!layout)
		return;
	if (!is_out_of(&entry, ctx[0]))
		return;
	count(COUNT_THREAD_WAITS);
	if (layout->has_states && watch.kinds & WATCH_STATES)
		add_syscall(layout, entry.tgid, tid, entry.mono_ns, now);
	if (now - entry.mono_ns < watch.threshold_ns)
		count_short(entry.found, &watch, entry.tgid, WAIT_SYSCALL, entry.nr, now - entry.mono_ns);
	else
		emit_syscall(&entry, tid, now, ctx[0], ctx[1], watch.slot, layout, cfg->max_stack);
}

SEC("raw_tp/sys_exit")
int syscall_exit(__u64 *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tid = id;
	struct in_syscall *found = bpf_map_lookup_elem(&in_syscalls, &tid);
	struct meter meter;

	if (!found)
		return 0;
	meter = begin_metering(id >> 32);
	end_call(ctx, tid, found);
	end_metering(&meter, WAY_SYSCALL);
	return 0;
}

#endif
