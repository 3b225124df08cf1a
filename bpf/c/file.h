/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* What a file descriptor of the current process stands for. */
#ifndef SYNCLINE_FILE_H
#define SYNCLINE_FILE_H

#include <linux/magic.h>

#include "kernel_types.h"
#include "maps.h"
#include "socket.h"

#define FILE_TYPE_BITS 0170000
#define FILE_TYPE_SOCKET 0140000

static __always_inline void describe_socket(struct file_info *info, const struct socket *socket)
{
	struct sock *sk = BPF_CORE_READ(socket, sk);

	if (!sk)
		return;
	info->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	info->protocol = BPF_CORE_READ(sk, sk_protocol);
	if (info->family == AF_INET_FAMILY || info->family == AF_INET6_FAMILY)
		read_ends(&info->ends, sk);
}

/* Leaves all zero what cannot be found out: the descriptor may be closed, or another one by now. */
static __always_inline void describe_file(struct file_info *info, __s32 fd)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct fdtable *table;
	struct file **slots, *file = 0;
	struct inode *inode;

	__builtin_memset(info, 0, sizeof(*info));
	if (fd < 0)
		return;
	table = BPF_CORE_READ(task, files, fdt);
	if (!table || (__u32)fd >= BPF_CORE_READ(table, max_fds))
		return;
	slots = BPF_CORE_READ(table, fd);
	if (bpf_probe_read_kernel(&file, sizeof(file), slots + fd) || !file)
		return;
	inode = BPF_CORE_READ(file, f_inode);
	info->mode = BPF_CORE_READ(inode, i_mode);
	info->magic = BPF_CORE_READ(inode, i_sb, s_magic);
	if ((info->mode & FILE_TYPE_BITS) == FILE_TYPE_SOCKET)
		describe_socket(info, BPF_CORE_READ(file, private_data));
	else if (info->magic == ANON_INODE_FS_MAGIC)
		bpf_probe_read_kernel_str(info->name, sizeof(info->name), BPF_CORE_READ(file, f_path.dentry, d_name.name));
}

#endif
