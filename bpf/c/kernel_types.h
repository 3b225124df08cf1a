/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * The parts of the kernel's own structs that are read. Where they lie is found out when the object is loaded (CO-RE), from the
 * running kernel's BTF: only the names count here.
 */
#ifndef SYNCLINE_KERNEL_TYPES_H
#define SYNCLINE_KERNEL_TYPES_H

#include <linux/types.h>
#include <linux/in6.h>
#include <bpf/bpf_core_read.h>

#include "regs.h"

#define AF_INET_FAMILY 2
#define AF_INET6_FAMILY 10
#define IPPROTO_TCP_NUMBER 6
#define MSG_PEEK_FLAG 2
#define TCP_STATE_ESTABLISHED 1
#define TCP_STATE_SYN_SENT 2
#define TCP_STATE_SYN_RECV 3
#define TCP_STATE_FIN_WAIT1 4
#define TCP_STATE_FIN_WAIT2 5
#define TCP_STATE_CLOSE 7
#define TCP_STATE_LAST_ACK 9
#define TCP_STATE_LISTEN 10
#define TCP_STATE_CLOSING 11
/* A bit of task_struct.flags: the thread is ending. */
#define PF_EXITING 4
/* enum sock_flags: the peer has sent its FIN. */
#define SOCK_DONE_BIT 1

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct super_block { unsigned long s_magic; };
struct inode { unsigned short i_mode; struct super_block *i_sb; };
struct qstr { const unsigned char *name; };
struct dentry { struct qstr d_name; };
struct path { struct dentry *dentry; };
struct file { struct inode *f_inode; struct path f_path; void *private_data; };
struct fdtable { unsigned int max_fds; struct file **fd; };
struct files_struct { struct fdtable *fdt; };

typedef struct { int counter; } atomic_t;
struct signal_struct { atomic_t live; };
struct task_struct {
	int pid;
	unsigned int flags;
	unsigned int __state;
	struct thread_struct thread;
	struct files_struct *files;
	struct signal_struct *signal;
};

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

typedef struct {
	struct net *net;
} possible_net_t;

struct sock_common {
	__u32 skc_daddr;
	__u32 skc_rcv_saddr;
	__u16 skc_dport; /* network byte order */
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	possible_net_t skc_net;
	unsigned long skc_flags;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
};

typedef struct {
	int owned;
} socket_lock_t;

struct sock {
	struct sock_common __sk_common;
	socket_lock_t sk_lock;
	int sk_err;
	__u16 sk_protocol;
	__u16 sk_type;
};

struct sk_buff {
	unsigned char *data;
};

struct socket {
	struct sock *sk;
};

struct minmax_sample {
	__u32 t;
	__u32 v;
};

struct minmax {
	struct minmax_sample s[3];
};

struct tcp_sock {
	__u64 bytes_acked;
	__u64 bytes_sent;
	__u64 bytes_retrans;
	__u64 bytes_received;
	__u32 copied_seq;
	__u32 write_seq;
	__u32 snd_una;
	__u32 snd_nxt;
	__u32 srtt_us;
	__u32 total_retrans;
	struct minmax rtt_min;
};

#pragma clang attribute pop

#endif
