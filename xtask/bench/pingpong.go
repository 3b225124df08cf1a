package main

// pingPong is two goroutines and two unbuffered channels. One operation is there and back: each of the two goroutines
// blocks once.
type pingPong struct{}

func (pingPong) do(n int) error {
	ping, pong := make(chan int), make(chan int)
	go func() {
		for value := range ping {
			pong <- value
		}
	}()
	for i := 0; i < n; i++ {
		ping <- i
		<-pong
	}
	close(ping)
	return nil
}
