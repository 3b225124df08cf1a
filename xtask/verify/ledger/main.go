// A program that blocks: pairs of goroutines that hand each other a token, and goroutines that park together on one channel, again and
// again. It works from the line "go" on its input until that is closed.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
)

func main() {
	pairs := flag.Int("pairs", 0, "pairs of goroutines that hand each other a token")
	crowd := flag.Int("crowd", 0, "goroutines that park together")
	flag.Parse()
	input := bufio.NewScanner(os.Stdin)
	fmt.Println("ready")
	input.Scan()
	var stop atomic.Bool
	var handed atomic.Uint64
	var working sync.WaitGroup
	for range make([]struct{}, *pairs) {
		working.Add(2)
		there, back := make(chan struct{}), make(chan struct{})
		go func() {
			defer working.Done()
			for !stop.Load() {
				there <- struct{}{}
				<-back
				handed.Add(1)
			}
			close(there)
		}()
		go func() {
			defer working.Done()
			for range there {
				back <- struct{}{}
			}
		}()
	}
	if *crowd > 0 {
		working.Add(1)
		go func() {
			defer working.Done()
			for !stop.Load() {
				parkTogether(*crowd)
				fmt.Println("together")
			}
		}()
	}
	for input.Scan() {
	}
	stop.Store(true)
	working.Wait()
	fmt.Println("handed", handed.Load())
}

// parkTogether returns once so many goroutines have parked and run again.
func parkTogether(crowd int) {
	gate := make(chan struct{})
	var parked, done sync.WaitGroup
	parked.Add(crowd)
	done.Add(crowd)
	for range make([]struct{}, crowd) {
		go func() {
			parked.Done()
			<-gate
			done.Done()
		}()
	}
	parked.Wait()
	close(gate)
	done.Wait()
}
