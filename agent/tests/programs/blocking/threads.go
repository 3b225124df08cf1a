package main

import (
	"os"
	"runtime"
	"strconv"
	"syscall"
)

// shortThreads has goroutines one after the other that each block in a call on a thread of their own, which ends with them. The next
// thread that is made gets the number of the first one that ended, if it has by then and we may have the kernel do that.
func shortThreads(count int) {
	first := 0
	for i := 0; i < count; i++ {
		ended := make(chan int)
		go func() {
			// It is not unlocked: the thread ends with the goroutine.
			runtime.LockOSThread()
			trace := here()
			left := syscall.NsecToTimespec(hold.Nanoseconds())
			for syscall.Nanosleep(&left, &left) == syscall.EINTR {
			}
			report(map[string]any{"event": "slept", "goid": goroutineOf(trace), "tid": syscall.Gettid()})
			ended <- syscall.Gettid()
		}()
		tid := <-ended
		if first == 0 && tid != os.Getpid() {
			first = tid
		}
		if first != 0 {
			// Fails only where we may not.
			_ = os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(first-1)), 0)
		}
	}
}
