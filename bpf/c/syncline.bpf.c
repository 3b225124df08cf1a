/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* The one BPF object: the samplers share the ring, the configuration and the counters. */
#include "cgo.h"
#include "cost.h"
#include "goroutine.h"
#include "off_cpu.h"
#include "process.h"
#include "states.h"
#include "syscall.h"
#include "tcp.h"

/* bpf_probe_read_user and others are only for programs whose licence is compatible with the kernel's. */
char _license[] SEC("license") = "GPL";
