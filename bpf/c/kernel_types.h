/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * The parts of the kernel's own structs that are read. Where they lie is found out when the object is loaded (CO-RE), from the
 * running kernel's BTF: only the names count here. Sockets are in tcp_kernel.h.
 */
#ifndef SYNCLINE_KERNEL_TYPES_H
#define SYNCLINE_KERNEL_TYPES_H

#include <linux/types.h>
#include <bpf/bpf_core_read.h>

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct super_block { unsigned long s_magic; };
struct inode { unsigned short i_mode; struct super_block *i_sb; };
struct qstr { const unsigned char *name; };
struct dentry { struct qstr d_name; };
struct path { struct dentry *dentry; };
struct file { struct inode *f_inode; struct path f_path; void *private_data; };
struct fdtable { unsigned int max_fds; struct file **fd; };
struct files_struct { struct fdtable *fdt; };

struct thread_struct { unsigned long fsbase; };
struct task_struct { int pid; unsigned int __state; struct thread_struct thread; struct files_struct *files; };

#pragma clang attribute pop

#endif
