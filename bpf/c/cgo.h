/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Goroutines in C code. runtime.cgocall calls asmcgocall, which runs the C function, and then exitsyscall: the probes sit at these
 * two call instructions, which the kernel emulates, and which nothing else passes. A C function may call back into Go, and that
 * into C again, on the same goroutine: so a call is known by its depth, too.
 */
#ifndef SYNCLINE_CGO_H
#define SYNCLINE_CGO_H

#include "bind.h"
#include "clock.h"
#include "cost.h"
#include "goroutine.h"
#include "labels.h"
#include "maps.h"
#include "regs.h"
#include "send.h"
#include "short_waits.h"
#include "stack.h"
#include "states.h"

/* Goroutines in C code now. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 16);
	__type(key, struct park_key);
	__type(value, struct in_c);
} in_c SEC(".maps");

static __always_inline int cgo_key(struct park_key *key, const struct binary_layout *layout, __u32 tgid, __u64 g)
{
	__u64 m = 0;

	key->tgid = tgid;
	key->g = g;
	return read_word(&m, g + layout->g_m) || bpf_probe_read_user(&key->depth, sizeof(key->depth), (void *)(m + layout->m_ncgo));
}

static __always_inline void enter_in_c(__u32 tgid, __u64 g, __u64 goid, __u64 now, __u32 binary)
{
	struct park_key key = { .tgid = tgid, .g = g };

	enter_state(&key, goid, now, STATE_C, 0, binary);
}

static __always_inline void enter_c(struct user_regs *ctx)
{
	__u64 id = bpf_get_current_pid_tgid();
	__u32 binary = bpf_get_attach_cookie(ctx);
	struct binary_layout *layout = binary_at(binary);
	struct park_key key = {};
	struct in_c entry = { .tid = (__u32)id };
	struct watch watch;

	if (!layout || !config_for(id >> 32, binary, &watch) || !(watch.kinds & WATCH_CGO))
		return;
	entry.mono_ns = bpf_ktime_get_ns();
	if (is_outside(&watch, entry.mono_ns))
		return;
	if (cgo_key(&key, layout, id >> 32, GO_G(ctx)) || read_word(&entry.goid, key.g + layout->g_goid)) {
		count(COUNT_PARK_FAULT);
		return;
	}
	entry.wall_ns = ktime_get_real_ns();
	if (bpf_map_update_elem(&in_c, &key, &entry, BPF_ANY))
		count(COUNT_THREAD_MAP_FULL);
	if (layout->has_states && watch.kinds & WATCH_STATES)
		enter_in_c(id >> 32, key.g, entry.goid, entry.mono_ns, binary);
}

/* runtime.cgocall, at its call of runtime.asmcgocall */
METERED_UPROBE(cgo_enter, enter_c)

static __always_inline void emit_cgo(const struct in_c *entry, const struct park_key *key, __u64 now, const struct user_regs *ctx,
				     __u32 binary, const struct binary_layout *layout, __u32 max_stack)
{
	struct scratch *slot = scratch_claim();
	struct wait_record *record;

	if (!slot) {
		count(COUNT_SCRATCH_BUSY);
		return;
	}
	record = &slot->record;
	begin_record(record, WAIT_CGO, key->tgid, entry->tid, binary);
	record->goid = entry->goid;
	record->park_mono_ns = entry->mono_ns;
	record->park_wall_ns = entry->wall_ns;
	record->run_mono_ns = now;
	record->began_before = entry->found;
	read_trace(slot, layout, key->g);
	record->stack[0] = REGS_PC(ctx) + CALL_BYTES;
	record->stack_len = walk_frames(record->stack, 1, MAX_STACK, max_stack, REGS_FP(ctx), &record->flags);
	send_record(record);
	scratch_release(slot);
}

static __always_inline void exit_c(struct user_regs *ctx)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	__u32 binary = bpf_get_attach_cookie(ctx);
	struct binary_layout *layout = binary_at(binary);
	struct watch watch;
	struct capture_config *cfg = config_for(tgid, binary, &watch);
	struct park_key key = {}, goroutine = {};
	struct in_c *found, entry;
	__u64 now, goid = 0;

	if (!layout || !cfg || cgo_key(&key, layout, tgid, GO_G(ctx)))
		return;
	/* The runtime has counted this call as finished already. */
	key.depth++;
	now = bpf_ktime_get_ns();
	if (layout->has_states) {
		goroutine.tgid = key.tgid;
		goroutine.g = key.g;
		change_known(&goroutine, now, STATE_C, STATE_RUNNING);
	}
	/* What goes on at the end of a window is cut off there, by user space. */
	if (is_outside(&watch, now))
		return;
	found = bpf_map_lookup_elem(&in_c, &key);
	/* One of a window before this one was not cut off as that ended. */
	if (found && watch.until_ns && found->mono_ns < watch.from_ns) {
		bpf_map_delete_elem(&in_c, &key);
		found = 0;
	}
	if (!found) {
		if (watch.until_ns && watch.kinds & WATCH_CGO) {
			count(COUNT_THREAD_WAITS);
			aggregate(tgid, WAIT_CGO | WAIT_PARTS, 0, now - watch.from_ns);
		}
		return;
	}
	entry = *found;
	bpf_map_delete_elem(&in_c, &key);
	count(COUNT_THREAD_WAITS);
	if (read_word(&goid, key.g + layout->g_goid))
		count(COUNT_EXECUTE_FAULT);
	else if (goid != entry.goid)
		count(COUNT_GOID_MISMATCH);
	else if (now - entry.mono_ns < watch.threshold_ns)
		count_short(entry.found, &watch, tgid, WAIT_CGO, 0, now - entry.mono_ns);
	else
		emit_cgo(&entry, &key, now, ctx, binary, layout, cfg->max_stack);
}

/* runtime.cgocall, at its call of runtime.exitsyscall: back from C, and perhaps not yet with a processor */
METERED_UPROBE(cgo_exit, exit_c)

/*
 * Whoever is known goes on in this state; it has not been scheduled, so that it is no further run. Time in C counts as such only where it
 * is captured; but whoever is in C comes back.
 */
static __always_inline void change_in_callback(struct user_regs *ctx, enum goroutine_state state)
{
	__u32 binary = bpf_get_attach_cookie(ctx), both = WATCH_CGO | WATCH_STATES;
	struct binary_layout *layout = binary_at(binary);
	struct park_key key = { .tgid = bpf_get_current_pid_tgid() >> 32, .g = GO_G(ctx) };
	__u64 goid = 0, now = bpf_ktime_get_ns();
	struct goroutine *of;
	struct watch watch;

	if (!layout || !layout->has_states || !config_for(key.tgid, binary, &watch))
		return;
	if ((watch.kinds & both) != both) {
		if (state == STATE_RUNNING)
			change_known(&key, now, STATE_C, STATE_RUNNING);
		return;
	}
	if (read_word(&goid, key.g + layout->g_goid)) {
		count_state(STATE_COUNT_FAULT);
		return;
	}
	of = goroutine_at(&key);
	if (!of || of->goid != goid) {
		enter_state(&key, goid, now, state, 0, binary);
		return;
	}
	change_state(of, now, state, 0);
	of->tid = (__u32)bpf_get_current_pid_tgid();
}

/* runtime.cgocallbackg, at its call of runtime.exitsyscall: C code calls Go; the goroutine may be one of a thread that C made */
static __always_inline void enter_callback(struct user_regs *ctx)
{
	change_in_callback(ctx, STATE_RUNNING);
}

METERED_UPROBE(callback_enter, enter_callback)

/* runtime.cgocallbackg, at its call of runtime.reentersyscall: back to C */
static __always_inline void exit_callback(struct user_regs *ctx)
{
	change_in_callback(ctx, STATE_C);
}

METERED_UPROBE(callback_exit, exit_callback)

#endif
