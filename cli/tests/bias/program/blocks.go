package main

import (
	"io"
	"net"
	"sync"
	"time"
)

// rounds blocks n times of each kind, and some 20 n times for 40 us in a channel.
func rounds(n int) {
	var all sync.WaitGroup
	for _, work := range []func(int){channel, lock, choice, network, sleep} {
		all.Add(1)
		go func(work func(int)) {
			defer all.Done()
			work(n)
		}(work)
	}
	all.Wait()
}

// channel waits 20 n times for somebody who is busy for 40 us each time.
func channel(n int) {
	values := make(chan int)
	asked := make(chan struct{}, 1)
	go func() {
		for range asked {
			busy(40 * time.Microsecond)
			values <- 1
		}
	}()
	for i := 0; i < 20*n; i++ {
		asked <- struct{}{}
		<-values
	}
	close(asked)
}

// lock waits for a lock that is held for 4 ms.
func lock(n int) {
	var mutex sync.Mutex
	for i := 0; i < n; i++ {
		held := make(chan struct{})
		go func() {
			mutex.Lock()
			close(held)
			time.Sleep(4 * time.Millisecond)
			mutex.Unlock()
		}()
		<-held
		mutex.Lock()
		mutex.Unlock()
	}
}

// choice waits in a select for 15 ms.
func choice(n int) {
	never := make(chan int)
	for i := 0; i < n; i++ {
		select {
		case <-never:
		case <-time.After(15 * time.Millisecond):
		}
	}
}

// network waits for an answer for 3 ms.
func network(n int) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer listener.Close()
	go func() {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		question := make([]byte, 1)
		for {
			if _, err := io.ReadFull(connection, question); err != nil {
				return
			}
			time.Sleep(3 * time.Millisecond)
			connection.Write(question)
		}
	}()
	connection, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		panic(err)
	}
	defer connection.Close()
	for i := 0; i < n; i++ {
		connection.Write([]byte{1})
		if _, err := io.ReadFull(connection, make([]byte, 1)); err != nil {
			panic(err)
		}
	}
}

func sleep(n int) {
	for i := 0; i < n; i++ {
		time.Sleep(5 * time.Millisecond)
	}
}

func busy(length time.Duration) {
	for begin := time.Now(); time.Since(begin) < length; {
	}
}
