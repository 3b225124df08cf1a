package main

import "time"

// timedEach: of so many operations one is timed; reading the clock for each would be a part of what is measured.
const timedEach = 64

// pingPong is two goroutines and two unbuffered channels. One operation is there and back: each of the two goroutines
// blocks once.
type pingPong struct{}

func (pingPong) run(length time.Duration) (work, error) {
	ping, pong := answered()
	defer close(ping)
	var done work
	for began := time.Now(); ; {
		start := time.Now()
		if start.Sub(began) >= length {
			return done, nil
		}
		ping <- 0
		<-pong
		done.took = append(done.took, time.Since(start))
		for i := 1; i < timedEach; i++ {
			ping <- i
			<-pong
		}
		done.ops += timedEach
	}
}

// answered has a goroutine that answers whatever comes, until ping is closed.
func answered() (ping, pong chan int) {
	ping, pong = make(chan int), make(chan int)
	go func() {
		for value := range ping {
			pong <- value
		}
	}()
	return ping, pong
}
