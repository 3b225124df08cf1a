/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * What the kernel side and user space exchange. Each struct is mirrored in ../src/layout.rs; the asserts on both sides
 * hold the two together. All times are nanoseconds; all integers are in the byte order of the host.
 */
#ifndef SYNCLINE_RECORDS_H
#define SYNCLINE_RECORDS_H

#include <linux/types.h>

/* Most return addresses one record can carry. 127, as bpf_get_stackid's, so that `n & 127` bounds a count. */
#define MAX_STACK 127
/* Buckets of the histogram of short waits: bucket i counts waits of [2^i, 2^(i+1)) ns, the last one also all longer. */
#define HISTOGRAM_BUCKETS 32

/* Most return addresses taken of whoever ended a wait. */
#define MAX_WAKER_STACK 32
/* Most frames taken of the kernel's stack; they go where a waker's would. */
#define MAX_KERNEL_STACK 24
/* System call numbers that can be told apart; both architectures end below. */
#define SYSCALLS 512

/* First word of each record in the ring. */
enum record_kind {
	RECORD_WAIT = 1,
	RECORD_EXEC = 2,
	RECORD_EXIT = 3,
};

/* What waited. */
enum wait_kind {
	WAIT_GOROUTINE = 1, /* parked by the Go scheduler; `reason` is a number of the binary's own Go version */
	WAIT_SYSCALL = 2,   /* a thread in a system call; `reason` is its number */
	WAIT_OFF_CPU = 3,   /* a thread that the kernel took off its CPU outside of those; `reason` is an off_cpu_reason */
	WAIT_CGO = 4,       /* a goroutine in C code */
};

/* Beside the kind in the key of a sum: of these waits a part was seen, from the begin of a window, or in one to its end. */
#define WAIT_PARTS 0x100

enum wait_flags {
	WAIT_READY_SEEN = 1 << 0,       /* ready_mono_ns is a measurement */
	WAIT_BY_NETPOLL = 1 << 1,       /* made runnable by the network poller */
	WAIT_STACK_TRUNCATED = 1 << 2,  /* deeper than the configured depth */
	WAIT_STACK_UNREADABLE = 1 << 3, /* a frame could not be read: the stack ends there */
	WAIT_TOP_OF_STACK = 1 << 4,     /* stack[1] is the word that the stack pointer pointed to: a return address only if
	                                   the function of stack[0] has no frame */
	WAIT_OF_SCHEDULER = 1 << 5,     /* the thread ran no goroutine: it was Go's scheduler's own wait */
	WAIT_UNBOUND = 1 << 6,          /* whether the thread ran a goroutine could not be found out */
	WAIT_WAKER_STACK = 1 << 7,      /* the waker's stack is in `wakers` */
};

/* The two ends of a connection, as the socket sees them. IPv4 is written as v4-mapped, whatever the socket's family. */
struct socket_ends {
	__u8 local_address[16];
	__u8 remote_address[16];
	__u16 local_port; /* of the host's byte order, as the remote one */
	__u16 remote_port;
	__u32 netns; /* inode number of its network namespace; 0: not known */
};

/* What a file descriptor stands for, from the kernel's own inode and socket. All zero: not known. */
struct file_info {
	__u32 magic;   /* of its file system (linux/magic.h) */
	__u16 mode;    /* of its inode: S_IFMT and permissions */
	__u16 family;  /* AF_*; 0 unless a socket */
	__u16 protocol;
	__u16 reserved;
	__u32 reserved2;
	struct socket_ends ends; /* of an Internet socket */
	__u8 name[16]; /* of an anonymous inode, as "[eventpoll]" */
};

/*
 * One finished wait: it began, (was made ready,) ended. Sent without the unused tail of `stack`, in which further
 * frames follow those of the one that waited.
 */
struct wait_record {
	__u32 kind;
	__u32 stack_len;
	__u32 tgid;
	__u32 tid; /* the thread that waited, or that ran the goroutine when it parked */
	__u64 goid; /* 0: no goroutine, see the flags */
	__u64 park_mono_ns;
	__u64 park_wall_ns;
	__u64 ready_mono_ns;
	__u64 run_mono_ns;
	__u64 waker_goid; /* 0: not woken by a goroutine */
	__u32 binary;     /* index into `binaries` */
	__u16 reason;     /* see wait_kind */
	__u8 flags;
	__u8 what;        /* wait_kind */
	__u64 address;    /* what a goroutine parked on (a channel's lock, a semaphore root's), or the futex's word; 0: not known */
	__s64 result;     /* what the system call returned */
	__s32 fd;         /* -1: none, or not known */
	__u32 further_len; /* frames behind those of `stack_len`: of a goroutine its waker's, of a thread the kernel's */
	struct file_info file;
	__u64 trace_id_high; /* from the goroutine's labels, as numbers; 0: it has none */
	__u64 trace_id_low;
	__u64 span_id;
	__u32 began_before; /* 1: before park_mono_ns, at which it was found going on */
	__u32 reserved;
	__u64 stack[MAX_STACK + MAX_WAKER_STACK]; /* return addresses, leaf first */
};
#define WAIT_HEADER_BYTES __builtin_offsetof(struct wait_record, stack)

/* A process replaced its program, or ended. */
struct process_record {
	__u32 kind;
	__u32 tgid;
	__u64 mono_ns; /* after everything the former program did, before everything the new one does */
};

/* What g.labels points to. */
enum labels_form {
	LABELS_UNKNOWN = 0, /* they are not read */
	LABELS_MAP = 1,
	LABELS_SLICE = 2,
};

/* Offsets inside the Go runtime's structs for one binary. */
struct binary_layout {
	__u32 g_goid;
	__u32 g_m;
	__u32 g_sched_pc;
	__u32 g_sched_bp;
	__u32 m_curg;
	__u32 polldesc_fd;
	__u32 polldesc_rg;
	__u32 polldesc_wg;
	__u32 g_stack_lo;
	__u32 g_stack_hi;
	__s32 tls_g; /* of the thread's g from its FS base, on arm64 from TPIDR_EL0; 0: not known */
	__u32 m_ncgo;
	__u32 valid; /* 0: this slot holds no binary */
	__u32 g_labels;
	__u32 labels_form;
	__u32 g_coroarg; /* 0: it has none */
	__u32 coroutine_reason; /* the wait reason of a goroutine that has changed over to a coroutine */
	__u32 has_states; /* 1: its goroutines' time is split by state: it has all the probes for that */
	__u32 g_waitreason;
};

/* What is captured of a process. */
enum watch_kinds {
	WATCH_SYSCALL = 1 << 0,
	WATCH_CGO = 1 << 1,
	WATCH_OFF_CPU = 1 << 2,
	WATCH_STATES = 1 << 3, /* how its goroutines spend their time */
	WATCH_PARK = 1 << 4,   /* goroutines that park */
	WATCH_TCP = 1 << 5,    /* its sessions; without it neither of the next two */
	WATCH_TCP_MESSAGES = 1 << 6,
	WATCH_SEND_LATENCY = 1 << 7,
	WATCH_KERNEL_STACKS = 1 << 8, /* where in the kernel its threads wait, in system calls and off their CPUs */
};

/* The slot of a process that is left out. */
#define LEFT_OUT 0xffffffff

/* What holds for one process. */
struct watch {
	__u64 threshold_ns; /* as in capture_config, when a wait ends */
	__u32 slot;         /* of its binary in `binaries`, or LEFT_OUT */
	__u32 kinds;        /* enum watch_kinds, when a wait begins */
	/* Its window, MONO: of what goes on outside of it nothing is captured. until_ns = 0: it is observed all the time. */
	__u64 from_ns;
	__u64 until_ns;
};

/* How a thread came into a program. */
enum way_in {
	WAY_UPROBE = 0,  /* by a trap */
	WAY_SYSCALL = 1, /* the kernel's slower way in or out of a system call */
	WAY_SWITCH = 2,  /* it was going to run this code anyway */
	WAYS_IN,
};

/* Of one process, cumulative per CPU. */
struct cost {
	__u64 hits[WAYS_IN];
	__u64 program_ns[WAYS_IN];
};

/* What holds for all; the threshold and the kinds of processes that are not listed in `watched`. */
struct capture_config {
	__u64 threshold_ns; /* waits at least this long become a record */
	__u32 max_stack;    /* at most MAX_STACK */
	__u32 only_watched; /* 1: only processes listed in `watched` */
	__u32 learn_threads; /* 1: threads are to be bound to goroutines */
	__u32 kinds;         /* enum watch_kinds */
};

enum off_cpu_reason {
	OFF_CPU_PREEMPTED = 1,       /* it could have gone on running */
	OFF_CPU_UNINTERRUPTIBLE = 2, /* in the kernel, for a page or a lock */
	OFF_CPU_INTERRUPTIBLE = 3,   /* asleep in a system call that is not captured */
	OFF_CPU_STOPPED = 4,         /* by a signal or a debugger */
};

enum syscall_flags {
	SYSCALL_TRACED = 1 << 0,      /* it is a wait */
	SYSCALL_FD = 1 << 1,          /* its first argument is a file descriptor */
	SYSCALL_ADDRESS = 1 << 2,     /* its first argument is the address that it waits on */
	SYSCALL_SENDS = 1 << 3,       /* it may send on a socket: none of its bytes has left before it began */
	SYSCALL_SENDS_OFTEN = 1 << 4, /* several times */
};

/* Which system calls are of interest, by number. */
struct syscall_config {
	__u8 flags[SYSCALLS];
};

/* A thread that is in a system call. */
struct in_syscall {
	__u64 mono_ns;
	__u64 wall_ns;
	__u64 woken_mono_ns; /* woken and not running yet; else 0 */
	__u64 run_delay_ns;  /* woken and not running yet, all times together */
	__u32 nr;
	__u32 tgid;
	__u16 was_woken;
	__u16 is_wait; /* it began while its process's calls were captured: it will be told of, whatever holds when it ends */
	__u32 has_sent;
	__u32 found; /* 1: user space found it going on at mono_ns */
	__u32 has_kernel_stack;
};

/* A goroutine in C code. */
struct in_c {
	__u64 mono_ns;
	__u64 wall_ns;
	__u64 goid;
	__u32 tid;
	__u32 found; /* as of in_syscall */
};

/* The runtime.m of a thread. */
struct thread {
	__u64 m;
	__u32 tgid;
	__u32 reserved;
};

/* The goroutine that made another one ready, and where. */
struct waker {
	__u32 stack_len;
	__u32 reserved;
	__u64 stack[MAX_WAKER_STACK];
};

/* Of one process: whose the waits of its threads (in system calls, off their CPUs) were that became records. */
struct binding {
	__u64 bound;      /* to a goroutine */
	__u64 scheduler;  /* the thread ran none */
	__u64 no_thread;  /* not found out: the runtime.m of the thread is not known */
	__u64 unreadable; /* not found out: the memory of the process could not be read */
};

struct clock_config {
	__s64 tai_offset_ns; /* TAI - REALTIME, from adjtimex(2) */
};

struct park_key {
	__u32 tgid;
	__u32 depth; /* of calls to C and back; 0 for a parked goroutine */
	__u64 g; /* address of the runtime.g */
};

/* A goroutine that is parked now. */
struct park {
	__u64 goid;
	__u64 park_mono_ns;
	__u64 park_wall_ns;
	__u64 ready_mono_ns;
	__u64 waker_goid;
	__u64 address;
	__u32 tid;
	__u8 reason;
	__u8 flags;
	__u16 is_part; /* 1: it began before park_mono_ns, at which its process's window did */
	__s32 fd;
	__u32 reserved2;
	__u64 found_pc; /* of one that user space found parked: where it goes on; 0: it was seen parking */
};

struct short_wait_key {
	__u32 tgid;
	__u16 reason;
	__u16 what; /* wait_kind */
};

/* Waits below the threshold, summed up; cumulative per CPU. */
struct short_wait {
	__u64 count;
	__u64 total_ns;
	__u64 histogram[HISTOGRAM_BUCKETS];
};

/*
 * What was seen and what was lost, and why. Two sums hold at rest:
 *   parks + window_found + (put into `parks` by user space) = finished + map_full + map_error + park_replaced + found_stale +
 *           (entries in `parks`, now or removed by user space)
 *   finished + thread_waits = emitted + aggregated + ring_full + aggregate_full + goid_mismatch + execute_fault + scratch_busy +
 *           found_short
 */
enum counter {
	COUNT_PARKS,            /* goroutines that began to wait */
	COUNT_READIES,          /* parked goroutines seen being made ready */
	COUNT_FINISHED,         /* parked goroutines seen running again */
	COUNT_EMITTED,          /* records put into the ring */
	COUNT_AGGREGATED,       /* waits added to `short_waits` */
	COUNT_RING_FULL,        /* lost: no room in the ring */
	COUNT_MAP_FULL,         /* lost: no room in `parks` */
	COUNT_MAP_ERROR,        /* lost: `parks` refused for another cause */
	COUNT_PARK_REPLACED,    /* lost: parked again, its run was never seen */
	COUNT_PARK_FAULT,       /* lost: g unreadable at park, so never counted as parked */
	COUNT_AGGREGATE_FULL,   /* lost: no room in `short_waits` */
	COUNT_GOID_MISMATCH,    /* lost: the g was given to another goroutine meanwhile */
	COUNT_EXECUTE_FAULT,    /* lost: g unreadable when it ran again */
	COUNT_SCRATCH_BUSY,     /* lost: no free slot to build a record in */
	COUNT_STACK_UNREADABLE, /* kept, with a shorter stack */
	COUNT_STACK_TRUNCATED,  /* kept, with a shorter stack */
	COUNT_WAKER_FAULT,      /* kept, without a waker */
	COUNT_NETPOLL_FAULT,    /* kept, without a ready stamp */
	COUNT_EXEC_RING_FULL,   /* an exec notice was lost: user space finds the process at its next scan */
	COUNT_THREAD_WAITS,     /* waits of threads (system calls, off-CPU, cgo) that ended */
	COUNT_THREAD_MAP_FULL,  /* lost: no room in `in_syscalls`, `off_cpus` or `in_c` */
	COUNT_WAKER_STACK_LOST, /* kept, without the waker's stack: no room in `wakers`, or it was unreadable */
	COUNT_LABELS_UNREAD,    /* kept, without a trace that may be among labels not looked at */
	COUNT_LABELS_FAULT,     /* kept, without a trace: labels unreadable */
	COUNT_LABELS_MALFORMED, /* kept, without a trace or a span whose label is none */
	COUNT_FOUND_STALE,      /* user space put it in when it did not wait any more: nothing is told of it */
	COUNT_KERNEL_STACK_LOST, /* kept, without the kernel's stack: others have taken its place in `kernel_stacks`, or it was off its CPU before they were wanted */
	COUNT_FOUND_SHORT,      /* found going on, and ended sooner after that than the threshold: how long it was nobody knows */
	COUNT_WINDOW_FOUND,     /* goroutines that were made ready in a window in which they had not parked */
	COUNTERS,
};

#define ASSERT_SIZE(type, size) _Static_assert(sizeof(type) == (size), "size of " #type)
#define ASSERT_OFFSET(type, field, offset) \
	_Static_assert(__builtin_offsetof(type, field) == (offset), "offset of " #type "." #field)

ASSERT_SIZE(struct socket_ends, 40);
ASSERT_OFFSET(struct socket_ends, remote_address, 16);
ASSERT_OFFSET(struct socket_ends, local_port, 32);
ASSERT_OFFSET(struct socket_ends, remote_port, 34);
ASSERT_OFFSET(struct socket_ends, netns, 36);
ASSERT_SIZE(struct file_info, 72);
ASSERT_OFFSET(struct file_info, mode, 4);
ASSERT_OFFSET(struct file_info, family, 6);
ASSERT_OFFSET(struct file_info, protocol, 8);
ASSERT_OFFSET(struct file_info, ends, 16);
ASSERT_OFFSET(struct file_info, name, 56);
ASSERT_SIZE(struct wait_record, 200 + 8 * (MAX_STACK + MAX_WAKER_STACK));
ASSERT_OFFSET(struct wait_record, stack_len, 4);
ASSERT_OFFSET(struct wait_record, tgid, 8);
ASSERT_OFFSET(struct wait_record, tid, 12);
ASSERT_OFFSET(struct wait_record, goid, 16);
ASSERT_OFFSET(struct wait_record, park_mono_ns, 24);
ASSERT_OFFSET(struct wait_record, park_wall_ns, 32);
ASSERT_OFFSET(struct wait_record, ready_mono_ns, 40);
ASSERT_OFFSET(struct wait_record, run_mono_ns, 48);
ASSERT_OFFSET(struct wait_record, waker_goid, 56);
ASSERT_OFFSET(struct wait_record, binary, 64);
ASSERT_OFFSET(struct wait_record, reason, 68);
ASSERT_OFFSET(struct wait_record, flags, 70);
ASSERT_OFFSET(struct wait_record, what, 71);
ASSERT_OFFSET(struct wait_record, address, 72);
ASSERT_OFFSET(struct wait_record, result, 80);
ASSERT_OFFSET(struct wait_record, fd, 88);
ASSERT_OFFSET(struct wait_record, further_len, 92);
ASSERT_OFFSET(struct wait_record, file, 96);
ASSERT_OFFSET(struct wait_record, trace_id_high, 168);
ASSERT_OFFSET(struct wait_record, trace_id_low, 176);
ASSERT_OFFSET(struct wait_record, span_id, 184);
ASSERT_OFFSET(struct wait_record, began_before, 192);
ASSERT_OFFSET(struct wait_record, stack, 200);
ASSERT_SIZE(struct process_record, 16);
ASSERT_OFFSET(struct process_record, tgid, 4);
ASSERT_OFFSET(struct process_record, mono_ns, 8);
ASSERT_SIZE(struct binary_layout, 76);
ASSERT_OFFSET(struct binary_layout, g_goid, 0);
ASSERT_OFFSET(struct binary_layout, g_m, 4);
ASSERT_OFFSET(struct binary_layout, g_sched_pc, 8);
ASSERT_OFFSET(struct binary_layout, g_sched_bp, 12);
ASSERT_OFFSET(struct binary_layout, m_curg, 16);
ASSERT_OFFSET(struct binary_layout, polldesc_fd, 20);
ASSERT_OFFSET(struct binary_layout, polldesc_rg, 24);
ASSERT_OFFSET(struct binary_layout, polldesc_wg, 28);
ASSERT_OFFSET(struct binary_layout, g_stack_lo, 32);
ASSERT_OFFSET(struct binary_layout, g_stack_hi, 36);
ASSERT_OFFSET(struct binary_layout, tls_g, 40);
ASSERT_OFFSET(struct binary_layout, m_ncgo, 44);
ASSERT_OFFSET(struct binary_layout, valid, 48);
ASSERT_OFFSET(struct binary_layout, g_labels, 52);
ASSERT_OFFSET(struct binary_layout, labels_form, 56);
ASSERT_OFFSET(struct binary_layout, g_coroarg, 60);
ASSERT_OFFSET(struct binary_layout, coroutine_reason, 64);
ASSERT_OFFSET(struct binary_layout, has_states, 68);
ASSERT_OFFSET(struct binary_layout, g_waitreason, 72);
ASSERT_SIZE(struct capture_config, 24);
ASSERT_OFFSET(struct capture_config, threshold_ns, 0);
ASSERT_OFFSET(struct capture_config, max_stack, 8);
ASSERT_OFFSET(struct capture_config, only_watched, 12);
ASSERT_OFFSET(struct capture_config, learn_threads, 16);
ASSERT_OFFSET(struct capture_config, kinds, 20);
ASSERT_SIZE(struct watch, 32);
ASSERT_OFFSET(struct watch, slot, 8);
ASSERT_OFFSET(struct watch, kinds, 12);
ASSERT_OFFSET(struct watch, from_ns, 16);
ASSERT_OFFSET(struct watch, until_ns, 24);
ASSERT_SIZE(struct cost, 48);
ASSERT_OFFSET(struct cost, program_ns, 24);
ASSERT_SIZE(struct in_syscall, 56);
ASSERT_OFFSET(struct in_syscall, is_wait, 42);
ASSERT_SIZE(struct syscall_config, SYSCALLS);
ASSERT_SIZE(struct clock_config, 8);
ASSERT_SIZE(struct binding, 32);
ASSERT_SIZE(struct park_key, 16);
ASSERT_OFFSET(struct park_key, tgid, 0);
ASSERT_OFFSET(struct park_key, g, 8);
ASSERT_SIZE(struct in_c, 32);
ASSERT_SIZE(struct park, 72);
ASSERT_OFFSET(struct park, park_mono_ns, 8);
ASSERT_OFFSET(struct park, found_pc, 64);
ASSERT_SIZE(struct short_wait_key, 8);
ASSERT_OFFSET(struct short_wait_key, reason, 4);
ASSERT_OFFSET(struct short_wait_key, what, 6);
ASSERT_SIZE(struct short_wait, 16 + 8 * HISTOGRAM_BUCKETS);
ASSERT_OFFSET(struct short_wait, total_ns, 8);
ASSERT_OFFSET(struct short_wait, histogram, 16);
_Static_assert(COUNTERS == 29, "number of counters");

#endif
