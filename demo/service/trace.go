package main

import (
	"context"
	"fmt"
	"runtime/pprof"
)

// traced gives the calling goroutine the trace of a request, as tracers' bridges to profilers do: a label that
// Syncline finds on every wait.
func traced(id uint64) {
	labels := pprof.Labels("trace_id", fmt.Sprintf("%032x", id))
	pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), labels))
}

// untraced ends it: what the goroutine waits for from here on is of no request.
func untraced() {
	pprof.SetGoroutineLabels(context.Background())
}
