package main

import "time"

// paced does channel round trips at fixed times, so many a second: the program has time to spare.
type paced struct {
	rate int
}

// run times each from when it was due.
func (p paced) run(length time.Duration) (work, error) {
	ping, pong := answered()
	defer close(ping)
	var done work
	for began := time.Now(); ; done.ops++ {
		due := began.Add(dueAfter(done.ops, p.rate))
		if due.Sub(began) >= length {
			return done, nil
		}
		time.Sleep(time.Until(due))
		ping <- done.ops
		<-pong
		done.took = append(done.took, time.Since(due))
	}
}

// dueAfter is when operation number n is to begin.
func dueAfter(n, rate int) time.Duration {
	return time.Duration(int64(n) * int64(time.Second) / int64(rate))
}

// park leaves n goroutines that wait for what never comes.
func park(n int) {
	never := make(chan int)
	for i := 0; i < n; i++ {
		go func() { <-never }()
	}
}
