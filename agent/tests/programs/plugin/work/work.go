// Work is loaded by its parent.
package main

import (
	"runtime"
	"time"
)

const hold = 200 * time.Millisecond

// Wait waits, and gives the stack trace of its goroutine from the line at which it did.
func Wait() string { return inner(time.After(hold)) }

//go:noinline
func inner(done <-chan time.Time) string {
	// In one line, so that the trace has the line of the wait.
	return traceAfter(<-done)
}

func traceAfter(time.Time) string {
	buffer := make([]byte, 1<<16)
	return string(buffer[:runtime.Stack(buffer, false)])
}

func main() {}
