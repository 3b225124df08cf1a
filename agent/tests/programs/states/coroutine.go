//go:build go1.23

package main

import (
	"iter"
	"time"
)

// A loop over a generator that runs as a coroutine, on a goroutine of its own.
var coroutine = func() {
	next, stop := iter.Pull(iter.Seq[int](func(yield func(int) bool) {
		for i := 0; i < rounds && yield(i); i++ {
			time.Sleep(nap)
		}
	}))
	defer stop()
	for {
		if _, ok := next(); !ok {
			return
		}
	}
}
