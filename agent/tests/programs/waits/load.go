package main

import (
	"bufio"
	"sync"
	"sync/atomic"
)

// runPingPong blocks as often as it can: each handover parks one goroutine and wakes the other.
func runPingPong(input *bufio.Reader) {
	ping, pong := make(chan int), make(chan int)
	var stop atomic.Bool
	handovers := 0
	go func() {
		for v := range ping {
			pong <- v + 1
		}
		close(pong)
	}()
	go func() {
		awaitLine(input)
		stop.Store(true)
	}()
	for !stop.Load() {
		ping <- handovers
		handovers = <-pong
	}
	close(ping)
	report(map[string]any{"event": "handovers", "count": handovers})
}

// runCrowd parks n goroutines and releases them all at once; when the last one is through, the next round begins. One more
// goroutine is parked all the time, and still is when the program ends.
func runCrowd(n, rounds int) {
	ids := make(chan uint64, 1)
	go func() {
		ids <- goid()
		<-make(chan int)
	}()
	awaitParked(<-ids)
	for round := 0; round < rounds; round++ {
		gate := make(chan struct{})
		var waiting, through sync.WaitGroup
		waiting.Add(n)
		through.Add(n)
		for i := 0; i < n; i++ {
			go func() {
				waiting.Done()
				<-gate
				through.Done()
			}()
		}
		waiting.Wait()
		close(gate)
		through.Wait()
	}
	report(map[string]any{"event": "released", "count": n * rounds})
}
