/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * What the TCP sampler reads of the kernel's own structs: only the fields named here, found by name (CO-RE). Kernels
 * that lack one refuse the program that reads it, and the agent says so and goes on without.
 */
#ifndef SYNCLINE_TCP_KERNEL_H
#define SYNCLINE_TCP_KERNEL_H

#include <linux/types.h>
#include <linux/in6.h>
#include <bpf/bpf_core_read.h>

#define KERNEL_STRUCT __attribute__((preserve_access_index))

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
/* enum sock_flags: the peer has sent its FIN. */
#define SOCK_DONE_BIT 1

struct ns_common {
	unsigned int inum;
} KERNEL_STRUCT;

struct net {
	struct ns_common ns;
} KERNEL_STRUCT;

typedef struct {
	struct net *net;
} KERNEL_STRUCT possible_net_t;

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
} KERNEL_STRUCT;

typedef struct {
	int owned;
} KERNEL_STRUCT socket_lock_t;

struct sock {
	struct sock_common __sk_common;
	socket_lock_t sk_lock;
	int sk_err;
	__u16 sk_protocol;
	__u16 sk_type;
} KERNEL_STRUCT;

struct socket {
	struct sock *sk;
} KERNEL_STRUCT;

struct minmax_sample {
	__u32 t;
	__u32 v;
} KERNEL_STRUCT;

struct minmax {
	struct minmax_sample s[3];
} KERNEL_STRUCT;

struct tcp_sock {
	__u64 bytes_acked;
	__u64 bytes_sent;
	__u64 bytes_retrans;
	__u64 bytes_received;
	__u32 copied_seq;
	__u32 write_seq;
	__u32 snd_una;
	__u32 srtt_us;
	__u32 total_retrans;
	struct minmax rtt_min;
} KERNEL_STRUCT;

#endif
