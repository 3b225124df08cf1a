/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * All that depends on the processor: registers of Go's internal calling convention (ABIInternal) and of system calls, where a thread
 * has its thread-local storage, and what is on top of the stack. One section for each.
 *
 * struct user_regs is the begin of the kernel's struct pt_regs, which is also the context of a uprobe. A plain local struct: with CO-RE
 * relocations on pt_regs the verifier refuses "dereference of modified ctx ptr".
 */
#ifndef SYNCLINE_REGS_H
#define SYNCLINE_REGS_H

#include <linux/types.h>
#include <bpf/bpf_core_read.h>

#define ASSERT_REGISTER(field, offset)                                                                                 \
	_Static_assert(__builtin_offsetof(struct user_regs, field) == (offset), "offset of a register")

#if defined(__TARGET_ARCH_x86)

struct user_regs {
	__u64 r15, r14, r13, r12, rbp, rbx;
	__u64 r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
	__u64 orig_rax, rip, cs, rflags, rsp, ss;
};
ASSERT_REGISTER(orig_rax, 120);

#define GO_G(regs) ((regs)->r14)
#define GO_ARG1(regs) ((regs)->rax)
#define GO_ARG2(regs) ((regs)->rbx)
#define GO_ARG3(regs) ((regs)->rcx)

#define REGS_PC(regs) ((regs)->rip)
#define REGS_SP(regs) ((regs)->rsp)
#define REGS_FP(regs) ((regs)->rbp)

/* A call instruction with a displacement of 32 bits. */
#define CALL_BYTES 5

/* The probed push is passed once. */
#define PASSES_AGAIN(regs) 0

/* Names of fields; the first argument is still there when the call is over. */
#define SYSCALL_NR orig_rax
#define SYSCALL_ARG1 rdi
#define SYSCALL_ARG2 rsi
#define NR_FUTEX 202

struct thread_struct {
	unsigned long fsbase;
} __attribute__((preserve_access_index));

#define THREAD_POINTER(task) BPF_CORE_READ(task, thread.fsbase)

/* The return address of a function that has not made its frame yet, or makes none: the call has pushed it. */
#define READ_RETURN_ADDRESS(into, regs) bpf_probe_read_user(into, sizeof(*(into)), (void *)(regs)->rsp)

#elif defined(__TARGET_ARCH_arm64)

struct user_regs {
	__u64 x[31], sp, pc, pstate;
	/* From here on only where the registers are the kernel's copy: of a system call, or of a thread off its CPU. */
	__u64 orig_x0;
	__s32 syscallno;
	__u32 rest;
};
ASSERT_REGISTER(pstate, 264);
ASSERT_REGISTER(syscallno, 280);

#define GO_G(regs) ((regs)->x[28])
#define GO_ARG1(regs) ((regs)->x[0])
#define GO_ARG2(regs) ((regs)->x[1])
#define GO_ARG3(regs) ((regs)->x[2])

#define REGS_PC(regs) ((regs)->pc)
#define REGS_SP(regs) ((regs)->sp)
#define REGS_FP(regs) ((regs)->x[29])

#define CALL_BYTES 4

/*
 * The probe is on the branch of the stack guard, `b.ls`: taken with C clear or Z set. Then the stack grows, or the goroutine yields, and
 * the function begins anew.
 */
#define PSTATE_Z (1ULL << 30)
#define PSTATE_C (1ULL << 29)
#define PASSES_AGAIN(regs) (((regs)->pstate & (PSTATE_C | PSTATE_Z)) != PSTATE_C)

/* Names of fields; x0 holds the result when the call is over. */
#define SYSCALL_NR syscallno
#define SYSCALL_ARG1 orig_x0
#define SYSCALL_ARG2 x[1]
#define NR_FUTEX 98

struct thread_struct {
	struct {
		unsigned long tp_value;
	} uw;
} __attribute__((preserve_access_index));

/* Of the current thread it is as it was when that last left its CPU. A thread sets it once, as it begins. */
#define THREAD_POINTER(task) BPF_CORE_READ(task, thread.uw.tp_value)

/* As on amd64; the call has put it into x30. */
#define READ_RETURN_ADDRESS(into, regs) (*(into) = (regs)->x[30], 0)

#else
#error "compile with -D__TARGET_ARCH_x86 or -D__TARGET_ARCH_arm64"
#endif

#endif
