package main

import (
	"sync"
	"time"
)

const (
	contenders = 8
	// Longer than the runtime spins before it parks.
	held = 5 * time.Microsecond
)

// contended is goroutines that want one mutex. One operation is to have had it.
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
