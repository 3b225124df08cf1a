/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * The four probes on the Go runtime: a goroutine parks, is made ready (by a goroutine or by the network poller), and
 * runs again. Each probe sits at the `push %rbp` of the function's prologue: there the kernel emulates the instruction
 * instead of single-stepping it, the frame-pointer chain is complete, and a prologue that restarts after growing the
 * stack is not seen twice. Which offsets hold is told by the attach cookie: an index into `binaries`.
 */
#ifndef SYNCLINE_GOROUTINE_H
#define SYNCLINE_GOROUTINE_H

#include "clock.h"
#include "labels.h"
#include "maps.h"
#include "regs.h"
#include "scratch.h"
#include "short_waits.h"
#include "stack.h"

/* pollDesc.rg and wg hold one of the runtime's small states (nil, ready, wait) or the address of a waiting g. */
#define POLLDESC_LAST_STATE 2
#define POLL_READ 'r'
#define POLL_WRITE 'w'

static __always_inline int is_watched(const struct capture_config *cfg, __u32 tgid, __u32 binary)
{
	const __u32 *slot = bpf_map_lookup_elem(&watched, &tgid);

	return slot ? *slot == binary : !cfg->only_watched;
}

static __always_inline struct capture_config *config_for(__u32 tgid, __u32 binary)
{
	__u32 zero = 0;
	struct capture_config *cfg = bpf_map_lookup_elem(&config, &zero);

	return cfg && is_watched(cfg, tgid, binary) ? cfg : 0;
}

static __always_inline struct binary_layout *binary_at(__u32 index)
{
	struct binary_layout *layout = bpf_map_lookup_elem(&binaries, &index);

	return layout && layout->valid ? layout : 0;
}

static __always_inline long read_word(__u64 *into, __u64 address)
{
	return bpf_probe_read_user(into, sizeof(*into), (void *)address);
}

static __always_inline void count_refused_park(long error)
{
	/* -E2BIG: the map's limit; -ENOMEM: the kernel's. */
	count(error == -7 || error == -12 ? COUNT_MAP_FULL : COUNT_MAP_ERROR);
}

static __always_inline void remember_park(const struct park_key *key, const struct park *park)
{
	long error = bpf_map_update_elem(&parks, key, park, BPF_NOEXIST);

	count(COUNT_PARKS);
	if (error == -17 /* -EEXIST: this g parked before, and we missed that it ran */) {
		count(COUNT_PARK_REPLACED);
		error = bpf_map_update_elem(&parks, key, park, BPF_ANY);
	}
	if (error)
		count_refused_park(error);
}

/* runtime.gopark(unlockf, lock, reason, traceReason, traceskip), on the goroutine that parks */
SEC("uprobe")
int go_park(struct user_regs *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 binary = bpf_get_attach_cookie(ctx);
	struct binary_layout *layout = binary_at(binary);
	struct park_key key = { .tgid = id >> 32, .g = GO_G(ctx) };
	struct park park = { .tid = (__u32)id, .reason = (__u8)GO_ARG3(ctx) };

	if (!layout || !config_for(key.tgid, binary))
		return 0;
	if (read_word(&park.goid, key.g + layout->g_goid)) {
		count(COUNT_PARK_FAULT);
		return 0;
	}
	park.park_mono_ns = bpf_ktime_get_ns();
	park.park_wall_ns = ktime_get_real_ns();
	remember_park(&key, &park);
	return 0;
}

/* The goroutine on whose behalf the current thread runs: g may be the thread's scheduling stack, whose goid is 0. */
static __always_inline __u64 current_goid(const struct binary_layout *layout, __u64 g)
{
	__u64 m = 0, curg = 0, goid = 0;

	if (read_word(&m, g + layout->g_m) || read_word(&curg, m + layout->m_curg) ||
	    (curg && read_word(&goid, curg + layout->g_goid)))
		count(COUNT_WAKER_FAULT);
	return goid;
}

static __always_inline struct park *not_yet_ready(__u32 tgid, __u64 g)
{
	struct park_key key = { .tgid = tgid, .g = g };
	struct park *park = bpf_map_lookup_elem(&parks, &key);

	return park && !(park->flags & WAIT_READY_SEEN) ? park : 0;
}

static __always_inline void mark_ready(struct park *park, __u64 waker_goid, __u8 flags)
{
	park->ready_mono_ns = bpf_ktime_get_ns();
	park->waker_goid = waker_goid;
	park->flags |= flags | WAIT_READY_SEEN;
	count(COUNT_READIES);
}

/* runtime.ready(gp, traceskip, next), on the waker's thread */
SEC("uprobe")
int go_ready(struct user_regs *ctx)
{
	struct binary_layout *layout = binary_at(bpf_get_attach_cookie(ctx));
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct park *park;

	if (!layout)
		return 0;
	park = not_yet_ready(tgid, GO_ARG1(ctx));
	if (park)
		mark_ready(park, current_goid(layout, GO_G(ctx)), 0);
	return 0;
}

static __always_inline void netpoll_ready_one(__u32 tgid, __u64 slot)
{
	__u64 g = 0;
	struct park *park;

	if (read_word(&g, slot)) {
		count(COUNT_NETPOLL_FAULT);
		return;
	}
	if (g <= POLLDESC_LAST_STATE)
		return;
	park = not_yet_ready(tgid, g);
	if (park)
		mark_ready(park, 0, WAIT_BY_NETPOLL);
}

/* runtime.netpollready(toRun, pd, mode): mode is 'r', 'w' or their sum */
SEC("uprobe")
int go_netpollready(struct user_regs *ctx)
{
	struct binary_layout *layout = binary_at(bpf_get_attach_cookie(ctx));
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	__u64 pd = GO_ARG2(ctx);
	__u32 mode = GO_ARG3(ctx);

	if (!layout)
		return 0;
	if (mode == POLL_READ || mode == POLL_READ + POLL_WRITE)
		netpoll_ready_one(tgid, pd + layout->polldesc_rg);
	if (mode == POLL_WRITE || mode == POLL_READ + POLL_WRITE)
		netpoll_ready_one(tgid, pd + layout->polldesc_wg);
	return 0;
}

static __always_inline void fill_record(struct wait_record *record, const struct park_key *key,
					const struct park *park, __u64 run_mono_ns, __u32 binary)
{
	record->kind = RECORD_WAIT;
	record->tgid = key->tgid;
	record->tid = park->tid;
	record->goid = park->goid;
	record->park_mono_ns = park->park_mono_ns;
	record->park_wall_ns = park->park_wall_ns;
	record->ready_mono_ns = park->ready_mono_ns;
	record->run_mono_ns = run_mono_ns;
	record->waker_goid = park->waker_goid;
	record->binary = binary;
	record->reason = park->reason;
	record->flags = park->flags;
	record->reserved = 0;
}

/*
 * User space looks at the ring ten times a second by itself. Waking it for each record would cost the observed program
 * more than the record does; it is woken when a quarter of the ring is full.
 */
static __always_inline __u64 wakeup_when_filling(void)
{
	__u64 size = bpf_ringbuf_query(&events, BPF_RB_RING_SIZE);

	return bpf_ringbuf_query(&events, BPF_RB_AVAIL_DATA) >= size / 4 ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

static __always_inline void send_record(struct wait_record *record)
{
	__u32 bytes = WAIT_HEADER_BYTES + (record->stack_len & MAX_STACK) * sizeof(__u64);

	if (record->flags & WAIT_STACK_UNREADABLE)
		count(COUNT_STACK_UNREADABLE);
	if (record->flags & WAIT_STACK_TRUNCATED)
		count(COUNT_STACK_TRUNCATED);
	count(bpf_ringbuf_output(&events, record, bytes, wakeup_when_filling()) ? COUNT_RING_FULL : COUNT_EMITTED);
}

static __always_inline void emit(const struct park_key *key, const struct park *park, __u64 run_mono_ns,
				 __u32 binary, const struct binary_layout *layout, __u32 max_stack)
{
	struct scratch *slot = scratch_claim();

	if (!slot) {
		count(COUNT_SCRATCH_BUSY);
		return;
	}
	fill_record(&slot->record, key, park, run_mono_ns, binary);
	read_trace(slot, layout, key->g);
	walk_stack(&slot->record, layout, key->g, max_stack);
	send_record(&slot->record);
	scratch_release(slot);
}

/* runtime.execute(gp, inheritTime), on the scheduling stack of the thread that will run gp */
SEC("uprobe")
int go_execute(struct user_regs *ctx)
{
	__u32 binary = bpf_get_attach_cookie(ctx);
	struct binary_layout *layout = binary_at(binary);
	struct park_key key = { .tgid = bpf_get_current_pid_tgid() >> 32, .g = GO_ARG1(ctx) };
	struct capture_config *cfg = config_for(key.tgid, binary);
	struct park *found, park;
	__u64 goid = 0, now;

	if (!layout || !cfg)
		return 0;
	found = bpf_map_lookup_elem(&parks, &key);
	if (!found)
		return 0;
	now = bpf_ktime_get_ns();
	park = *found;
	bpf_map_delete_elem(&parks, &key);
	count(COUNT_FINISHED);

	if (read_word(&goid, key.g + layout->g_goid))
		count(COUNT_EXECUTE_FAULT);
	else if (goid != park.goid)
		count(COUNT_GOID_MISMATCH);
	else if (now - park.park_mono_ns < cfg->threshold_ns)
		aggregate(key.tgid, park.reason, now - park.park_mono_ns);
	else
		emit(&key, &park, now, binary, layout, cfg->max_stack);
	return 0;
}

#endif
