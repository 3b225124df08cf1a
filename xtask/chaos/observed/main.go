// Observed waits all the time, in ways that an agent sees: pairs of goroutines that hand each other something, a lock that is held for a while, and
// sleeps. It ends when it is killed.
package main

import (
	"fmt"
	"sync"
	"time"
)

const (
	pairs = 10
	pause = 5 * time.Millisecond
)

func main() {
	var mu sync.Mutex
	for i := 0; i < pairs; i++ {
		requests, replies := make(chan int), make(chan int)
		go func() {
			for request := range requests {
				time.Sleep(pause)
				replies <- request
			}
		}()
		go func() {
			for n := 0; ; n++ {
				requests <- n
				if <-replies != n {
					panic("another reply")
				}
				mu.Lock()
				time.Sleep(pause / 2)
				mu.Unlock()
			}
		}()
	}
	fmt.Println("waiting")
	select {}
}
