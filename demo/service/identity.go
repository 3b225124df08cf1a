package main

import (
	"bytes"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"
)

const clockMonotonic = 1

// monotonicNanos reads CLOCK_MONOTONIC as the kernel's probes see it. The time package hides that number, so the
// system call is made here.
func monotonicNanos() int64 {
	var ts syscall.Timespec
	_, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&ts)), 0)
	if errno != 0 {
		panic("clock_gettime: " + errno.Error())
	}
	return ts.Nano()
}

// goroutineID is the number in the first line of the goroutine's own stack: "goroutine 17 [running]:".
func goroutineID() uint64 {
	var b [64]byte
	fields := bytes.Fields(b[:runtime.Stack(b[:], false)])
	if len(fields) < 2 {
		return 0
	}
	id, err := strconv.ParseUint(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return id
}
