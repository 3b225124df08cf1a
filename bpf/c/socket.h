/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The two ends of an Internet socket. */
#ifndef SYNCLINE_SOCKET_H
#define SYNCLINE_SOCKET_H

#include "kernel_types.h"
#include "maps.h"

static __always_inline void map_ipv4(__u8 *into, __u32 address)
{
	__builtin_memset(into, 0, 10);
	into[10] = 0xff;
	into[11] = 0xff;
	__builtin_memcpy(into + 12, &address, sizeof(address));
}

static __always_inline void read_ends(struct socket_ends *ends, struct sock *sk)
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

#endif
