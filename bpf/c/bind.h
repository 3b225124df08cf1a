/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Which goroutine a thread runs, exactly: thread -> runtime.m -> curg. The m of a thread is learned whenever it begins to run
 * a goroutine; of one that has not been seen doing that yet, it is found through the thread's own g, in thread-local storage.
 * The register that Go code has g in would not do: C code, and the kernel's entry from it, hold something else there.
 */
#ifndef SYNCLINE_BIND_H
#define SYNCLINE_BIND_H

#include "kernel_types.h"
#include "maps.h"
#include "stack.h"

static __always_inline struct binary_layout *binary_at(__u32 index)
{
	struct binary_layout *layout = bpf_map_lookup_elem(&binaries, &index);

	return layout && layout->valid ? layout : 0;
}

static __always_inline void learn_thread(const struct binary_layout *layout, __u32 tgid, __u32 tid, __u64 g)
{
	struct thread *known = bpf_map_lookup_elem(&threads, &tid);
	struct thread thread = { .tgid = tgid };

	if (read_word(&thread.m, g + layout->g_m) || !thread.m)
		return;
	if (!known || known->m != thread.m || known->tgid != tgid)
		bpf_map_update_elem(&threads, &tid, &thread, BPF_ANY);
}

/* Where a thread keeps its g, from its base: of a library, what the dynamic linker has decided in this process. */
static __always_inline __s32 thread_local_g(const struct binary_layout *layout, __u32 tgid)
{
	const __s32 *of_process = layout->tls_g ? 0 : bpf_map_lookup_elem(&tls_offsets, &tgid);

	return of_process ? *of_process : layout->tls_g;
}

/* The m of the current thread by its thread-local g: 0 for a thread that has none, of C code's own. Whether it could be read. */
static __always_inline int m_by_tls(__u64 *m, const struct binary_layout *layout, __u32 tgid)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__s32 at = thread_local_g(layout, tgid);
	__u64 g = 0;

	*m = 0;
	if (!at || read_word(&g, THREAD_POINTER(task) + at))
		return 0;
	return !g || (!read_word(m, g + layout->g_m) && *m);
}

/* Why it could not be found out. */
enum unbound {
	UNBOUND_NOT = 0,
	UNBOUND_NO_THREAD = 1,
	UNBOUND_UNREADABLE = 2,
};

struct bound {
	__u64 g;    /* 0: the thread runs no goroutine */
	__u64 goid;
	__u8 flags; /* WAIT_OF_SCHEDULER, WAIT_UNBOUND */
	__u8 why;   /* enum unbound */
};

static __always_inline void count_binding(__u32 tgid, __u8 flags, __u8 why)
{
	struct binding *of = bpf_map_lookup_elem(&bindings, &tgid), none = {};

	if (!of) {
		bpf_map_update_elem(&bindings, &tgid, &none, BPF_NOEXIST);
		of = bpf_map_lookup_elem(&bindings, &tgid);
	}
	if (of)
		__sync_fetch_and_add(why == UNBOUND_NO_THREAD ? &of->no_thread :
				     why == UNBOUND_UNREADABLE ? &of->unreadable :
				     flags & WAIT_OF_SCHEDULER ? &of->scheduler : &of->bound, 1);
}

/* The goroutine of the current thread. */
static __always_inline void bind_thread(struct bound *bound, const struct binary_layout *layout, __u32 tgid, __u32 tid)
{
	struct thread *thread = bpf_map_lookup_elem(&threads, &tid);
	__u64 m = thread && thread->tgid == tgid ? thread->m : 0;
	int is_known = m || m_by_tls(&m, layout, tgid);

	bound->g = 0;
	bound->goid = 0;
	bound->why = UNBOUND_NOT;
	if (!is_known)
		bound->why = UNBOUND_NO_THREAD;
	else if ((m && read_word(&bound->g, m + layout->m_curg)) ||
		 (bound->g && read_word(&bound->goid, bound->g + layout->g_goid)))
		bound->why = UNBOUND_UNREADABLE;
	bound->flags = bound->why ? WAIT_UNBOUND : bound->g ? 0 : WAIT_OF_SCHEDULER;
}

#endif
