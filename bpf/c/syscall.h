/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Threads of watched processes in system calls, each bound to its goroutine. */
#ifndef SYNCLINE_SYSCALL_H
#define SYNCLINE_SYSCALL_H

#include "bind.h"
#include "clock.h"
#include "file.h"
#include "labels.h"
#include "maps.h"
#include "regs.h"
#include "send.h"
#include "short_waits.h"
#include "stack.h"

static __always_inline __u8 syscall_flags(__u64 nr)
{
	__u32 zero = 0;
	struct syscall_config *cfg = bpf_map_lookup_elem(&syscall_config, &zero);

	return cfg && nr < SYSCALLS ? cfg->flags[nr & (SYSCALLS - 1)] : 0;
}

/* The contexts are declared as words: aya-obj 0.3 cannot relocate bpf_raw_tracepoint_args.args[n]. */
SEC("raw_tp/sys_enter")
int syscall_enter(__u64 *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tgid = id >> 32, tid = id;
	struct in_syscall entry = { .nr = ctx[1], .tgid = tgid };

	if (!bpf_map_lookup_elem(&watched, &tgid) || !(syscall_flags(ctx[1]) & SYSCALL_TRACED))
		return 0;
	entry.mono_ns = bpf_ktime_get_ns();
	entry.wall_ns = ktime_get_real_ns();
	if (bpf_map_update_elem(&in_syscalls, &tid, &entry, BPF_ANY))
		count(COUNT_SYSCALL_MAP_FULL);
	return 0;
}

/*
 * From the registers at the system call. Go's functions that make them have no frame as a rule: then the word on top of the
 * stack is the return address, and the frame pointer is the caller's. User space knows the function, and decides.
 */
static __always_inline __u32 walk_registers(struct wait_record *record, const struct user_regs *regs, __u32 max_stack)
{
	record->stack[0] = regs->rip;
	if (read_word(&record->stack[1], regs->rsp)) {
		record->flags |= WAIT_STACK_UNREADABLE;
		return 1;
	}
	record->flags |= WAIT_TOP_OF_STACK;
	return walk_frames(record->stack, 2, MAX_STACK, max_stack, regs->rbp, &record->flags);
}

static __always_inline void fill_syscall(struct scratch *slot, const struct in_syscall *entry, __u32 tid, __u64 now,
					 __s64 result, __u32 binary, const struct binary_layout *layout, __u32 max_stack)
{
	struct wait_record *record = &slot->record;
	const struct user_regs *regs = &slot->regs;
	__u8 flags = syscall_flags(entry->nr);
	struct bound bound;

	bind_thread(&bound, layout, entry->tgid, tid);
	begin_record(record, WAIT_SYSCALL, entry->tgid, tid, binary);
	record->goid = bound.goid;
	record->park_mono_ns = entry->mono_ns;
	record->park_wall_ns = entry->wall_ns;
	record->ready_mono_ns = entry->ready_mono_ns;
	record->run_mono_ns = now;
	record->reason = entry->nr;
	record->flags = bound.flags | (entry->ready_mono_ns ? WAIT_READY_SEEN : 0);
	record->address = flags & SYSCALL_ADDRESS ? regs->rdi : 0;
	record->result = result;
	record->fd = flags & SYSCALL_FD ? (__s32)regs->rdi : -1;
	describe_file(&record->file, record->fd);
	if (bound.g)
		read_trace(slot, layout, bound.g);
	if (bound.g && !is_on_stack_of(layout, bound.g, regs->rsp))
		record->stack_len = walk_saved(record->stack, MAX_STACK, max_stack, layout, bound.g, &record->flags);
	else
		record->stack_len = walk_registers(record, regs, max_stack);
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

SEC("raw_tp/sys_exit")
int syscall_exit(__u64 *ctx)
{
	__u64 id = bpf_get_current_pid_tgid(), now;
	__u32 tgid = id >> 32, tid = id, zero = 0;
	struct capture_config *cfg = bpf_map_lookup_elem(&config, &zero);
	__u32 *slot = bpf_map_lookup_elem(&watched, &tgid);
	struct binary_layout *layout;
	struct in_syscall *found, entry;

	if (!cfg || !slot)
		return 0;
	found = bpf_map_lookup_elem(&in_syscalls, &tid);
	if (!found)
		return 0;
	now = bpf_ktime_get_ns();
	entry = *found;
	bpf_map_delete_elem(&in_syscalls, &tid);
	layout = binary_at(*slot);
	if (!layout || entry.tgid != tgid)
		return 0;
	count(COUNT_THREAD_WAITS);
	if (now - entry.mono_ns < cfg->threshold_ns)
		aggregate(tgid, WAIT_SYSCALL, entry.nr, now - entry.mono_ns);
	else
		emit_syscall(&entry, tid, now, ctx[0], ctx[1], *slot, layout, cfg->max_stack);
	return 0;
}

#endif
