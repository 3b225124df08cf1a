/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * TCP connections of observed processes, and calls on them whose bytes both ends can name.
 *
 * inet_sock_set_state     begins a session (connect, or a finished handshake) and ends it
 * sock_send_length        after a call that sent: who owns the socket, which bytes it was
 * sock_recv_length        after a call that received: the same
 * tcp_probe               before what a segment acknowledges is taken for sent: when the sends of observed processes arrived
 * sys_enter               (syscall.h) when a thread began a call that may send: its bytes cannot have left before
 *
 * Owner. A change of state may happen in an interrupt, where the current process is anybody. It is the owner's own doing
 * where the socket's lock is held by a process (sk_lock.owned). A connection that a listener took is an embryo, without
 * an owner, until a process is seen with it.
 *
 * Which bytes. After a call that moved n bytes the socket's sequence number says where the bytes ended if no other call
 * was made at the same time. That is certain where they began where the call before ended (send_next, recv_next), since
 * anything else that moved bytes would have moved the number further. Otherwise the call is left out, and counted.
 */
#ifndef SYNCLINE_TCP_H
#define SYNCLINE_TCP_H

#include "tcp_message.h"
#include "tcp_session.h"

/* (const struct sock *sk, const int oldstate, const int newstate) */
SEC("raw_tp/inet_sock_set_state")
int tcp_state(__u64 *ctx)
{
	struct sock *sk = (void *)ctx[0];
	__u64 key = ctx[0];
	__u32 old_state = ctx[1], new_state = ctx[2];

	if (!is_tcp(sk))
		return 0;
	if (new_state == TCP_STATE_SYN_SENT)
		session_connects(ctx, sk);
	else if (new_state == TCP_STATE_ESTABLISHED)
		session_established(sk, key, old_state);
	else if (new_state != TCP_STATE_SYN_RECV && old_state != TCP_STATE_LISTEN && new_state != TCP_STATE_LISTEN) {
		/* Held by a process: that is closing it, and may be the first that we see with it. */
		if (BPF_CORE_READ(sk, sk_lock.owned))
			session_of(sk, key);
		if (new_state == TCP_STATE_CLOSE)
			session_closed(sk, key, old_state);
	}
	return 0;
}

/* A call on a socket whose session is to be followed; 0: none is known yet. */
static __always_inline void called(struct sock *sk, __u64 key, struct tcp_session *session, __s32 bytes, enum tcp_direction direction)
{
	const struct tcp_config *cfg = tcp_settings();

	if (!session && is_tcp(sk))
		session = adopt(sk, key);
	if (!cfg || !session)
		return;
	update_if_old(session, sk);
	if (direction == TCP_SEND)
		sent(cfg, session, sk, bytes);
	else
		received(cfg, session, sk, bytes);
	learn_seqs(session, sk);
}

static __always_inline int after_call(struct sock *sk, __u64 key, __s32 bytes, enum tcp_direction direction)
{
	struct tcp_session *known = bpf_map_lookup_elem(&tcp_sessions, &key);
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct meter meter;

	if (known && is_quiet(known, tgid)) {
		update_if_old(known, sk);
		return 0;
	}
	meter = begin_metering(tgid);
	called(sk, key, known, bytes, direction);
	end_metering(&meter, WAY_SWITCH);
	return 0;
}

/* (struct sock *sk, int ret, int flags), after a call that sends */
SEC("raw_tp/sock_send_length")
int tcp_sent(__u64 *ctx)
{
	__s32 bytes = ctx[1];

	return bytes > 0 ? after_call((void *)ctx[0], ctx[0], bytes, TCP_SEND) : 0;
}

/* (struct sock *sk, int ret, int flags), after a call that receives */
SEC("raw_tp/sock_recv_length")
int tcp_received(__u64 *ctx)
{
	__s32 bytes = ctx[1];

	/* What was only peeked at is received later. */
	return bytes > 0 && !(ctx[2] & MSG_PEEK_FLAG) ? after_call((void *)ctx[0], ctx[0], bytes, TCP_RECEIVE) : 0;
}

/* (struct sock *sk, const struct sk_buff *skb), for each segment that an established socket is given */
SEC("raw_tp/tcp_probe")
int tcp_segment(__u64 *ctx)
{
	struct sock *sk = (void *)ctx[0];
	__u64 key = ctx[0];
	struct tcp_sends *sends = bpf_map_lookup_elem(&tcp_sends, &key);

	if (sends)
		segment_came(sends, sk, (void *)ctx[1]);
	return 0;
}

#endif
