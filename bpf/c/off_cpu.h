/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Threads of watched processes that the kernel takes off their CPU. One that sleeps in a system call that is captured waits for
 * that, and is left to it but for the time from its wake-up to its running. What else there is: another thread takes the CPU
 * (in a system call, too), a page has to be read, a lock of the kernel's is held by another thread.
 */
#ifndef SYNCLINE_OFF_CPU_H
#define SYNCLINE_OFF_CPU_H

#include "bind.h"
#include "clock.h"
#include "cost.h"
#include "kernel_stack.h"
#include "maps.h"
#include "regs.h"
#include "send.h"
#include "short_waits.h"
#include "stack.h"
#include "syscall.h"

/* Frames taken as a thread goes off its CPU: before it is known for how long. */
#define OFF_CPU_STACK 63

struct off_cpu {
	__u64 mono_ns;
	__u64 wall_ns;
	__u64 ready_mono_ns; /* 0: still asleep, or not seen waking up */
	__u64 goid;
	__u32 tgid;
	__u8 reason;
	__u8 unbound; /* enum unbound */
	__u8 flags;
	__u8 stack_len;
	__u64 stack[OFF_CPU_STACK + 1];
};
ASSERT_SIZE(struct off_cpu, 552);

/* By thread id: those that are off their CPUs now. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1 << 13);
	__type(key, __u32);
	__type(value, struct off_cpu);
} off_cpus SEC(".maps");

/* State bits of include/linux/sched.h, the same since Linux 4.14. */
#define TASK_STATE_INTERRUPTIBLE 0x1
#define TASK_STATE_UNINTERRUPTIBLE 0x2
#define TASK_STATE_STOPPED (0x4 | 0x8)

static __always_inline __u16 off_cpu_reason(int is_preempted, unsigned int state)
{
	if (is_preempted || !state)
		return OFF_CPU_PREEMPTED;
	if (state & TASK_STATE_STOPPED)
		return OFF_CPU_STOPPED;
	return state & TASK_STATE_UNINTERRUPTIBLE ? OFF_CPU_UNINTERRUPTIBLE :
	       state & TASK_STATE_INTERRUPTIBLE ? OFF_CPU_INTERRUPTIBLE : 0;
}

/* An interrupted thread goes on at its program counter itself: a return address is one behind. */
static __always_inline __u32 off_cpu_stack(struct off_cpu *off, const struct binary_layout *layout, __u64 g)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct user_regs regs;

	if (bpf_probe_read_kernel(&regs, sizeof(regs), (void *)bpf_task_pt_regs((void *)task)))
		return 0;
	return walk_thread(off->stack, OFF_CPU_STACK, OFF_CPU_STACK, layout, g, REGS_PC(&regs) + 1, &regs, &off->flags);
}

/* The current thread, of a watched process, leaves its CPU. */
static __always_inline void go_off_cpu(void *ctx, __u32 tgid, __u32 tid, __u16 reason, const struct watch *watch,
				       const struct binary_layout *layout)
{
	static const struct off_cpu none;
	struct off_cpu *off;
	struct bound bound;

	if (watch->until_ns && is_outside(watch, bpf_ktime_get_ns()))
		return;
	if (bpf_map_update_elem(&off_cpus, &tid, &none, BPF_ANY) || !(off = bpf_map_lookup_elem(&off_cpus, &tid))) {
		count(COUNT_THREAD_MAP_FULL);
		return;
	}
	off->mono_ns = bpf_ktime_get_ns();
	off->wall_ns = ktime_get_real_ns();
	off->ready_mono_ns = reason == OFF_CPU_PREEMPTED ? off->mono_ns : 0;
	off->tgid = tgid;
	off->reason = reason;
	bind_thread(&bound, layout, tgid, tid);
	off->goid = bound.goid;
	off->flags = bound.flags;
	off->unbound = bound.why;
	off->stack_len = off_cpu_stack(off, layout, bound.g);
	if (watch->kinds & WATCH_KERNEL_STACKS)
		take_kernel_stack(ctx, tid, WAIT_OFF_CPU, off->mono_ns);
}

static __always_inline void emit_off_cpu(const struct off_cpu *off, __u32 tid, __u64 now, const struct watch *watch)
{
	struct scratch *slot = scratch_claim();
	struct wait_record *record;

	if (!slot) {
		count(COUNT_SCRATCH_BUSY);
		return;
	}
	record = &slot->record;
	count_binding(off->tgid, off->flags, off->unbound);
	begin_record(record, WAIT_OFF_CPU, off->tgid, tid, watch->slot);
	record->goid = off->goid;
	record->park_mono_ns = off->mono_ns;
	record->park_wall_ns = off->wall_ns;
	record->ready_mono_ns = off->ready_mono_ns;
	record->run_mono_ns = now;
	record->reason = off->reason;
	record->flags = off->flags | (off->ready_mono_ns ? WAIT_READY_SEEN : 0);
	record->stack_len = off->stack_len & OFF_CPU_STACK;
	bpf_probe_read_kernel(record->stack, sizeof(off->stack), off->stack);
	if (watch->kinds & WATCH_KERNEL_STACKS)
		append_kernel_stack(record);
	send_record(record);
	scratch_release(slot);
}

/* A thread that was woken in its system call gets a CPU. */
static __always_inline void run_on_in_call(__u32 tid)
{
	struct in_syscall *call = bpf_map_lookup_elem(&in_syscalls, &tid);

	if (!call || !call->woken_mono_ns)
		return;
	call->run_delay_ns += bpf_ktime_get_ns() - call->woken_mono_ns;
	call->woken_mono_ns = 0;
}

static __always_inline void come_on_cpu(__u32 tid)
{
	struct off_cpu *off = bpf_map_lookup_elem(&off_cpus, &tid);
	const struct watch *found;
	struct watch watch;
	__u64 now;

	if (!off)
		return;
	now = bpf_ktime_get_ns();
	found = watch_of(off->tgid);
	if (found) {
		watch = *found;
		count(COUNT_THREAD_WAITS);
		if (now - off->mono_ns < watch.threshold_ns)
			aggregate(off->tgid, WAIT_OFF_CPU, off->reason, now - off->mono_ns);
		else
			emit_off_cpu(off, tid, now, &watch);
	}
	bpf_map_delete_elem(&off_cpus, &tid);
}

/* The system call that it sleeps in, if that is captured, and so tells that itself. */
static __always_inline struct in_syscall *told_by_its_call(__u32 tid)
{
	struct in_syscall *call = bpf_map_lookup_elem(&in_syscalls, &tid);

	return call && call->is_wait ? call : 0;
}

/* sched_switch(preempt, prev, next), as prev */
SEC("raw_tp/sched_switch")
int thread_switch(__u64 *ctx)
{
	struct task_struct *prev = (void *)ctx[1], *next = (void *)ctx[2];
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tgid = id >> 32, tid = id, next_tid = BPF_CORE_READ(next, pid);
	struct binary_layout *layout;
	const struct watch *watch;
	struct in_syscall *call;
	struct meter meter;
	__u16 reason;

	run_on_in_call(next_tid);
	come_on_cpu(next_tid);
	watch = watch_of(tgid);
	if (!watch || !(watch->kinds & (WATCH_OFF_CPU | WATCH_KERNEL_STACKS)) || !(layout = binary_at(watch->slot)))
		return 0;
	/* The end of its process may have been told already. */
	if (BPF_CORE_READ(prev, flags) & PF_EXITING)
		return 0;
	reason = off_cpu_reason(ctx[0], BPF_CORE_READ(prev, __state));
	if (!reason)
		return 0;
	call = reason == OFF_CPU_PREEMPTED ? 0 : told_by_its_call(tid);
	meter = begin_metering(tgid);
	if (!call && watch->kinds & WATCH_OFF_CPU) {
		go_off_cpu(ctx, tgid, tid, reason, watch, layout);
	} else if (call && watch->kinds & WATCH_KERNEL_STACKS) {
		take_kernel_stack(ctx, tid, WAIT_SYSCALL, call->mono_ns);
		call->has_kernel_stack = 1;
	}
	end_metering(&meter, WAY_SWITCH);
	return 0;
}

/* sched_wakeup(task) */
SEC("raw_tp/sched_wakeup")
int thread_wakeup(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	__u32 tid = BPF_CORE_READ(task, pid);
	struct in_syscall *call = bpf_map_lookup_elem(&in_syscalls, &tid);
	struct off_cpu *off;

	if (call) {
		call->woken_mono_ns = bpf_ktime_get_ns();
		call->was_woken = 1;
	}
	off = bpf_map_lookup_elem(&off_cpus, &tid);
	if (off && !off->ready_mono_ns)
		off->ready_mono_ns = bpf_ktime_get_ns();
	return 0;
}

#endif
