/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * What the TCP sampler and user space exchange; mirrored in ../src/tcp.rs. All times are nanoseconds unless named
 * otherwise; integers are in the byte order of the host, addresses in that of the network.
 */
#ifndef SYNCLINE_TCP_RECORDS_H
#define SYNCLINE_TCP_RECORDS_H

#include "records.h"

#define RECORD_TCP_SESSION 40
#define RECORD_TCP_MESSAGE 41
#define SEND_BUCKETS 40
/* Most sends of one connection whose acknowledgement is waited for. */
#define SENDS_AT_ONCE 16

enum tcp_session_flags {
	TCP_START_SEEN = 1 << 0,  /* start_* are measurements; else it was there before we could see it */
	TCP_ACTIVE = 1 << 1,      /* opened by connect(); meaningless without START_SEEN */
	TCP_ESTABLISHED = 1 << 2, /* the handshake was finished */
	TCP_CLOSED = 1 << 3,      /* end_mono_ns, last_state and error are those of the end */
	TCP_SEQS_KNOWN = 1 << 4,  /* send_next and recv_next are where the next call begins */
	TCP_SENDS_MEASURED = 1 << 5, /* `tcp_sends` has, or had, a value for it */
};

/* A connection of an observed process: the value of the map of open ones, and the beginning of the record of one that has ended. */
struct tcp_session {
	__u32 kind;
	__u32 tgid; /* its owner; 0 in an embryo, of whose owner nothing is known */
	__u32 tid;  /* thread that opened it, or was seen with it first */
	__u32 flags;
	__u64 goid; /* goroutine of the same; 0 = not known */
	__u64 socket; /* the kernel's address of it: with first_mono_ns the identity of the session in this boot */
	__u64 first_mono_ns; /* first seen */
	__u64 start_mono_ns; /* connect(), or the end of the handshake that accept() will give out */
	__u64 start_wall_ns;
	__u64 established_mono_ns; /* end of the handshake; 0 = not seen */
	__u64 updated_mono_ns;     /* the numbers below are as of then */
	__u64 bytes_sent;          /* payload that the peer has acknowledged */
	__u64 bytes_received;      /* payload, in order */
	__u32 retransmits;         /* segments */
	__u32 srtt_us;
	__u32 min_rtt_us; /* ~0 = never measured */
	__s32 error;      /* errno of the socket at its end */
	__s32 stack;      /* of connect(), key into `tcp_stacks`; negative = none */
	__u32 last_state; /* state that it was in before it was closed */
	__u32 send_next;  /* sequence number at which the next call that sends begins */
	__u32 recv_next;
	struct socket_ends ends;
	__u64 sends_unmeasured; /* calls that sent, and whose latency was not begun to be measured */
};

/* Send latency of one connection: see tcp_sends.h. */
struct tcp_send_sum {
	__u64 count;          /* sends that were measured */
	__u64 total_ns;       /* of these */
	__u64 max_ns;         /* of these */
	__u64 unmeasured;     /* sends whose acknowledgement was not seen as it came */
	__u64 unacknowledged; /* sends that the connection took with it */
	__u64 histogram[SEND_BUCKETS]; /* bucket i: [2^i, 2^(i+1)) ns; the last one also longer ones */
};

/* A send that is not acknowledged yet. */
struct tcp_send {
	__u64 mono_ns; /* when its call began; SEND_FREE and SEND_CLAIMED are no times */
	__u32 end;     /* sequence number after its last byte */
	__u32 reserved;
};

#define SEND_FREE 0
#define SEND_CLAIMED 1

/* Sends of a connection: those that were, and those that are not acknowledged yet, in any order. */
struct tcp_sends {
	struct tcp_send_sum sum;
	__u64 acked_mono_ns; /* when `acked` came; 0 = none came, or it is about to change */
	__u32 acked;         /* the highest acknowledgement that was seen coming */
	__u32 reserved;
	struct tcp_send sends[SENDS_AT_ONCE];
};

/* The record of a session that has ended. */
struct tcp_ended {
	struct tcp_session session;
	struct tcp_send_sum sends;
};

enum tcp_direction {
	TCP_SEND = 1,
	TCP_RECEIVE = 2,
};

/* One call that sent or received bytes with a mark among them: sequence numbers that are a multiple of the spacing. */
struct tcp_message {
	__u32 kind;
	__u32 tgid;
	__u32 tid;
	__u32 direction;
	__u64 goid;
	__u64 mono_ns; /* SEND: before any of the bytes can have left; RECEIVE: after all were copied to the caller */
	__u64 wall_ns;
	__u32 mark;  /* the first */
	__u32 marks; /* how many, each one spacing further (modulo 2^32) */
	struct socket_ends ends;
};

struct tcp_config {
	__u32 mark_shift;       /* spacing of marks: 2^this */
	__u32 messages_per_s;   /* of one process */
};

/* What was seen of TCP and what was lost, and why. */
enum tcp_counter {
	TCP_COUNT_SESSIONS,          /* sessions that ended, in the ring */
	TCP_COUNT_SESSIONS_RING_FULL, /* lost: no room in the ring */
	TCP_COUNT_SESSIONS_MAP_FULL, /* lost: no room for another open session */
	TCP_COUNT_EMBRYOS_MAP_FULL,  /* accepted while there was no room: its start is not known */
	TCP_COUNT_UNOWNED,           /* accepted and ended without an observed process using it: others' connections */
	TCP_COUNT_MESSAGES,          /* in the ring */
	TCP_COUNT_MESSAGES_RING_FULL, /* lost: no room in the ring */
	TCP_COUNT_MESSAGES_RATE,     /* left out: more than messages_per_s */
	TCP_COUNT_MARKS_UNCERTAIN,    /* marks left out: which call moved those bytes is not certain */
	TCP_COUNT_MESSAGES_UNSTAMPED, /* left out: how early it began was not seen */
	TCP_COUNTERS,
};

ASSERT_SIZE(struct tcp_session, 168);
ASSERT_OFFSET(struct tcp_session, tgid, 4);
ASSERT_OFFSET(struct tcp_session, tid, 8);
ASSERT_OFFSET(struct tcp_session, flags, 12);
ASSERT_OFFSET(struct tcp_session, goid, 16);
ASSERT_OFFSET(struct tcp_session, socket, 24);
ASSERT_OFFSET(struct tcp_session, first_mono_ns, 32);
ASSERT_OFFSET(struct tcp_session, start_mono_ns, 40);
ASSERT_OFFSET(struct tcp_session, start_wall_ns, 48);
ASSERT_OFFSET(struct tcp_session, established_mono_ns, 56);
ASSERT_OFFSET(struct tcp_session, updated_mono_ns, 64);
ASSERT_OFFSET(struct tcp_session, bytes_sent, 72);
ASSERT_OFFSET(struct tcp_session, bytes_received, 80);
ASSERT_OFFSET(struct tcp_session, retransmits, 88);
ASSERT_OFFSET(struct tcp_session, srtt_us, 92);
ASSERT_OFFSET(struct tcp_session, min_rtt_us, 96);
ASSERT_OFFSET(struct tcp_session, error, 100);
ASSERT_OFFSET(struct tcp_session, stack, 104);
ASSERT_OFFSET(struct tcp_session, last_state, 108);
ASSERT_OFFSET(struct tcp_session, send_next, 112);
ASSERT_OFFSET(struct tcp_session, recv_next, 116);
ASSERT_OFFSET(struct tcp_session, ends, 120);
ASSERT_OFFSET(struct tcp_session, sends_unmeasured, 160);
ASSERT_SIZE(struct tcp_send_sum, 360);
ASSERT_OFFSET(struct tcp_send_sum, total_ns, 8);
ASSERT_OFFSET(struct tcp_send_sum, max_ns, 16);
ASSERT_OFFSET(struct tcp_send_sum, unmeasured, 24);
ASSERT_OFFSET(struct tcp_send_sum, unacknowledged, 32);
ASSERT_OFFSET(struct tcp_send_sum, histogram, 40);
ASSERT_SIZE(struct tcp_sends, 632);
ASSERT_SIZE(struct tcp_ended, 528);
ASSERT_OFFSET(struct tcp_ended, sends, 168);
ASSERT_SIZE(struct tcp_message, 88);
ASSERT_OFFSET(struct tcp_message, direction, 12);
ASSERT_OFFSET(struct tcp_message, goid, 16);
ASSERT_OFFSET(struct tcp_message, mono_ns, 24);
ASSERT_OFFSET(struct tcp_message, wall_ns, 32);
ASSERT_OFFSET(struct tcp_message, mark, 40);
ASSERT_OFFSET(struct tcp_message, marks, 44);
ASSERT_OFFSET(struct tcp_message, ends, 48);
ASSERT_SIZE(struct tcp_config, 8);
ASSERT_OFFSET(struct tcp_config, messages_per_s, 4);
_Static_assert(TCP_COUNTERS == 10, "number of TCP counters");

#endif
