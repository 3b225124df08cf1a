/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The last step of every wait: its record goes into the ring. */
#ifndef SYNCLINE_SEND_H
#define SYNCLINE_SEND_H

#include "maps.h"
#include "scratch.h"

/*
 * User space looks at the ring ten times a second by itself. Waking it for each record would cost the observed program
 * more than the record does; it is woken when a quarter of the ring is full.
 */
static __always_inline __u64 wakeup_when_filling(void)
{
	__u64 size = bpf_ringbuf_query(&events, BPF_RB_RING_SIZE);

	return bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) >= size / 4 ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

static __always_inline void send_record(struct wait_record *record)
{
	__u32 frames = (record->stack_len & MAX_STACK) + (record->further_len & (2 * MAX_WAKER_STACK - 1));
	__u32 bytes;

	if (frames > MAX_STACK + MAX_WAKER_STACK)
		frames = MAX_STACK + MAX_WAKER_STACK;
	bytes = WAIT_HEADER_BYTES + frames * sizeof(__u64);
	if (record->flags & WAIT_STACK_UNREADABLE)
		count(COUNT_STACK_UNREADABLE);
	if (record->flags & WAIT_STACK_TRUNCATED)
		count(COUNT_STACK_TRUNCATED);
	count(bpf_ringbuf_output(&events, record, bytes, wakeup_when_filling()) ? COUNT_RING_FULL : COUNT_EMITTED);
}

#endif
