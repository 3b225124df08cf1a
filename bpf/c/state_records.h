/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * What the split of goroutines' time by state and user space exchange; mirrored in ../src/states.rs. All times are nanoseconds of
 * CLOCK_MONOTONIC unless named otherwise.
 */
#ifndef SYNCLINE_STATE_RECORDS_H
#define SYNCLINE_STATE_RECORDS_H

#include "records.h"

#define RECORD_GOROUTINE 50

/* The first ones index goroutine.state_ns. */
enum goroutine_state {
	STATE_RUNNING,  /* it has a processor of Go's */
	STATE_RUNNABLE, /* it could run */
	STATE_SYSCALL,
	STATE_C,
	STATE_BLOCKED, /* for `reason`, a number of the binary's own Go version */
};

enum goroutine_flags {
	GOROUTINE_START_SEEN = 1 << 0,     /* it began at first_mono_ns */
	GOROUTINE_LOST_PROCESSOR = 1 << 1, /* on its way out of a call, and counted as handed off */
};

enum goroutine_fate {
	FATE_FINISHED = 1,
	FATE_REPLACED = 2, /* its end was not seen, but another goroutine has its place */
};

/* Reasons that are told apart of one goroutine; what else it was blocked for is in one sum behind theirs. */
#define BLOCKED_REASONS 6
/* Numbers of reasons end below. */
#define WAIT_REASONS 64

/* A goroutine's time by state, without that since since_mono_ns. */
struct goroutine {
	__u64 goid; /* 0: not known yet */
	__u64 first_mono_ns;
	__u64 first_wall_ns;
	__u64 since_mono_ns; /* in its state */
	__u64 state_ns[STATE_BLOCKED];
	__u64 blocked_ns[BLOCKED_REASONS + 1];
	__u64 blocked_count[BLOCKED_REASONS + 1];
	__u64 runs;     /* how often it began to run */
	__u64 handoffs; /* how often it came back from a call and its processor had been handed off */
	__u32 tid;      /* that runs it, or ran it last */
	__u32 epoch;    /* in which it was first seen */
	__u8 reasons[BLOCKED_REASONS];
	__u8 reasons_used;
	__u8 state;
	__u8 reason;
	__u8 flags;
	__u8 reserved[6];
};

/* A goroutine that has ended. */
struct goroutine_record {
	__u32 kind;
	__u32 tgid;
	__u32 binary;
	__u32 fate;
	__u64 g; /* address of its runtime.g */
	struct goroutine goroutine;
};

/* Goroutines of one process that lived too shortly for a record, per CPU. Reason 0 is that of all those that are not told apart. */
struct short_lives {
	__u64 goroutines;
	__u64 runs;
	__u64 handoffs;
	__u64 state_ns[STATE_BLOCKED];
	__u64 blocked_ns[WAIT_REASONS];
	__u64 blocked_count[WAIT_REASONS];
};

struct state_config {
	__u32 epoch; /* grows with each look of user space at all goroutines */
	__u32 reserved;
};

/* What was lost, and why. */
enum state_counter {
	STATE_COUNT_MAP_FULL,  /* goroutines that are not followed (for now): no room */
	STATE_COUNT_RING_FULL, /* ended goroutines whose time is lost: no room in the ring */
	STATE_COUNT_SUMS_FULL, /* the same of short ones: no room for another process */
	STATE_COUNT_REPLACED,  /* goroutines whose end was not seen; their time is told */
	STATE_COUNT_FAULT,     /* changes of state that are missed: g unreadable */
	STATE_COUNTERS,
};

#define ASSERT_STATE(type, size) _Static_assert(sizeof(type) == (size), "size of " #type)
ASSERT_STATE(struct goroutine, 216);
ASSERT_STATE(struct goroutine_record, 240);
ASSERT_STATE(struct short_lives, 24 + 32 + 1024);
ASSERT_STATE(struct state_config, 8);
_Static_assert(STATE_COUNTERS == 5, "number of state counters");

#endif
