/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The wall clock inside BPF. */
#ifndef SYNCLINE_CLOCK_H
#define SYNCLINE_CLOCK_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "records.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct clock_config);
} clock_config SEC(".maps");

/*
 * CLOCK_REALTIME. No BPF helper reads it, but it differs from CLOCK_TAI (Linux 6.1) by a number of whole seconds that
 * only adjtimex(2) changes: a step of the wall clock moves both alike. User space keeps that number current.
 */
static __always_inline __u64 ktime_get_real_ns(void)
{
	__u32 zero = 0;
	struct clock_config *clock = bpf_map_lookup_elem(&clock_config, &zero);

	return clock ? bpf_ktime_get_tai_ns() - clock->tai_offset_ns : 0;
}

#endif
