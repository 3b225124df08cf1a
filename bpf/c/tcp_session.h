/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The life of a TCP session: whose it is, when it begins, when it ends. See tcp.h. */
#ifndef SYNCLINE_TCP_SESSION_H
#define SYNCLINE_TCP_SESSION_H

#include "clock.h"
#include "tcp_sends.h"
#include "tcp_socket.h"

static __always_inline void take_seqs(struct tcp_session *session, struct sock *sk)
{
	struct tcp_sock *tcp = (void *)sk;

	session->send_next = BPF_CORE_READ(tcp, write_seq);
	session->recv_next = BPF_CORE_READ(tcp, copied_seq);
	session->flags |= TCP_SEQS_KNOWN;
}

static __always_inline void begin_session(struct tcp_session *session, struct sock *sk, __u64 now)
{
	session->kind = RECORD_TCP_SESSION;
	session->socket = (__u64)sk;
	session->first_mono_ns = now;
	session->stack = -1;
	read_ends(&session->ends, sk);
	update_numbers(session, sk, now);
}

static __always_inline void own(struct tcp_session *session, __u64 pid_tgid, __u32 slot)
{
	session->tgid = pid_tgid >> 32;
	session->tid = (__u32)pid_tgid;
	session->goid = goid_of_call(slot);
}

static __always_inline void keep_session(struct tcp_session *session, __u32 kinds)
{
	if (kinds & WATCH_SEND_LATENCY && !begin_sends(session->socket, BPF_ANY))
		session->flags |= TCP_SENDS_MEASURED;
	if (bpf_map_update_elem(&tcp_sessions, &session->socket, session, BPF_ANY))
		tcp_count(TCP_COUNT_SESSIONS_MAP_FULL);
}

/* connect(), by its caller. */
static __always_inline void session_connects(void *ctx, struct sock *sk)
{
	__u64 id = bpf_get_current_pid_tgid();
	const struct watch *watch = tcp_watch_of(id >> 32);
	struct tcp_session session = {};

	if (!watch)
		return;
	session.flags = TCP_START_SEEN | TCP_ACTIVE;
	session.start_mono_ns = bpf_ktime_get_ns();
	session.start_wall_ns = ktime_get_real_ns();
	begin_session(&session, sk, session.start_mono_ns);
	own(&session, id, watch->slot);
	session.stack = bpf_get_stackid(ctx, &tcp_stacks, BPF_F_USER_STACK);
	keep_session(&session, watch->kinds);
}

/* The end of a handshake: of a connection of ours, or of one that a listener took, whose owner will show. */
static __always_inline void session_established(struct sock *sk, __u64 key, __u32 old_state)
{
	struct tcp_session *found = bpf_map_lookup_elem(&tcp_sessions, &key);
	struct tcp_session embryo = {};
	__u64 now = bpf_ktime_get_ns();

	if (found) {
		found->flags |= TCP_ESTABLISHED;
		found->established_mono_ns = now;
		/* The port and address were chosen after connect() was noticed. */
		read_ends(&found->ends, sk);
		take_seqs(found, sk);
		return;
	}
	/* Opened by a process that was not observed as it did. */
	if (old_state != TCP_STATE_SYN_RECV)
		return;
	embryo.flags = TCP_START_SEEN | TCP_ESTABLISHED;
	embryo.start_mono_ns = now;
	embryo.start_wall_ns = ktime_get_real_ns();
	embryo.established_mono_ns = now;
	begin_session(&embryo, sk, now);
	take_seqs(&embryo, sk);
	if (bpf_map_update_elem(&tcp_embryos, &key, &embryo, BPF_ANY))
		tcp_count(TCP_COUNT_EMBRYOS_MAP_FULL);
}

/* The current process has been seen with a socket that nobody owns yet. */
static __always_inline struct tcp_session *adopt(struct sock *sk, __u64 key)
{
	__u64 id = bpf_get_current_pid_tgid();
	const struct watch *watch = tcp_watch_of(id >> 32);
	struct tcp_session *embryo = bpf_map_lookup_elem(&tcp_embryos, &key);
	struct tcp_session session = {};
	__u8 state = BPF_CORE_READ(sk, __sk_common.skc_state);

	if (!watch) {
		if (embryo)
			bpf_map_delete_elem(&tcp_embryos, &key);
		return 0;
	}
	if (embryo) {
		session = *embryo;
		bpf_map_delete_elem(&tcp_embryos, &key);
	} else if (state == TCP_STATE_CLOSE || state == TCP_STATE_LISTEN) {
		return 0;
	} else {
		session.flags = TCP_ESTABLISHED;
		begin_session(&session, sk, bpf_ktime_get_ns());
	}
	own(&session, id, watch->slot);
	keep_session(&session, watch->kinds);
	return bpf_map_lookup_elem(&tcp_sessions, &key);
}

static __always_inline struct tcp_session *session_of(struct sock *sk, __u64 key)
{
	struct tcp_session *found = bpf_map_lookup_elem(&tcp_sessions, &key);

	return found ? found : adopt(sk, key);
}

static __always_inline void tell_ended(const struct tcp_session *session, struct sock *sk, __u64 key)
{
	struct tcp_sends *sends = bpf_map_lookup_elem(&tcp_sends, &key);
	struct tcp_ended *record = bpf_ringbuf_reserve(&events, sizeof(*record), 0);

	if (sends)
		end_sends(sends, sk);
	if (record) {
		record->session = *session;
		if (sends)
			record->sends = sends->sum;
		else
			__builtin_memset(&record->sends, 0, sizeof(record->sends));
		bpf_ringbuf_submit(record, wakeup_when_filling());
	}
	tcp_count(record ? TCP_COUNT_SESSIONS : TCP_COUNT_SESSIONS_RING_FULL);
	if (sends)
		bpf_map_delete_elem(&tcp_sends, &key);
}

static __always_inline void session_closed(struct sock *sk, __u64 key, __u32 last_state)
{
	struct tcp_session *found = bpf_map_lookup_elem(&tcp_sessions, &key);

	if (!found) {
		if (!bpf_map_delete_elem(&tcp_embryos, &key))
			tcp_count(TCP_COUNT_UNOWNED);
		return;
	}
	update_numbers(found, sk, bpf_ktime_get_ns());
	found->flags |= TCP_CLOSED;
	found->last_state = last_state;
	found->error = BPF_CORE_READ(sk, sk_err);
	tell_ended(found, sk, key);
	bpf_map_delete_elem(&tcp_sessions, &key);
}

#endif
