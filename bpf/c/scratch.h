/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Where a record is built before it goes into the ring (it is larger than the BPF stack, and the ring reserves only
 * sizes known at compile time). A plain per-CPU slot would not do: a uprobe's program can be preempted half-way by
 * another probe on the same CPU. So a slot is claimed by compare-and-swap and always given back.
 */
#ifndef SYNCLINE_SCRATCH_H
#define SYNCLINE_SCRATCH_H

#include "maps.h"
#include "regs.h"

#define SCRATCH_SLOTS 256
#define SCRATCH_TRIES 8

struct scratch {
	__u64 claimed;
	struct wait_record record;
	struct user_regs regs;
	__u8 text[32]; /* what is read to be understood before it goes into the record */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SCRATCH_SLOTS);
	__type(key, __u32);
	__type(value, struct scratch);
} scratch SEC(".maps");

static __always_inline struct scratch *scratch_claim(void)
{
	__u32 first = bpf_get_smp_processor_id() * SCRATCH_TRIES;

	for (__u32 i = 0; i < SCRATCH_TRIES; i++) {
		__u32 key = (first + i) & (SCRATCH_SLOTS - 1);
		struct scratch *slot = bpf_map_lookup_elem(&scratch, &key);

		if (slot && __sync_val_compare_and_swap(&slot->claimed, 0, 1) == 0)
			return slot;
	}
	return 0;
}

/* The parts of a record that all have, and nothing for those that only some have. */
static __always_inline void begin_record(struct wait_record *record, enum wait_kind what, __u32 tgid, __u32 tid, __u32 binary)
{
	__builtin_memset(record, 0, WAIT_HEADER_BYTES);
	record->kind = RECORD_WAIT;
	record->what = what;
	record->tgid = tgid;
	record->tid = tid;
	record->binary = binary;
	record->fd = -1;
}

static __always_inline void scratch_release(struct scratch *slot)
{
	__sync_lock_test_and_set(&slot->claimed, 0);
}

#endif
