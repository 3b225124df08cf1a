package main

import (
	"runtime"
	"sync"
	"time"
)

const (
	contenders = 8
	// Longer than the runtime spins before it parks.
	held = 5 * time.Microsecond
)

// contended is goroutines that want one mutex, and park for it. One operation is to have had it.
type contended struct {
	mutex sync.Mutex
}

func (c *contended) run(length time.Duration) (work, error) {
	began := time.Now()
	return together(contenders, func(int) (work, error) {
		var done work
		for start := began; start.Sub(began) < length; {
			c.mutex.Lock()
			busy(held)
			// Whoever runs now finds it held, and parks. Otherwise hardly anybody would on few processors.
			runtime.Gosched()
			c.mutex.Unlock()
			now := time.Now()
			done.took = append(done.took, now.Sub(start))
			done.ops++
			start = now
		}
		return done, nil
	})
}

func busy(length time.Duration) {
	for begin := time.Now(); time.Since(begin) < length; {
	}
}
