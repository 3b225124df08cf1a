//go:build go1.23

package main

import (
	"iter"
	"syscall"
)

func init() { pulled = append(pulled, coroutine) }

// coroutine makes its call inside of iter.Pull: the goroutine that makes it was switched to directly, not by the scheduler.
func coroutine() call {
	next, _ := iter.Pull(func(yield func(outcome) bool) {
		for yield(sleepInside()) {
		}
	})
	return call{name: "nanosleep", fd: -1, once: func() (string, error) {
		o, _ := next()
		return o.trace, o.err
	}}
}

type outcome struct {
	trace string
	err   error
}

func sleepInside() outcome {
	trace, err := here(), syscall.Nanosleep(span(), nil)
	return outcome{trace, err}
}
