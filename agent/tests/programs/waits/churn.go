package main

import (
	"bufio"
	"sync"
	"sync/atomic"
	"time"
)

// runChurn has n pairs of goroutines that hand a value to and fro as fast as they can, and two goroutines that wait for a moment and
// then compute for long, so that they are made to yield; one more hangs. At the next line all but that one end.
func runChurn(input *bufio.Reader, n int) {
	ids := make(chan uint64, 1)
	go func() {
		ids <- goid()
		<-make(chan int)
	}()
	hung := <-ids
	awaitParked(hung)
	var stop atomic.Bool
	var busy sync.WaitGroup
	busy.Add(2*n + 2)
	for i := 0; i < n; i++ {
		there, back := make(chan int), make(chan int)
		go func() {
			defer busy.Done()
			for v := range there {
				back <- v
			}
		}()
		go func() {
			defer busy.Done()
			defer close(there)
			for !stop.Load() {
				there <- 1
				<-back
			}
		}()
	}
	for i := 0; i < 2; i++ {
		go func() {
			defer busy.Done()
			for !stop.Load() {
				time.Sleep(time.Millisecond)
				for began := time.Now(); time.Since(began) < 30*time.Millisecond && !stop.Load(); {
				}
			}
		}()
	}
	report(map[string]any{"event": "churning", "hung": hung})
	awaitLine(input)
	stop.Store(true)
	busy.Wait()
}
