// Waits is observed by `cargo xtask bench waits`. It waits in each way that it knows, as often as its argument says, and measures each
// wait itself; it begins when it reads a line, then writes one JSON object per wait to standard output and `done`, and ends, with
// status 0, when its standard input is closed.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	hold = 2 * time.Millisecond
	// The scheduler's own signals would interrupt calls that it was not told of.
	withoutSignals = "GODEBUG=asyncpreemptoff=1"
)

type wait struct {
	Kind   string `json:"kind"`
	Reason string `json:"reason"`
	Goid   uint64 `json:"goid"`
	Took   int64  `json:"took_ns"`
}

// A way of waiting: prepare returns what waits once, and what clears away after it.
type way struct {
	kind, reason string
	prepare      func() (func(), func())
}

func nothing() {}

// C's, if there is any.
var more []way

func main() {
	if !slices.Contains(os.Environ(), withoutSignals) {
		panic(syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), withoutSignals)))
	}
	times, err := strconv.Atoi(os.Args[1])
	check(err)
	input := bufio.NewReader(os.Stdin)
	fmt.Println("ready")
	_, err = input.ReadString('\n')
	check(err)
	ways := append([]way{
		{"goroutine", "sleep", sleeping},
		{"goroutine", "chan receive", receiving},
		{"goroutine", "chan send", sending},
		{"goroutine", "select", choosing},
		{"goroutine", "sync.Mutex.Lock", locking},
		{"goroutine", "sync.Cond.Wait", awaiting},
		{"goroutine", "IO wait", polling},
		{"syscall", "syscall nanosleep", calling},
		{"syscall", "syscall read", reading},
	}, more...)
	output := json.NewEncoder(os.Stdout)
	for _, w := range ways {
		for _, one := range measure(w, times) {
			check(output.Encode(one))
		}
	}
	fmt.Println("done")
	input.ReadString('\n')
}

// measure waits in a goroutine of its own.
func measure(w way, times int) []wait {
	measured := make([]wait, times)
	done := make(chan struct{})
	go func() {
		id := goid()
		for i := range measured {
			once, after := w.prepare()
			began := time.Now()
			once()
			measured[i] = wait{w.kind, w.reason, id, time.Since(began).Nanoseconds()}
			after()
		}
		close(done)
	}()
	<-done
	return measured
}

func sleeping() (func(), func()) { return func() { time.Sleep(hold) }, nothing }

func receiving() (func(), func()) {
	c := make(chan int)
	time.AfterFunc(hold, func() { c <- 1 })
	return func() { <-c }, nothing
}

func sending() (func(), func()) {
	c := make(chan int)
	time.AfterFunc(hold, func() { <-c })
	return func() { c <- 1 }, nothing
}

func choosing() (func(), func()) {
	one, other := make(chan int), make(chan int)
	time.AfterFunc(hold, func() { close(other) })
	return func() {
		select {
		case <-one:
		case <-other:
		}
	}, nothing
}

func locking() (func(), func()) {
	var held sync.Mutex
	held.Lock()
	time.AfterFunc(hold, held.Unlock)
	return held.Lock, nothing
}

func awaiting() (func(), func()) {
	var mutex sync.Mutex
	cond := sync.NewCond(&mutex)
	mutex.Lock()
	time.AfterFunc(hold, func() {
		mutex.Lock()
		mutex.Unlock()
		cond.Signal()
	})
	return cond.Wait, nothing
}

func polling() (func(), func()) {
	near, far, err := os.Pipe()
	check(err)
	time.AfterFunc(hold, func() { far.Write([]byte{1}) })
	buffer := make([]byte, 1)
	return func() { near.Read(buffer) }, func() {
		near.Close()
		far.Close()
	}
}

func calling() (func(), func()) {
	left := syscall.NsecToTimespec(hold.Nanoseconds())
	return func() {
		for syscall.Nanosleep(&left, &left) == syscall.EINTR {
		}
	}, nothing
}

// reading reads a pipe that Go's poller knows nothing of.
func reading() (func(), func()) {
	var ends [2]int
	check(syscall.Pipe(ends[:]))
	time.AfterFunc(hold, func() { syscall.Write(ends[1], []byte{1}) })
	buffer := make([]byte, 1)
	return func() { syscall.Read(ends[0], buffer) }, func() {
		syscall.Close(ends[0])
		syscall.Close(ends[1])
	}
}

func goid() uint64 {
	var buffer [64]byte
	id, err := strconv.ParseUint(string(bytes.Fields(buffer[:runtime.Stack(buffer[:], false)])[1]), 10, 64)
	check(err)
	return id
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
