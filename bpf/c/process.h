/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Tells user space at once that a process runs a new program, so that its first waits are not missed, and that one has ended, and when. */
#ifndef SYNCLINE_PROCESS_H
#define SYNCLINE_PROCESS_H

#include "kernel_types.h"
#include "maps.h"

static __always_inline void send_process(__u32 kind, __u32 tgid)
{
	struct process_record record = { .kind = kind, .tgid = tgid, .mono_ns = bpf_ktime_get_ns() };

	if (bpf_ringbuf_output(&events, &record, sizeof(record), BPF_RB_FORCE_WAKEUP))
		count(COUNT_EXEC_RING_FULL);
}

/* The context is declared as words: aya-obj 0.3 cannot relocate bpf_raw_tracepoint_args.args[n]. */
SEC("raw_tp/sched_process_exec")
int process_exec(__u64 *ctx)
{
	send_process(RECORD_EXEC, bpf_get_current_pid_tgid() >> 32);
	return 0;
}

/* The end of a thread, and of its process if no other thread of it is left. A thread id is given to another thread next. */
SEC("raw_tp/sched_process_exit")
int thread_exit(__u64 *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u64 id = bpf_get_current_pid_tgid();
	__u32 tid = (__u32)id, tgid = id >> 32;

	bpf_map_delete_elem(&threads, &tid);
	bpf_map_delete_elem(&in_syscalls, &tid);
	if (!BPF_CORE_READ(task, signal, live.counter) && bpf_map_lookup_elem(&watched, &tgid))
		send_process(RECORD_EXIT, tgid);
	return 0;
}

#endif
