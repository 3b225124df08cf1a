/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Calls whose bytes both ends of a connection can name. See tcp.h. */
#ifndef SYNCLINE_TCP_MESSAGE_H
#define SYNCLINE_TCP_MESSAGE_H

#include "clock.h"
#include "syscall.h"
#include "tcp_session.h"

/* Numbers are taken from the socket no more often than this while it is open. */
#define TCP_UPDATE_NS 500000000ULL

struct tcp_rate {
	__u64 second;
	__u64 messages;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct tcp_rate);
} tcp_rates SEC(".maps");

/* Whether the process may tell of one more message in this second. */
static __always_inline int within_rate(const struct tcp_config *cfg, __u32 tgid, __u64 now)
{
	struct tcp_rate *rate = bpf_map_lookup_elem(&tcp_rates, &tgid);
	struct tcp_rate fresh = { .second = now / 1000000000, .messages = 1 };

	if (!rate) {
		bpf_map_update_elem(&tcp_rates, &tgid, &fresh, BPF_ANY);
		return 1;
	}
	if (rate->second != fresh.second) {
		rate->second = fresh.second;
		rate->messages = 0;
	}
	return __sync_fetch_and_add(&rate->messages, 1) < cfg->messages_per_s;
}

static __always_inline void send_message(const struct tcp_config *cfg, struct tcp_message *message,
					 const struct tcp_session *session, __u32 slot)
{
	__u64 id = bpf_get_current_pid_tgid();

	if (!within_rate(cfg, id >> 32, bpf_ktime_get_ns())) {
		tcp_count(TCP_COUNT_MESSAGES_RATE);
		return;
	}
	message->kind = RECORD_TCP_MESSAGE;
	message->tgid = id >> 32;
	message->tid = (__u32)id;
	message->goid = goid_of_call(slot);
	message->ends = session->ends;
	tcp_count(bpf_ringbuf_output(&events, message, sizeof(*message), wakeup_when_filling()) ?
			  TCP_COUNT_MESSAGES_RING_FULL : TCP_COUNT_MESSAGES);
}

/* Marks among `bytes` sequence numbers from `start` on: the first, and how many. */
static __always_inline __u32 marks_among(__u32 start, __u32 bytes, __u32 shift, __u32 *first)
{
	__u32 spacing = 1U << (shift & 31);
	__u32 skipped = -start & (spacing - 1);

	*first = start + skipped;
	return skipped < bytes ? 1 + ((bytes - 1 - skipped) >> (shift & 31)) : 0;
}

/*
 * Whether the `bytes` before `end` are those of this call and no other's; `*next` is where the call before ended. If they
 * are not, the marks up to here are counted: those of this call, of others beside it, and of calls that were not seen (the
 * kernel leaves a program out that is in the way of itself, on one CPU).
 */
static __always_inline int is_certain(const struct tcp_config *cfg, struct tcp_session *session, __u32 *next, __u32 end,
				      __u32 bytes, int tells_messages)
{
	/* Exchanged: of two calls beside one another that seem to have moved the same bytes, one has them. */
	__u32 before = __sync_lock_test_and_set(next, end), first;
	int is_known = session->flags & TCP_SEQS_KNOWN;

	if (is_known && bytes && before == end - bytes)
		return 1;
	/* Of one that was there before it is not known up to here, and is from here on. */
	if (tells_messages && is_known && (__s32)(end - before) > 0)
		tcp_add(TCP_COUNT_MARKS_UNCERTAIN, marks_among(before, end - before, cfg->mark_shift, &first));
	return 0;
}

static __always_inline void update_if_old(struct tcp_session *session, struct sock *sk)
{
	__u64 now = bpf_ktime_get_ns();

	if (now - session->updated_mono_ns > TCP_UPDATE_NS)
		update_numbers(session, sk, now);
}

/*
 * Of another call, one that was not seen, the stamp would be another's; and of one that user space found going on, bytes may have left
 * before that.
 */
static __always_inline int may_send(const struct in_syscall *call)
{
	__u8 flags = call->found ? 0 : syscall_flags(call->nr);

	return flags & SYSCALL_SENDS_OFTEN || (flags & SYSCALL_SENDS && !call->has_sent);
}

/* The call that is sending now, if it is known when it began. It can be so once, unless it sends in pieces. */
static __always_inline struct in_syscall *sending_call(void)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct in_syscall *call = bpf_map_lookup_elem(&in_syscalls, &tid);

	if (!call || !may_send(call))
		return 0;
	call->has_sent = 1;
	return call;
}

/* What its owner's is measured, also after the owner's end; from when on that is so if that began meanwhile. */
static __always_inline int measures_sends(struct tcp_session *session)
{
	__u32 tgid = session->tgid;
	const struct watch *listed = bpf_map_lookup_elem(&watched, &tgid);
	long error;

	if (!listed)
		return session->flags & TCP_SENDS_MEASURED;
	if (listed->slot == LEFT_OUT || !(listed->kinds & WATCH_SEND_LATENCY))
		return 0;
	if (session->flags & TCP_SENDS_MEASURED)
		return 1;
	error = begin_sends(session->socket, BPF_NOEXIST);
	if (!error || error == -17 /* -EEXIST: a call beside this one was first */)
		__sync_fetch_and_or(&session->flags, TCP_SENDS_MEASURED);
	return 1;
}

/* A call that sends in pieces (sendfile, splice, sendmmsg) is not over with this one: its latency is not told. */
static __always_inline void measure(struct tcp_session *session, struct sock *sk, __u32 end, const struct in_syscall *call)
{
	int is_whole = call && !(syscall_flags(call->nr) & SYSCALL_SENDS_OFTEN);

	if (measures_sends(session) && !(is_whole && begin_send(sk, session->socket, end, call->mono_ns)))
		__sync_fetch_and_add(&session->sends_unmeasured, 1);
}

/* What holds for the process that called, if its messages are told. */
static __always_inline const struct watch *message_watch(void)
{
	const struct watch *watch = tcp_watch_of(bpf_get_current_pid_tgid() >> 32);

	return watch && watch->kinds & WATCH_TCP_MESSAGES ? watch : 0;
}

static __always_inline void sent(const struct tcp_config *cfg, struct tcp_session *session, struct sock *sk, __u32 bytes)
{
	__u32 end = BPF_CORE_READ((struct tcp_sock *)sk, write_seq);
	struct tcp_message message = { .direction = TCP_SEND };
	const struct watch *watch = message_watch();
	struct in_syscall *call;

	/* Another call is on the socket, or was meanwhile: `end` may be in the middle of what it sends. */
	if (BPF_CORE_READ(sk, sk_lock.owned) || BPF_CORE_READ((struct tcp_sock *)sk, write_seq) != end)
		bytes = 0;
	message.marks = marks_among(end - bytes, bytes, cfg->mark_shift, &message.mark);
	if (!is_certain(cfg, session, &session->send_next, end, bytes, watch != 0)) {
		measure(session, sk, end, 0);
		return;
	}
	call = sending_call();
	measure(session, sk, end, call);
	if (!watch || !message.marks)
		return;
	if (!call) {
		tcp_count(TCP_COUNT_MESSAGES_UNSTAMPED);
		return;
	}
	message.mono_ns = call->mono_ns;
	message.wall_ns = call->wall_ns;
	send_message(cfg, &message, session, watch->slot);
}

static __always_inline void received(const struct tcp_config *cfg, struct tcp_session *session, struct sock *sk,
				     __u32 bytes)
{
	__u32 end = BPF_CORE_READ((struct tcp_sock *)sk, copied_seq);
	struct tcp_message message = { .direction = TCP_RECEIVE };
	const struct watch *watch = message_watch();

	message.marks = marks_among(end - bytes, bytes, cfg->mark_shift, &message.mark);
	if (!is_certain(cfg, session, &session->recv_next, end, bytes, watch != 0) || !watch || !message.marks)
		return;
	message.mono_ns = bpf_ktime_get_ns();
	message.wall_ns = ktime_get_real_ns();
	send_message(cfg, &message, session, watch->slot);
}

/*
 * Of a session whose owner calls, and who wants to know nothing of single calls: what such a call costs is mostly that. Where its bytes are is not
 * followed then, and is learned anew when somebody asks.
 */
static __always_inline int is_quiet(struct tcp_session *session, __u32 tgid)
{
	const struct watch *watch = session->tgid == tgid ? watch_of(tgid) : 0;

	if (!watch || watch->kinds & (WATCH_TCP_MESSAGES | WATCH_SEND_LATENCY))
		return 0;
	if (session->flags & TCP_SEQS_KNOWN)
		__sync_fetch_and_and(&session->flags, ~TCP_SEQS_KNOWN);
	return 1;
}

/*
 * A session that was there before: the call that is just over is not certain, those after it are. Both directions are
 * taken at once; if the other one is in the middle of a call, that call will not fit, and the one after it will.
 */
static __always_inline void learn_seqs(struct tcp_session *session, struct sock *sk)
{
	if (!(session->flags & TCP_SEQS_KNOWN))
		take_seqs(session, sk);
}

#endif
