/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * The four probes on the Go runtime: a goroutine parks, is made ready (by a goroutine or by the network poller), and
 * runs again. Each probe sits at an instruction of the function's prologue that the kernel emulates instead of
 * single-stepping it, and where the frame-pointer chain is complete: on amd64 the `push %rbp`, on arm64 the branch of the
 * stack guard. A prologue that restarts after growing the stack must not be seen twice where it runs on a stack that grows,
 * as gopark does; the others run on scheduling stacks. Which offsets hold is told by the attach cookie: an index into `binaries`.
 */
#ifndef SYNCLINE_GOROUTINE_H
#define SYNCLINE_GOROUTINE_H

#include "bind.h"
#include "clock.h"
#include "cost.h"
#include "file.h"
#include "labels.h"
#include "maps.h"
#include "regs.h"
#include "send.h"
#include "short_waits.h"
#include "stack.h"
#include "states.h"

/* pollDesc.rg and wg hold one of the runtime's small states (nil, ready, wait) or the address of a waiting g. */
#define POLLDESC_LAST_STATE 2
#define POLL_READ 'r'
#define POLL_WRITE 'w'

static __always_inline void count_refused_park(long error)
{
	/* -E2BIG: the map's limit; -ENOMEM: the kernel's. */
	count(error == -7 || error == -12 ? COUNT_MAP_FULL : COUNT_MAP_ERROR);
}

static __always_inline int was_found_by_user_space(const struct park_key *key)
{
	const struct park *park = bpf_map_lookup_elem(&parks, key);

	return park && park->found_pc;
}

static __always_inline void remember_park(const struct park_key *key, const struct park *park)
{
	long error = bpf_map_update_elem(&parks, key, park, BPF_NOEXIST);

	count(COUNT_PARKS);
	if (error == -17 /* -EEXIST: this g parked before, and we missed that it ran */) {
		count(was_found_by_user_space(key) ? COUNT_FOUND_STALE : COUNT_PARK_REPLACED);
		error = bpf_map_update_elem(&parks, key, park, BPF_ANY);
	}
	if (error)
		count_refused_park(error);
}

/* runtime.gopark(unlockf, lock, reason, traceReason, traceskip), on the goroutine that parks */
static __always_inline void park_goroutine(struct user_regs *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 binary = bpf_get_attach_cookie(ctx);
	struct binary_layout *layout = binary_at(binary);
	struct park_key key = { .tgid = id >> 32, .g = GO_G(ctx) };
	struct park park = { .tid = (__u32)id, .reason = (__u8)GO_ARG3(ctx), .address = GO_ARG2(ctx), .fd = -1 };
	struct watch watch;

	if (PASSES_AGAIN(ctx))
		return;
	if (!layout || !config_for(key.tgid, binary, &watch) || !(watch.kinds & (WATCH_PARK | WATCH_STATES)))
		return;
	park.park_mono_ns = bpf_ktime_get_ns();
	if (is_outside(&watch, park.park_mono_ns))
		return;
	if (read_word(&park.goid, key.g + layout->g_goid)) {
		count(COUNT_PARK_FAULT);
		return;
	}
	park.park_wall_ns = ktime_get_real_ns();
	if (watch.kinds & WATCH_PARK)
		remember_park(&key, &park);
	if (layout->has_states && watch.kinds & WATCH_STATES)
		enter_state(&key, park.goid, park.park_mono_ns, STATE_BLOCKED, park.reason, binary);
}

METERED_UPROBE(go_park, park_goroutine)

/* The goroutine on whose behalf the current thread runs: g may be the thread's scheduling stack, whose goid is 0. */
static __always_inline __u64 current_goroutine(const struct binary_layout *layout, __u64 g, __u64 *goid)
{
	__u64 m = 0, curg = 0;

	if (read_word(&m, g + layout->g_m) || read_word(&curg, m + layout->m_curg) ||
	    (curg && read_word(goid, curg + layout->g_goid)))
		count(COUNT_WAKER_FAULT);
	return curg;
}

static __always_inline struct park *not_yet_ready(const struct park_key *key)
{
	struct park *park = bpf_map_lookup_elem(&parks, key);

	return park && !(park->flags & WAIT_READY_SEEN) ? park : 0;
}

static __always_inline void mark_ready(struct park *park, __u64 waker_goid, __u8 flags, __u64 now)
{
	park->ready_mono_ns = now;
	park->waker_goid = waker_goid;
	park->flags |= flags | WAIT_READY_SEEN;
	count(COUNT_READIES);
}

/*
 * One that is made ready in a window and has not parked in it waits since before that: all that park in a window are seen. The part from the
 * begin of the window on is what counts.
 */
static __always_inline struct park *parked_before_window(const struct park_key *key, const struct binary_layout *layout,
							 const struct watch *watch, __u64 now)
{
	struct park park = { .park_mono_ns = watch->from_ns, .fd = -1, .is_part = 1 };

	if (!(watch->kinds & WATCH_PARK) || read_word(&park.goid, key->g + layout->g_goid) ||
	    bpf_probe_read_user(&park.reason, sizeof(park.reason), (void *)(key->g + layout->g_waitreason)))
		return 0;
	park.park_wall_ns = ktime_get_real_ns() - (now - watch->from_ns);
	/* One that is there already has been made ready. */
	if (bpf_map_update_elem(&parks, key, &park, BPF_NOEXIST))
		return 0;
	count(COUNT_WINDOW_FOUND);
	return bpf_map_lookup_elem(&parks, key);
}

/* It parked in a window before this one, and was not cut off as that ended: user space could not go through the map. */
static __always_inline int is_left_over(const struct watch *watch, const struct park *park)
{
	return watch->until_ns && park->park_mono_ns < watch->from_ns;
}

/* What is known of a goroutine that is made ready now; 0: nothing, or its process's window is over. */
static __always_inline struct park *being_made_ready(const struct park_key *key, const struct binary_layout *layout, __u32 binary,
						     __u64 now)
{
	const struct watch *watch = watch_of(key->tgid);
	struct park *park;

	if (!watch || !watch->until_ns)
		return not_yet_ready(key);
	if (watch->slot != binary || is_outside(watch, now))
		return 0;
	park = bpf_map_lookup_elem(&parks, key);
	if (park && !is_left_over(watch, park))
		return not_yet_ready(key);
	if (park) {
		count(park->found_pc ? COUNT_FOUND_STALE : COUNT_PARK_REPLACED);
		bpf_map_delete_elem(&parks, key);
	}
	return parked_before_window(key, layout, watch, now);
}

/* The stack of the goroutine that ends a wait: of the one that runs, or of the one whose thread has changed to its scheduling stack. */
static __always_inline int take_waker_stack(const struct park_key *key, const struct binary_layout *layout,
					    const struct user_regs *ctx, __u64 curg)
{
	static const struct waker none;
	struct waker *waker;
	__u8 flags = 0;

	if (bpf_map_update_elem(&wakers, key, &none, BPF_ANY) || !(waker = bpf_map_lookup_elem(&wakers, key))) {
		count(COUNT_WAKER_STACK_LOST);
		return 0;
	}
	if (curg != GO_G(ctx))
		waker->stack_len = walk_saved(waker->stack, 0, MAX_WAKER_STACK, MAX_WAKER_STACK, layout, curg, &flags);
	else if (!READ_RETURN_ADDRESS(&waker->stack[0], ctx))
		waker->stack_len = walk_frames(waker->stack, 1, MAX_WAKER_STACK, MAX_WAKER_STACK, REGS_FP(ctx), &flags);
	if (!waker->stack_len)
		count(COUNT_WAKER_STACK_LOST);
	return waker->stack_len > 0;
}

/* runtime.ready(gp, traceskip, next), on the waker's thread */
static __always_inline void ready_goroutine(struct user_regs *ctx)
{
	__u32 binary = bpf_get_attach_cookie(ctx);
	struct binary_layout *layout = binary_at(binary);
	struct park_key key = { .tgid = bpf_get_current_pid_tgid() >> 32, .g = GO_ARG1(ctx) };
	struct capture_config *cfg = settings();
	const struct watch *watch;
	struct park *park;
	__u64 curg, goid = 0, threshold_ns, now = bpf_ktime_get_ns();

	if (!layout || !cfg)
		return;
	if (layout->has_states)
		change_known(&key, now, STATE_BLOCKED, STATE_RUNNABLE);
	park = being_made_ready(&key, layout, binary, now);
	if (!park)
		return;
	curg = current_goroutine(layout, GO_G(ctx), &goid);
	mark_ready(park, goid, 0, now);
	watch = watch_of(key.tgid);
	threshold_ns = watch ? watch->threshold_ns : cfg->threshold_ns;
	if (goid && park->ready_mono_ns - park->park_mono_ns >= threshold_ns &&
	    take_waker_stack(&key, layout, ctx, curg))
		park->flags |= WAIT_WAKER_STACK;
}

METERED_UPROBE(go_ready, ready_goroutine)

static __always_inline void netpoll_ready_one(__u32 tgid, __u64 slot, __s32 fd, const struct binary_layout *layout, __u32 binary)
{
	struct park_key key = { .tgid = tgid };
	__u64 now = bpf_ktime_get_ns();
	struct park *park;

	if (read_word(&key.g, slot)) {
		count(COUNT_NETPOLL_FAULT);
		return;
	}
	if (key.g <= POLLDESC_LAST_STATE)
		return;
	if (layout->has_states)
		change_known(&key, now, STATE_BLOCKED, STATE_RUNNABLE);
	park = being_made_ready(&key, layout, binary, now);
	if (!park)
		return;
	park->fd = fd;
	mark_ready(park, 0, WAIT_BY_NETPOLL, now);
}

/* runtime.netpollready(toRun, pd, mode): mode is 'r', 'w' or their sum */
static __always_inline void ready_polled(struct user_regs *ctx)
{
	__u32 binary = bpf_get_attach_cookie(ctx);
	struct binary_layout *layout = binary_at(binary);
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	__u64 pd = GO_ARG2(ctx), fd = -1;
	__u32 mode = GO_ARG3(ctx);

	if (!layout)
		return;
	if (read_word(&fd, pd + layout->polldesc_fd))
		fd = -1;
	if (mode == POLL_READ || mode == POLL_READ + POLL_WRITE)
		netpoll_ready_one(tgid, pd + layout->polldesc_rg, fd, layout, binary);
	if (mode == POLL_WRITE || mode == POLL_READ + POLL_WRITE)
		netpoll_ready_one(tgid, pd + layout->polldesc_wg, fd, layout, binary);
}

METERED_UPROBE(go_netpollready, ready_polled)

static __always_inline void fill_record(struct wait_record *record, const struct park_key *key,
					const struct park *park, __u64 run_mono_ns, __u32 binary)
{
	begin_record(record, WAIT_GOROUTINE, key->tgid, park->tid, binary);
	record->goid = park->goid;
	record->park_mono_ns = park->park_mono_ns;
	record->park_wall_ns = park->park_wall_ns;
	record->ready_mono_ns = park->ready_mono_ns;
	record->run_mono_ns = run_mono_ns;
	record->waker_goid = park->waker_goid;
	record->reason = park->reason;
	record->flags = park->flags;
	record->address = park->address;
	record->fd = park->fd;
	record->began_before = park->found_pc || park->is_part;
	describe_file(&record->file, park->fd);
}

/* Behind the frames of the one that waited. */
static __always_inline void append_waker_stack(struct wait_record *record, const struct park_key *key)
{
	struct waker *waker = bpf_map_lookup_elem(&wakers, key);
	__u32 from = record->stack_len & MAX_STACK;

	if (!(record->flags & WAIT_WAKER_STACK))
		return;
	if (!waker) {
		count(COUNT_WAKER_STACK_LOST);
		return;
	}
	for (__u32 i = 0; i < MAX_WAKER_STACK && i < waker->stack_len; i++) {
		record->stack[from + i] = waker->stack[i];
		record->further_len = i + 1;
	}
	bpf_map_delete_elem(&wakers, key);
}

static __always_inline void emit_park(const struct park_key *key, const struct park *park, __u64 run_mono_ns,
				      __u32 binary, const struct binary_layout *layout, __u32 max_stack)
{
	struct scratch *slot = scratch_claim();

	if (!slot) {
		count(COUNT_SCRATCH_BUSY);
		return;
	}
	fill_record(&slot->record, key, park, run_mono_ns, binary);
	read_trace(slot, layout, key->g);
	slot->record.stack_len = walk_saved(slot->record.stack, 0, MAX_STACK, max_stack, layout, key->g, &slot->record.flags);
	append_waker_stack(&slot->record, key);
	send_record(&slot->record);
	scratch_release(slot);
}

/*
 * User space finds goroutines parked that were so before the probes came, and puts them in. Such a one may have run by then. Then it
 * parks next, which replaces the entry, or it has ended or was made to yield: it goes on elsewhere than in gopark, where it was found.
 */
static __always_inline int waited_since_found(const struct park_key *key, const struct park *park,
					      const struct binary_layout *layout)
{
	__u64 goid = 0, pc = 0;

	return !read_word(&goid, key->g + layout->g_goid) && !read_word(&pc, key->g + layout->g_sched_pc) &&
	       goid == park->goid && pc == park->found_pc;
}

/* runtime.execute(gp, inheritTime), on the scheduling stack of the thread that will run gp */
static __always_inline void execute_goroutine(struct user_regs *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 binary = bpf_get_attach_cookie(ctx);
	struct binary_layout *layout = binary_at(binary);
	struct park_key key = { .tgid = id >> 32, .g = GO_ARG1(ctx) };
	struct watch watch;
	struct capture_config *cfg = config_for(key.tgid, binary, &watch);
	struct park *found, park;
	__u64 goid = 0, now;
	int has_states;
	long fault;

	if (!layout || !cfg)
		return;
	if (cfg->learn_threads)
		learn_thread(layout, key.tgid, (__u32)id, GO_G(ctx));
	found = bpf_map_lookup_elem(&parks, &key);
	has_states = layout->has_states && watch.kinds & WATCH_STATES;
	if (!found && !has_states)
		return;
	now = bpf_ktime_get_ns();
	fault = read_word(&goid, key.g + layout->g_goid);
	if (has_states && fault)
		count_state(STATE_COUNT_FAULT);
	else if (has_states)
		enter_state(&key, goid, now, STATE_RUNNING, 0, binary);
	/* What goes on at the end of a window is cut off there, by user space. */
	if (!found || is_outside(&watch, now))
		return;
	park = *found;
	bpf_map_delete_elem(&parks, &key);
	if (is_left_over(&watch, &park)) {
		count(park.found_pc ? COUNT_FOUND_STALE : COUNT_PARK_REPLACED);
		return;
	}
	if (park.found_pc && !waited_since_found(&key, &park, layout)) {
		count(COUNT_FOUND_STALE);
		return;
	}
	count(COUNT_FINISHED);

	if (fault)
		count(COUNT_EXECUTE_FAULT);
	else if (goid != park.goid)
		count(COUNT_GOID_MISMATCH);
	else if (now - park.park_mono_ns < watch.threshold_ns)
		count_short(park.found_pc || park.is_part, &watch, key.tgid, WAIT_GOROUTINE, park.reason, now - park.park_mono_ns);
	else
		emit_park(&key, &park, now, binary, layout, cfg->max_stack);
}

METERED_UPROBE(go_execute, execute_goroutine)

#endif
