/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Registers of the probed program, as a uprobe's context lays them out on amd64 (struct pt_regs of the UAPI). A plain
 * local struct: with CO-RE relocations on pt_regs the verifier refuses "dereference of modified ctx ptr".
 */
#ifndef SYNCLINE_REGS_H
#define SYNCLINE_REGS_H

#include <linux/types.h>

struct user_regs {
	__u64 r15, r14, r13, r12, rbp, rbx;
	__u64 r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
	__u64 orig_rax, rip, cs, rflags, rsp, ss;
};

/* Go's internal calling convention (ABIInternal): g in r14; integer arguments in rax, rbx, rcx, rdi, rsi, ... */
#define GO_G(regs) ((regs)->r14)
#define GO_ARG1(regs) ((regs)->rax)
#define GO_ARG2(regs) ((regs)->rbx)
#define GO_ARG3(regs) ((regs)->rcx)

/* A call instruction with a displacement of 32 bits. */
#define CALL_BYTES 5

#endif
