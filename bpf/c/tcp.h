/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * TCP connections of observed processes, and calls on them whose bytes both ends can name.
 *
 * inet_sock_set_state     begins a session (connect, or a finished handshake) and ends it
 * sock_send_length        after a call that sent: who owns the socket, which bytes it was
 * sock_recv_length        after a call that received: the same
 * sys_enter               when a thread began a call that may send: its bytes cannot have left before
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

#include "clock.h"
#include "goroutine.h"
#include "maps.h"
#include "tcp_kernel.h"
#include "tcp_records.h"

/* Numbers are taken from the socket no more often than this while it is open. */
#define TCP_UPDATE_NS 500000000ULL

/* Sizes are set by user space before loading. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 16);
	__type(key, __u64);
	__type(value, struct tcp_session);
} tcp_sessions SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 16);
	__type(key, __u64);
	__type(value, struct tcp_session);
} tcp_embryos SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tcp_config);
} tcp_config SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, TCP_COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} tcp_counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 4096);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, MAX_STACK * sizeof(__u64));
} tcp_stacks SEC(".maps");

struct tcp_entry {
	__u64 mono_ns;
	__u64 wall_ns;
	__u32 many; /* the call may send several times */
	__u32 reserved;
};

/* tid -> when it began the call that it is in. Threads end without notice: the least recently used go. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1 << 14);
	__type(key, __u32);
	__type(value, struct tcp_entry);
} tcp_entries SEC(".maps");

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

static __always_inline void tcp_add(enum tcp_counter which, __u64 number)
{
	__u32 key = which;
	__u64 *value = bpf_map_lookup_elem(&tcp_counters, &key);

	if (value)
		__sync_fetch_and_add(value, number);
}

static __always_inline void tcp_count(enum tcp_counter which)
{
	tcp_add(which, 1);
}

static __always_inline const struct tcp_config *tcp_settings(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&tcp_config, &zero);
}

static __always_inline const __u32 *watched_slot(__u32 tgid)
{
	return bpf_map_lookup_elem(&watched, &tgid);
}

/*
 * The goroutine that is in a system call now, by the register that Go keeps it in; checked, since C code called from Go
 * uses that register for other things. 0 = not known.
 */
static __always_inline __u64 goid_of_call(__u32 slot)
{
	struct binary_layout *layout = binary_at(slot);
	struct task_struct *task = (void *)bpf_get_current_task_btf();
	struct user_regs *regs = (void *)bpf_task_pt_regs(task);
	__u64 g = 0, m = 0, curg = 0, goid = 0;

	if (!layout || bpf_probe_read_kernel(&g, sizeof(g), &regs->r14))
		return 0;
	if (read_word(&m, g + layout->g_m) || read_word(&curg, m + layout->m_curg) || curg != g ||
	    read_word(&goid, g + layout->g_goid))
		return 0;
	return goid;
}

static __always_inline void map_ipv4(__u8 *into, __u32 address)
{
	__builtin_memset(into, 0, 10);
	into[10] = 0xff;
	into[11] = 0xff;
	__builtin_memcpy(into + 12, &address, sizeof(address));
}

static __always_inline void read_ends(struct tcp_ends *ends, struct sock *sk)
{
	struct net *net = BPF_CORE_READ(sk, __sk_common.skc_net.net);

	ends->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
	ends->remote_port = __builtin_bswap16(BPF_CORE_READ(sk, __sk_common.skc_dport));
	ends->netns = BPF_CORE_READ(net, ns.inum);
	if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_INET6_FAMILY) {
		BPF_CORE_READ_INTO(&ends->local_address, sk, __sk_common.skc_v6_rcv_saddr);
		BPF_CORE_READ_INTO(&ends->remote_address, sk, __sk_common.skc_v6_daddr);
		return;
	}
	map_ipv4(ends->local_address, BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr));
	map_ipv4(ends->remote_address, BPF_CORE_READ(sk, __sk_common.skc_daddr));
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

static __always_inline void keep_session(const struct tcp_session *session)
{
	if (bpf_map_update_elem(&tcp_sessions, &session->socket, session, BPF_ANY))
		tcp_count(TCP_COUNT_SESSIONS_MAP_FULL);
}

/* connect(), by its caller. */
static __always_inline void session_connects(void *ctx, struct sock *sk)
{
	__u64 id = bpf_get_current_pid_tgid();
	const __u32 *slot = watched_slot(id >> 32);
	struct tcp_session session = {};

	if (!slot)
		return;
	session.flags = TCP_START_SEEN | TCP_ACTIVE;
	session.start_mono_ns = bpf_ktime_get_ns();
	session.start_wall_ns = ktime_get_real_ns();
	begin_session(&session, sk, session.start_mono_ns);
	own(&session, id, *slot);
	session.stack = bpf_get_stackid(ctx, &tcp_stacks, BPF_F_USER_STACK);
	keep_session(&session);
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
	const __u32 *slot = watched_slot(id >> 32);
	struct tcp_session *embryo = bpf_map_lookup_elem(&tcp_embryos, &key);
	struct tcp_session session = {};
	__u8 state = BPF_CORE_READ(sk, __sk_common.skc_state);

	if (!slot) {
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
	own(&session, id, *slot);
	keep_session(&session);
	return bpf_map_lookup_elem(&tcp_sessions, &key);
}

static __always_inline struct tcp_session *session_of(struct sock *sk, __u64 key)
{
	struct tcp_session *found = bpf_map_lookup_elem(&tcp_sessions, &key);

	return found ? found : adopt(sk, key);
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
	tcp_count(bpf_ringbuf_output(&events, found, sizeof(*found), wakeup_when_filling()) ?
			  TCP_COUNT_SESSIONS_RING_FULL : TCP_COUNT_SESSIONS);
	bpf_map_delete_elem(&tcp_sessions, &key);
}

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
					 const struct tcp_session *session)
{
	__u64 id = bpf_get_current_pid_tgid();
	const __u32 *slot = watched_slot(id >> 32);

	if (!slot)
		return;
	if (!within_rate(cfg, id >> 32, bpf_ktime_get_ns())) {
		tcp_count(TCP_COUNT_MESSAGES_RATE);
		return;
	}
	message->kind = RECORD_TCP_MESSAGE;
	message->tgid = id >> 32;
	message->tid = (__u32)id;
	message->goid = goid_of_call(*slot);
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
				      __u32 bytes)
{
	__u32 before = *next, first;
	int is_known = session->flags & TCP_SEQS_KNOWN;

	*next = end;
	if (is_known && before == end - bytes)
		return 1;
	/* Of one that was there before it is not known up to here, and is from here on. */
	if (is_known && (__s32)(end - before) > 0)
		tcp_add(TCP_COUNT_MARKS_UNCERTAIN, marks_among(before, end - before, cfg->mark_shift, &first));
	return 0;
}

static __always_inline void update_if_old(struct tcp_session *session, struct sock *sk)
{
	__u64 now = bpf_ktime_get_ns();

	if (now - session->updated_mono_ns > TCP_UPDATE_NS)
		update_numbers(session, sk, now);
}

static __always_inline void sent(const struct tcp_config *cfg, struct tcp_session *session, struct sock *sk, __u32 bytes)
{
	__u32 tid = bpf_get_current_pid_tgid(), end = BPF_CORE_READ((struct tcp_sock *)sk, write_seq);
	struct tcp_message message = { .direction = TCP_SEND };
	struct tcp_entry *entry;

	message.marks = marks_among(end - bytes, bytes, cfg->mark_shift, &message.mark);
	if (!is_certain(cfg, session, &session->send_next, end, bytes) || !message.marks)
		return;
	entry = bpf_map_lookup_elem(&tcp_entries, &tid);
	if (!entry || !entry->mono_ns) {
		tcp_count(TCP_COUNT_MESSAGES_UNSTAMPED);
		return;
	}
	message.mono_ns = entry->mono_ns;
	message.wall_ns = entry->wall_ns;
	if (!entry->many)
		entry->mono_ns = 0;
	send_message(cfg, &message, session);
}

static __always_inline void received(const struct tcp_config *cfg, struct tcp_session *session, struct sock *sk,
				     __u32 bytes)
{
	__u32 end = BPF_CORE_READ((struct tcp_sock *)sk, copied_seq);
	struct tcp_message message = { .direction = TCP_RECEIVE };

	message.marks = marks_among(end - bytes, bytes, cfg->mark_shift, &message.mark);
	if (!is_certain(cfg, session, &session->recv_next, end, bytes) || !message.marks)
		return;
	message.mono_ns = bpf_ktime_get_ns();
	message.wall_ns = ktime_get_real_ns();
	send_message(cfg, &message, session);
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

/* (struct sock *sk, int ret, int flags), after a call that sends */
SEC("raw_tp/sock_send_length")
int tcp_sent(__u64 *ctx)
{
	struct sock *sk = (void *)ctx[0];
	__u64 key = ctx[0];
	__s32 bytes = ctx[1];
	const struct tcp_config *cfg = tcp_settings();
	struct tcp_session *session;

	if (!cfg || bytes <= 0 || !is_tcp(sk))
		return 0;
	session = session_of(sk, key);
	if (!session)
		return 0;
	update_if_old(session, sk);
	if (cfg->capture_messages)
		sent(cfg, session, sk, bytes);
	learn_seqs(session, sk);
	return 0;
}

/* (struct sock *sk, int ret, int flags), after a call that receives */
SEC("raw_tp/sock_recv_length")
int tcp_received(__u64 *ctx)
{
	struct sock *sk = (void *)ctx[0];
	__u64 key = ctx[0];
	__s32 bytes = ctx[1];
	const struct tcp_config *cfg = tcp_settings();
	struct tcp_session *session;

	/* What was only peeked at is received later. */
	if (!cfg || bytes <= 0 || ctx[2] & MSG_PEEK_FLAG || !is_tcp(sk))
		return 0;
	session = session_of(sk, key);
	if (!session)
		return 0;
	update_if_old(session, sk);
	if (cfg->capture_messages)
		received(cfg, session, sk, bytes);
	learn_seqs(session, sk);
	return 0;
}

/* System calls of amd64 that send on a socket: 1 = once, 2 = perhaps several times, 0 = none of them. */
static __always_inline __u32 sends(__u64 number)
{
	switch (number) {
	case 1:  /* write */
	case 20: /* writev */
	case 44: /* sendto */
	case 46: /* sendmsg */
	case 328: /* pwritev2 */
		return 1;
	case 40:  /* sendfile */
	case 275: /* splice */
	case 307: /* sendmmsg */
		return 2;
	}
	return 0;
}

/*
 * (struct pt_regs *regs, long id). To be merged with the capture of system calls, which stands at the same tracepoint:
 * a duration of calls that send needs its counterpart at sys_exit too.
 */
SEC("raw_tp/sys_enter")
int tcp_sys_enter(__u64 *ctx)
{
	__u32 how = sends(ctx[1]);
	__u64 id;
	struct tcp_entry entry = {};
	__u32 tid;

	if (!how)
		return 0;
	id = bpf_get_current_pid_tgid();
	if (!watched_slot(id >> 32))
		return 0;
	tid = (__u32)id;
	entry.mono_ns = bpf_ktime_get_ns();
	entry.wall_ns = ktime_get_real_ns();
	entry.many = how == 2;
	bpf_map_update_elem(&tcp_entries, &tid, &entry, BPF_ANY);
	return 0;
}

#endif
