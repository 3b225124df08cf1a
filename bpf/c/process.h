/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Tells user space at once that a process runs a new program, so that its first waits are not missed. */
#ifndef SYNCLINE_PROCESS_H
#define SYNCLINE_PROCESS_H

#include "maps.h"

/* The context is declared as words: aya-obj 0.3 cannot relocate bpf_raw_tracepoint_args.args[n]. */
SEC("raw_tp/sched_process_exec")
int process_exec(__u64 *ctx)
{
	struct exec_record record = {
		.kind = RECORD_EXEC,
		.tgid = bpf_get_current_pid_tgid() >> 32,
		.mono_ns = bpf_ktime_get_ns(),
	};

	if (bpf_ringbuf_output(&events, &record, sizeof(record), BPF_RB_FORCE_WAKEUP))
		count(COUNT_EXEC_RING_FULL);
	return 0;
}

#endif
