/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Send latency: from a call that hands bytes to the kernel to the first segment by which the peer's kernel acknowledges the last
 * of them.
 *
 * The call's stamp is taken on its way into the kernel (syscall.h), so none of its bytes can have left before. Its last byte is
 * known once it is over (`sock_send_length`); the acknowledgement is read from the segment's own header (`tcp_probe`), since the
 * socket's numbers do not have it yet. In between a send waits in one of a few places beside the session. What finds no place,
 * or whose acknowledgement was not seen as it came, is counted and not measured: `tcp_probe` is not passed by a socket that has
 * sent its FIN or been sent the peer's.
 *
 * The two sides run at the same time. The acknowledgement may come before the call is over, and mostly does over loopback; so
 * the side of segments first notes what was acknowledged and then looks through the places, and the side of calls first takes
 * a place and then looks at what was noted. One of them sees the other; who frees the place has the send.
 */
#ifndef SYNCLINE_TCP_SENDS_H
#define SYNCLINE_TCP_SENDS_H

#include "short_waits.h"
#include "tcp_maps.h"

/* Bytes 8 to 15 of a TCP header. */
struct tcp_ack {
	__u32 ack; /* network byte order */
	__u8 data_offset;
	__u8 flags;
	__u16 window;
};

#define TCP_FLAG_SYN_RST (0x02 | 0x04)
#define TCP_FLAG_ACK 0x10
#define TCP_ACK_OFFSET 8

/* Written by one side while the other reads: never kept in a register, never torn. */
#define READ_SHARED(x) (*(const volatile typeof(x) *)&(x))
#define WRITE_SHARED(x, value) (*(volatile typeof(x) *)&(x) = (value))

/* Of sequence numbers, which wrap. */
static __always_inline int is_after(__u32 a, __u32 b)
{
	return (__s32)(a - b) > 0;
}

/* The sends of this session are measured from now on; the kernel's error if there is no room. */
static __always_inline long begin_sends(__u64 socket, __u64 flags)
{
	__u32 zero = 0;
	struct tcp_sends *none = bpf_map_lookup_elem(&tcp_no_sends, &zero);

	return none ? bpf_map_update_elem(&tcp_sends, &socket, none, flags) : -1;
}

static __always_inline void add_send(struct tcp_send_sum *sum, __u64 latency_ns)
{
	__u32 bucket = log2_floor(latency_ns);
	__u64 most;

	if (bucket >= SEND_BUCKETS)
		bucket = SEND_BUCKETS - 1;
	__sync_fetch_and_add(&sum->count, 1);
	__sync_fetch_and_add(&sum->total_ns, latency_ns);
	__sync_fetch_and_add(&sum->histogram[bucket], 1);
	/* Each try that fails is another CPU's that succeeded: a segment's and those of calls beside it. */
	for (int i = 0; i < 8; i++) {
		most = READ_SHARED(sum->max_ns);
		if (latency_ns <= most || __sync_val_compare_and_swap(&sum->max_ns, most, latency_ns) == most)
			break;
	}
}

/* Frees the place, unless the other side has done so. */
static __always_inline int take_send(struct tcp_send *send, __u64 mono_ns)
{
	return __sync_val_compare_and_swap(&send->mono_ns, mono_ns, SEND_FREE) == mono_ns;
}

/* When the acknowledgement came that ends just here, if it was the last one; 0 = not known. */
static __always_inline __u64 acked_at(struct tcp_sends *sends, __u32 end)
{
	__u64 before = READ_SHARED(sends->acked_mono_ns);
	__u32 acked = READ_SHARED(sends->acked);

	return acked == end && READ_SHARED(sends->acked_mono_ns) == before ? before : 0;
}

/* The acknowledgement may have come while the call was not over. */
static __always_inline void settle_send(struct tcp_sends *sends, struct tcp_send *send, struct sock *sk, __u32 end,
					__u64 mono_ns)
{
	__u64 at = acked_at(sends, end);

	if (at > mono_ns) {
		if (take_send(send, mono_ns))
			add_send(&sends->sum, at - mono_ns);
	} else if (!is_after(end, BPF_CORE_READ((struct tcp_sock *)sk, snd_una)) && take_send(send, mono_ns)) {
		__sync_fetch_and_add(&sends->sum.unmeasured, 1);
	}
}

/* A call that began then sent bytes up to `end`: whether its latency will be told, or that it cannot. */
static __always_inline int begin_send(struct sock *sk, __u64 socket, __u32 end, __u64 mono_ns)
{
	struct tcp_sends *sends = bpf_map_lookup_elem(&tcp_sends, &socket);

	if (!sends)
		return 0;
	for (int i = 0; i < SENDS_AT_ONCE; i++) {
		struct tcp_send *send = &sends->sends[i];

		if (READ_SHARED(send->mono_ns) != SEND_FREE ||
		    __sync_val_compare_and_swap(&send->mono_ns, SEND_FREE, SEND_CLAIMED) != SEND_FREE)
			continue;
		WRITE_SHARED(send->end, end);
		/* A full barrier: the place is seen before what was acknowledged is looked at. */
		__sync_lock_test_and_set(&send->mono_ns, mono_ns);
		settle_send(sends, send, sk, end, mono_ns);
		return 1;
	}
	return 0;
}

/* Everything up to `acked` is acknowledged now, and up to `una` was before. */
static __always_inline void settle_sends(struct tcp_sends *sends, __u32 una, __u32 acked, __u64 now)
{
	for (int i = 0; i < SENDS_AT_ONCE; i++) {
		struct tcp_send *send = &sends->sends[i];
		__u64 mono_ns = READ_SHARED(send->mono_ns);
		__u32 end = READ_SHARED(send->end);

		if (mono_ns <= SEND_CLAIMED || is_after(end, acked) || !take_send(send, mono_ns))
			continue;
		if (is_after(end, una))
			add_send(&sends->sum, now - mono_ns);
		else
			__sync_fetch_and_add(&sends->sum.unmeasured, 1);
	}
}

/* The kernel takes no acknowledgement of what it has not sent, nor one that says nothing new; nor do we. */
static __always_inline void segment_came(struct tcp_sends *sends, struct sock *sk, struct sk_buff *skb)
{
	struct tcp_sock *tcp = (void *)sk;
	__u32 una = BPF_CORE_READ(tcp, snd_una), acked;
	struct tcp_ack header;
	__u64 now;

	if (bpf_probe_read_kernel(&header, sizeof(header), BPF_CORE_READ(skb, data) + TCP_ACK_OFFSET))
		return;
	acked = __builtin_bswap32(header.ack);
	if (!is_after(acked, una) || (header.flags & (TCP_FLAG_ACK | TCP_FLAG_SYN_RST)) != TCP_FLAG_ACK ||
	    is_after(acked, BPF_CORE_READ(tcp, snd_nxt)))
		return;
	now = bpf_ktime_get_ns();
	WRITE_SHARED(sends->acked_mono_ns, 0);
	WRITE_SHARED(sends->acked, acked);
	/* A full barrier: it is noted before the places are looked through. */
	__sync_lock_test_and_set(&sends->acked_mono_ns, now);
	settle_sends(sends, una, acked, now);
}

/* The connection has ended: what is not acknowledged now never will be. */
static __always_inline void end_sends(struct tcp_sends *sends, struct sock *sk)
{
	__u32 una = BPF_CORE_READ((struct tcp_sock *)sk, snd_una);

	for (int i = 0; i < SENDS_AT_ONCE; i++) {
		struct tcp_send *send = &sends->sends[i];
		__u64 mono_ns = READ_SHARED(send->mono_ns);

		if (mono_ns == SEND_FREE || !take_send(send, mono_ns))
			continue;
		/* Of one that is just being put there it is not known what it sent. */
		if (mono_ns != SEND_CLAIMED && is_after(READ_SHARED(send->end), una))
			__sync_fetch_and_add(&sends->sum.unacknowledged, 1);
		else
			__sync_fetch_and_add(&sends->sum.unmeasured, 1);
	}
}

#endif
