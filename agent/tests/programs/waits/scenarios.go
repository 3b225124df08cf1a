package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

// A scenario is one way to wait. The waiter runs `wait` on a goroutine of its own; the main goroutine calls `wake` once it
// has seen it parked (nil: it wakes by itself).
type scenario struct {
	name string
	wait func()
	wake func()
	// Of what is waited for: what its descriptor stands for, and the ends of its connection.
	fileType, local, peer string
}

// hold is how long a waiter is left parked, well above the capture's threshold.
const hold = 5 * time.Millisecond

func runScenarios() {
	for round := 0; round < 3; round++ {
		for _, s := range scenarios() {
			report(play(s))
		}
	}
}

// play runs one scenario and tells what the program itself knows about it.
func play(s scenario) map[string]any {
	began := time.Now()
	ids := make(chan uint64, 1)
	finished := make(chan struct{}, 1)
	go func() {
		ids <- goid()
		s.wait()
		finished <- struct{}{}
	}()
	waiter := <-ids
	trace := awaitParked(waiter)
	parked := time.Now()
	if s.wake != nil {
		time.Sleep(hold)
		s.wake()
	}
	<-finished
	return map[string]any{
		"event": "waited", "scenario": s.name, "goid": waiter, "waker": goid(), "trace": trace,
		"began_wall_ns": began.UnixNano(), "parked_wall_ns": parked.UnixNano(), "took_ns": time.Since(began).Nanoseconds(),
		"woken": s.wake != nil, "file_type": s.fileType, "local": s.local, "peer": s.peer,
	}
}

func scenarios() []scenario {
	return []scenario{
		chanReceive(), chanSend(), chanClosed(), selectTwo(), mutex(), rwMutexRead(), rwMutexWrite(), cond(), waitGroup(),
		{name: "sleep", wait: func() { time.Sleep(4 * hold) }},
		tcpRead(), pipeRead(), deep(), inlined(),
	}
}

func chanReceive() scenario {
	c := make(chan int)
	return scenario{name: "chan receive", wait: func() { <-c }, wake: func() { c <- 1 }}
}

func chanSend() scenario {
	c := make(chan int)
	return scenario{name: "chan send", wait: func() { c <- 1 }, wake: func() { <-c }}
}

func chanClosed() scenario {
	c := make(chan int)
	return scenario{name: "chan closed", wait: func() {
		for range c {
		}
	}, wake: func() { close(c) }}
}

func selectTwo() scenario {
	a, b := make(chan int), make(chan string)
	return scenario{name: "select", wait: func() {
		select {
		case <-a:
		case b <- "x":
		}
	}, wake: func() { a <- 1 }}
}

func mutex() scenario {
	var m sync.Mutex
	m.Lock()
	return scenario{name: "mutex", wait: func() { m.Lock() }, wake: func() { m.Unlock() }}
}

func rwMutexRead() scenario {
	var m sync.RWMutex
	m.Lock()
	return scenario{name: "rwmutex read", wait: func() { m.RLock() }, wake: func() { m.Unlock() }}
}

func rwMutexWrite() scenario {
	var m sync.RWMutex
	m.RLock()
	return scenario{name: "rwmutex write", wait: func() { m.Lock() }, wake: func() { m.RUnlock() }}
}

func cond() scenario {
	var m sync.Mutex
	c := sync.NewCond(&m)
	return scenario{name: "cond", wait: func() { m.Lock(); c.Wait(); m.Unlock() }, wake: func() { m.Lock(); m.Unlock(); c.Signal() }}
}

func waitGroup() scenario {
	var g sync.WaitGroup
	g.Add(1)
	return scenario{name: "waitgroup", wait: func() { g.Wait() }, wake: func() { g.Done() }}
}

func tcpRead() scenario {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	defer listener.Close()
	near, err := net.Dial("tcp", listener.Addr().String())
	check(err)
	far, err := listener.Accept()
	check(err)
	return scenario{name: "tcp read", wait: func() { readOne(near); near.Close() }, wake: func() {
		_, err := far.Write([]byte{1})
		check(err)
		far.Close()
	}, fileType: "tcp", local: near.LocalAddr().String(), peer: near.RemoteAddr().String()}
}

func pipeRead() scenario {
	r, w, err := os.Pipe()
	check(err)
	return scenario{name: "pipe read", wait: func() { readOne(r); r.Close() }, wake: func() {
		_, err := w.Write([]byte{1})
		check(err)
		w.Close()
	}, fileType: "pipe"}
}

func deep() scenario {
	c := make(chan int)
	return scenario{name: "deep", wait: func() { descend(30, c) }, wake: func() { c <- 1 }}
}

//go:noinline
func descend(depth int, c chan int) int {
	if depth == 0 {
		return <-c
	}
	return descend(depth-1, c) + depth
}

func inlined() scenario {
	b := box{make(chan int)}
	return scenario{name: "inlined", wait: func() { sum = b.take() + 1 }, wake: func() { b.c <- 1 }}
}

var sum int

type box struct{ c chan int }

// Both are small enough to be inlined into one another and into their caller.
func (b box) take() int          { return receive(b.c) }
func receive(c chan int) (v int) { v = <-c; return }

func readOne(from interface{ Read([]byte) (int, error) }) {
	_, err := from.Read(make([]byte, 1))
	check(err)
}

// awaitParked returns the stack trace of a goroutine once the runtime itself shows it as waiting.
func awaitParked(id uint64) string {
	header := fmt.Sprintf("goroutine %d [", id)
	for {
		for _, trace := range bytes.Split(allTraces(), []byte("\n\n")) {
			if bytes.HasPrefix(trace, []byte(header)) && isWaiting(trace[len(header):]) {
				return string(trace)
			}
		}
		runtime.Gosched()
	}
}

func isWaiting(state []byte) bool {
	for _, busy := range []string{"runnable", "running", "syscall", "waiting", "preempted", "copystack", "idle"} {
		if bytes.HasPrefix(state, []byte(busy)) {
			return false
		}
	}
	return true
}

func allTraces() []byte {
	for size := 1 << 16; ; size *= 2 {
		buffer := make([]byte, size)
		if n := runtime.Stack(buffer, true); n < size {
			return buffer[:n]
		}
	}
}

func goid() uint64 {
	var buffer [64]byte
	text := buffer[:runtime.Stack(buffer[:], false)]
	id, err := strconv.ParseUint(string(bytes.Fields(text)[1]), 10, 64)
	check(err)
	return id
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
