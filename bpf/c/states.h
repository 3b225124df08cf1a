/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * How long each goroutine was in which state. Each change of state closes the time since the last one, so the times of a goroutine
 * sum up to its age, whatever was missed. A goroutine's time is told by itself when it ends, unless it lived for less than the
 * threshold, and for less than an epoch (user space looks at all that live, and begins an epoch each time): then by its process's sum.
 */
#ifndef SYNCLINE_STATES_H
#define SYNCLINE_STATES_H

#include "bind.h"
#include "clock.h"
#include "cost.h"
#include "maps.h"
#include "regs.h"
#include "send.h"
#include "state_records.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct state_config);
} state_config SEC(".maps");

/* All that live and were seen. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 20);
	__type(key, struct park_key);
	__type(value, struct goroutine);
} goroutines SEC(".maps");

/* By process: of goroutines that lived too shortly for a record. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct short_lives);
} short_lives SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, STATE_COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} state_counters SEC(".maps");

static __always_inline void count_state(enum state_counter which)
{
	__u32 key = which;
	__u64 *value = bpf_map_lookup_elem(&state_counters, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
}

static __always_inline __u32 state_epoch(void)
{
	__u32 zero = 0;
	struct state_config *cfg = bpf_map_lookup_elem(&state_config, &zero);

	return cfg ? cfg->epoch : 0;
}

static __always_inline struct goroutine *goroutine_at(const struct park_key *key)
{
	return bpf_map_lookup_elem(&goroutines, key);
}

/* The place of a reason among those of this goroutine; the last place is that of all that find none. */
static __always_inline __u32 blocked_place(struct goroutine *of)
{
	for (__u32 i = 0; i < BLOCKED_REASONS; i++) {
		if (i == of->reasons_used) {
			of->reasons_used = i + 1;
			of->reasons[i] = of->reason;
			return i;
		}
		if (of->reasons[i] == of->reason)
			return i;
	}
	return BLOCKED_REASONS;
}

static __always_inline void close_state(struct goroutine *of, __u64 now)
{
	__u64 ns = now > of->since_mono_ns ? now - of->since_mono_ns : 0;
	__u32 place;

	if (of->state == STATE_BLOCKED) {
		place = blocked_place(of);
		if (place <= BLOCKED_REASONS) {
			of->blocked_ns[place] += ns;
			of->blocked_count[place]++;
		}
	} else if (of->state < STATE_BLOCKED) {
		of->state_ns[of->state] += ns;
	}
	of->since_mono_ns += ns;
}

static __always_inline void change_state(struct goroutine *of, __u64 now, enum goroutine_state state, __u8 reason)
{
	close_state(of, now);
	of->state = state;
	of->reason = reason;
	of->flags &= ~GOROUTINE_LOST_PROCESSOR;
}

static __always_inline void begin_goroutine(const struct park_key *key, __u64 goid, __u64 now, enum goroutine_state state,
					    __u8 reason, __u8 flags)
{
	struct goroutine fresh = {
		.goid = goid, .first_mono_ns = now, .first_wall_ns = ktime_get_real_ns(), .since_mono_ns = now,
		.tid = (__u32)bpf_get_current_pid_tgid(), .epoch = state_epoch(), .runs = state == STATE_RUNNING,
		.state = state, .reason = reason, .flags = flags,
	};

	if (bpf_map_update_elem(&goroutines, key, &fresh, BPF_ANY))
		count_state(STATE_COUNT_MAP_FULL);
}

/* It is taken out of the map before its record can be read: no look reads it after that. */
static __always_inline void send_goroutine(const struct park_key *key, const struct goroutine *of, __u32 binary, __u32 fate)
{
	struct goroutine_record record = { .kind = RECORD_GOROUTINE, .tgid = key->tgid, .binary = binary, .fate = fate, .g = key->g };

	bpf_probe_read_kernel(&record.goroutine, sizeof(record.goroutine), of);
	bpf_map_delete_elem(&goroutines, key);
	if (bpf_ringbuf_output(&events, &record, sizeof(record), wakeup_when_filling()))
		count_state(STATE_COUNT_RING_FULL);
}

/* What is known under this address is of a goroutine whose end was not seen: its time up to now is told. */
static __always_inline void replace_goroutine(const struct park_key *key, struct goroutine *of, __u64 now, __u32 binary)
{
	close_state(of, now);
	send_goroutine(key, of, binary, FATE_REPLACED);
	count_state(STATE_COUNT_REPLACED);
}

/* A goroutine changes its state; one that is not known yet, or is another one than was known, begins here. */
static __always_inline void enter_state(const struct park_key *key, __u64 goid, __u64 now, enum goroutine_state state,
					__u8 reason, __u32 binary)
{
	struct goroutine *of = goroutine_at(key);

	if (of && of->goid && goid && of->goid != goid) {
		replace_goroutine(key, of, now, binary);
		of = 0;
	}
	if (!of) {
		begin_goroutine(key, goid, now, state, reason, 0);
		return;
	}
	/* Go 1.21 gives a goroutine its number after its status. */
	if (!of->goid)
		of->goid = goid;
	change_state(of, now, state, reason);
	if (state == STATE_RUNNING) {
		of->runs++;
		of->tid = (__u32)bpf_get_current_pid_tgid();
	}
}

/* The same without its number: of one that must be known. */
static __always_inline void change_known(const struct park_key *key, __u64 now, enum goroutine_state from,
					 enum goroutine_state state)
{
	struct goroutine *of = goroutine_at(key);

	if (of && of->state == from)
		change_state(of, now, state, 0);
}

/* The goroutine on this thread was in a system call from then until now. */
static __always_inline void add_syscall(const struct binary_layout *layout, __u32 tgid, __u32 tid, __u64 from, __u64 now)
{
	struct thread *thread = bpf_map_lookup_elem(&threads, &tid);
	struct park_key key = { .tgid = tgid };
	__u64 m = thread && thread->tgid == tgid ? thread->m : 0;
	struct goroutine *of;

	if ((!m && !m_by_tls(&m, layout, tgid)) || !m || read_word(&key.g, m + layout->m_curg) || !key.g)
		return;
	of = goroutine_at(&key);
	/* In C code it is that which it was in. */
	if (!of || of->state != STATE_RUNNING)
		return;
	if (from > of->since_mono_ns)
		close_state(of, from);
	of->state = STATE_SYSCALL;
	close_state(of, now);
	of->state = STATE_RUNNING;
	of->flags &= ~GOROUTINE_LOST_PROCESSOR;
}

static __always_inline int observes_states(__u32 tgid, __u32 binary)
{
	struct watch watch;

	return config_for(tgid, binary, &watch) && watch.kinds & WATCH_STATES;
}

#define GO_STATUS_DEAD 6
#define GO_STATUS_WAITING 4

/* runtime.newproc1, at its calls of casgstatus(gp, from, to) */
static __always_inline void create(struct user_regs *ctx)
{
	__u32 binary = bpf_get_attach_cookie(ctx);
	struct binary_layout *layout = binary_at(binary);
	struct park_key key = { .tgid = bpf_get_current_pid_tgid() >> 32, .g = GO_ARG1(ctx) };
	int is_parked = (__u32)GO_ARG3(ctx) == GO_STATUS_WAITING;
	__u64 now = bpf_ktime_get_ns();
	struct goroutine *known;

	if ((__u32)GO_ARG2(ctx) != GO_STATUS_DEAD || !layout || !observes_states(key.tgid, binary))
		return;
	known = goroutine_at(&key);
	if (known)
		replace_goroutine(&key, known, now, binary);
	begin_goroutine(&key, 0, now, is_parked ? STATE_BLOCKED : STATE_RUNNABLE, is_parked ? layout->coroutine_reason : 0,
			GOROUTINE_START_SEEN);
}

METERED_UPROBE(go_create, create)

static __always_inline struct short_lives *short_lives_of(__u32 tgid)
{
	static const struct short_lives none;
	struct short_lives *found = bpf_map_lookup_elem(&short_lives, &tgid);

	if (found)
		return found;
	/* Two CPUs may get here at once; NOEXIST lets the first one win, and both then find its entry. */
	bpf_map_update_elem(&short_lives, &tgid, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&short_lives, &tgid);
}

static __always_inline void sum_short_life(__u32 tgid, const struct goroutine *of)
{
	struct short_lives *sum = short_lives_of(tgid);
	__u32 reason;

	if (!sum) {
		count_state(STATE_COUNT_SUMS_FULL);
		return;
	}
	__sync_fetch_and_add(&sum->goroutines, 1);
	__sync_fetch_and_add(&sum->runs, of->runs);
	__sync_fetch_and_add(&sum->handoffs, of->handoffs);
	for (__u32 i = 0; i < STATE_BLOCKED; i++)
		__sync_fetch_and_add(&sum->state_ns[i], of->state_ns[i]);
	for (__u32 i = 0; i <= BLOCKED_REASONS; i++) {
		if (!of->blocked_count[i])
			continue;
		reason = i < BLOCKED_REASONS ? of->reasons[i] & (WAIT_REASONS - 1) : 0;
		__sync_fetch_and_add(&sum->blocked_ns[reason], of->blocked_ns[i]);
		__sync_fetch_and_add(&sum->blocked_count[reason], of->blocked_count[i]);
	}
}

static __always_inline void end_goroutine(const struct park_key *key, __u32 binary)
{
	struct capture_config *cfg = settings();
	struct goroutine *of = goroutine_at(key);
	const struct watch *watch;
	__u64 now = bpf_ktime_get_ns();

	if (!of || !cfg)
		return;
	watch = watch_of(key->tgid);
	close_state(of, now);
	if ((of->flags & GOROUTINE_START_SEEN) && of->epoch == state_epoch() &&
	    now - of->first_mono_ns < (watch ? watch->threshold_ns : cfg->threshold_ns)) {
		sum_short_life(key->tgid, of);
		bpf_map_delete_elem(&goroutines, key);
	} else {
		send_goroutine(key, of, binary, FATE_FINISHED);
	}
}

/* runtime.gdestroy(gp), or runtime.goexit0(gp) */
static __always_inline void destroy(struct user_regs *ctx)
{
	struct park_key key = { .tgid = bpf_get_current_pid_tgid() >> 32, .g = GO_ARG1(ctx) };

	end_goroutine(&key, bpf_get_attach_cookie(ctx));
}

METERED_UPROBE(go_destroy, destroy)

/* runtime.dropm(): a thread that C made is done with Go; what it ran on is kept for the next such thread */
static __always_inline void drop_m(struct user_regs *ctx)
{
	__u32 binary = bpf_get_attach_cookie(ctx);
	struct binary_layout *layout = binary_at(binary);
	struct park_key key = { .tgid = bpf_get_current_pid_tgid() >> 32 };
	__u64 m = 0;

	if (layout && !read_word(&m, GO_G(ctx) + layout->g_m) && !read_word(&key.g, m + layout->m_curg) && key.g)
		end_goroutine(&key, binary);
}

METERED_UPROBE(go_drop_m, drop_m)

/* runtime.goschedImpl(gp), runtime.goyield_m(gp), runtime.preemptPark(gp) */
static __always_inline void yield(struct user_regs *ctx)
{
	__u32 binary = bpf_get_attach_cookie(ctx);
	struct binary_layout *layout = binary_at(binary);
	struct park_key key = { .tgid = bpf_get_current_pid_tgid() >> 32, .g = GO_ARG1(ctx) };
	__u64 goid = 0;

	if (!layout || !observes_states(key.tgid, binary))
		return;
	if (read_word(&goid, key.g + layout->g_goid))
		count_state(STATE_COUNT_FAULT);
	else
		enter_state(&key, goid, bpf_ktime_get_ns(), STATE_RUNNABLE, 0, binary);
}

METERED_UPROBE(go_yield, yield)

/* runtime.exitsyscallTryGetP(), or runtime.exitsyscallfast_pidle(): on the scheduling stack for the goroutine of its thread */
static __always_inline void lose_processor(struct user_regs *ctx)
{
	__u32 binary = bpf_get_attach_cookie(ctx);
	struct binary_layout *layout = binary_at(binary);
	struct park_key key = { .tgid = bpf_get_current_pid_tgid() >> 32 };
	struct goroutine *of;
	__u64 m = 0;

	if (!layout || !observes_states(key.tgid, binary) || read_word(&m, GO_G(ctx) + layout->g_m) || read_word(&key.g, m + layout->m_curg) || !key.g)
		return;
	of = goroutine_at(&key);
	if (!of)
		return;
	of->handoffs++;
	of->flags |= GOROUTINE_LOST_PROCESSOR;
}

METERED_UPROBE(go_lost_processor, lose_processor)

/* runtime.exitsyscallNoP(gp), or runtime.exitsyscall0(gp) */
static __always_inline void find_no_processor(struct user_regs *ctx)
{
	__u32 binary = bpf_get_attach_cookie(ctx);
	struct park_key key = { .tgid = bpf_get_current_pid_tgid() >> 32, .g = GO_ARG1(ctx) };
	struct goroutine *of = goroutine_at(&key);

	if (!of || !observes_states(key.tgid, binary))
		return;
	/* Up to Go 1.25 no other processor is looked for where there is none idle. */
	if (!(of->flags & GOROUTINE_LOST_PROCESSOR))
		of->handoffs++;
	change_state(of, bpf_ktime_get_ns(), STATE_RUNNABLE, 0);
}

METERED_UPROBE(go_no_processor, find_no_processor)

/* runtime.coroswitch_m(gp): gp waits, and the goroutine of the coroutine in gp.coroarg runs */
static __always_inline void switch_coroutine(struct user_regs *ctx)
{
	__u32 binary = bpf_get_attach_cookie(ctx);
	struct binary_layout *layout = binary_at(binary);
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct park_key from = { .tgid = tgid, .g = GO_ARG1(ctx) }, to = { .tgid = tgid };
	__u64 now = bpf_ktime_get_ns(), coro = 0, from_goid = 0, to_goid = 0;

	if (!layout || !layout->g_coroarg || !observes_states(tgid, binary))
		return;
	/* A struct coro begins with the goroutine that waits in it. */
	if (read_word(&coro, from.g + layout->g_coroarg) || read_word(&to.g, coro) ||
	    read_word(&from_goid, from.g + layout->g_goid) || read_word(&to_goid, to.g + layout->g_goid)) {
		count_state(STATE_COUNT_FAULT);
		return;
	}
	enter_state(&from, from_goid, now, STATE_BLOCKED, layout->coroutine_reason, binary);
	enter_state(&to, to_goid, now, STATE_RUNNING, 0, binary);
}

METERED_UPROBE(go_coroutine_switch, switch_coroutine)

#endif
