package main

import (
	"sync"
	"time"
)

// A place is a function in which a goroutine blocks a known number of times, each time until the main goroutine has seen it
// parked, and has held it there for a while.
type place struct {
	function string
	times    int
	block    func()
	wake     func()
}

// runSites blocks in known places and reports how often in each, and for how long at least.
func runSites() {
	for _, p := range places() {
		for i := 0; i < p.times; i++ {
			blockOnce(p)
		}
		report(map[string]any{
			"event": "blocked", "function": p.function, "count": p.times, "each_ns": hold.Nanoseconds(),
			"waker": goid(),
		})
	}
}

func places() []place {
	c := make(chan int)
	var m sync.Mutex
	m.Lock()
	return []place{
		{"main.receiveOften", 20, func() { receiveOften(c) }, func() { c <- 1 }},
		{"main.lockSometimes", 7, func() { lockSometimes(&m) }, func() { m.Unlock() }},
	}
}

func blockOnce(p place) {
	ids := make(chan uint64, 1)
	finished := make(chan struct{}, 1)
	go func() {
		ids <- goid()
		p.block()
		finished <- struct{}{}
	}()
	awaitParked(<-ids)
	time.Sleep(hold)
	p.wake()
	<-finished
}

//go:noinline
func receiveOften(c chan int) { <-c }

// The mutex is locked before, and is afterwards.
//
//go:noinline
func lockSometimes(m *sync.Mutex) { m.Lock() }
