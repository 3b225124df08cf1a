package main

import (
	"bufio"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// runChurn has n pairs of goroutines that hand a value to and fro as fast as they can, and two goroutines that wait for a moment and
// then compute for long, so that they are made to yield; idle ones and one more hang. At the next line all but those end.
func runChurn(input *bufio.Reader, n, idle int) {
	ids := make(chan uint64, 1)
	go func() {
		ids <- goid()
		<-make(chan int)
	}()
	hung := <-ids
	awaitParked(hung)
	var stop atomic.Bool
	var busy sync.WaitGroup
	// Else those who compute keep a machine of two processors to themselves, and hardly a value is handed on.
	runtime.GOMAXPROCS(4)
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
	for i := 0; i < idle; i++ {
		go hangIdly()
	}
	report(map[string]any{"event": "churning", "hung": hung})
	awaitLine(input)
	stop.Store(true)
	busy.Wait()
}

func hangIdly() {
	<-make(chan int)
}
