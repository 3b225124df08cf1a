/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What is read of a socket, and of the goroutine that uses it. */
#ifndef SYNCLINE_TCP_SOCKET_H
#define SYNCLINE_TCP_SOCKET_H

#include "bind.h"
#include "socket.h"
#include "tcp_maps.h"

/* The goroutine that is in a system call now; 0 = none, or not known. */
static __always_inline __u64 goid_of_call(__u32 slot)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct binary_layout *layout = binary_at(slot);
	struct bound bound;

	if (!layout)
		return 0;
	bind_thread(&bound, layout, id >> 32, (__u32)id);
	return bound.goid;
}

static __always_inline int is_tcp(struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_protocol) == IPPROTO_TCP_NUMBER;
}

/* Whether the peer has acknowledged our FIN: then the kernel has counted it as a byte. */
static __always_inline __u64 fin_acked(struct sock *sk)
{
	struct tcp_sock *tcp = (void *)sk;
	__u8 state = BPF_CORE_READ(sk, __sk_common.skc_state);
	int is_sent = state == TCP_STATE_FIN_WAIT1 || state == TCP_STATE_FIN_WAIT2 || state == TCP_STATE_CLOSING ||
		      state == TCP_STATE_LAST_ACK;

	return is_sent && BPF_CORE_READ(tcp, snd_una) == BPF_CORE_READ(tcp, write_seq);
}

/*
 * Payload that the peer has acknowledged. The kernel counts our FIN, and our SYN where we connected; whether we did is not
 * known of a session that was there before. What was put on the way, each byte once, is no less and has neither of them,
 * but counts a segment twice that the device did not take at first. The smaller one is right unless both happened.
 */
static __always_inline __u64 payload_acked(const struct tcp_session *session, struct sock *sk)
{
	struct tcp_sock *tcp = (void *)sk;
	__u64 acked = BPF_CORE_READ(tcp, bytes_acked), sent = BPF_CORE_READ(tcp, bytes_sent) - BPF_CORE_READ(tcp, bytes_retrans);
	__u64 others = fin_acked(sk) + !!(session->flags & TCP_ACTIVE);

	acked = acked >= others ? acked - others : 0;
	return acked < sent ? acked : sent;
}

static __always_inline void update_numbers(struct tcp_session *session, struct sock *sk, __u64 now)
{
	struct tcp_sock *tcp = (void *)sk;
	__u64 fin = BPF_CORE_READ(sk, __sk_common.skc_flags) >> SOCK_DONE_BIT & 1;
	__u64 received = BPF_CORE_READ(tcp, bytes_received);

	session->updated_mono_ns = now;
	session->bytes_sent = payload_acked(session, sk);
	/* The kernel counts the peer's FIN as a byte. */
	session->bytes_received = received >= fin ? received - fin : 0;
	session->retransmits = BPF_CORE_READ(tcp, total_retrans);
	session->srtt_us = BPF_CORE_READ(tcp, srtt_us) >> 3;
	session->min_rtt_us = BPF_CORE_READ(tcp, rtt_min.s[0].v);
}

#endif
