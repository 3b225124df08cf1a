// Stuck is observed by the tests of the capture: its goroutines block, each in its own way, until they are released. It says which,
// one JSON object per line on standard output; it begins when it reads a line, releases them at the second, and ends, with
// status 0, when its standard input is closed.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"sync"
	"syscall"
)

// The trace that all of them belong to.
const (
	trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	span  = "00f067aa0ba902b7"
)

// A way of being stuck: wait blocks until release was called.
type way struct {
	name    string
	wait    func()
	release func()
	// What else is known of it.
	facts map[string]any
}

// C code's, if there is any.
var more []func() way

func main() {
	input := bufio.NewReader(os.Stdin)
	report(map[string]any{"event": "started", "pid": os.Getpid()})
	awaitLine(input)
	ways := []way{receiving(), choosing(), locking(), reading(), writing(), calling()}
	for _, make := range more {
		ways = append(ways, make())
	}
	var running sync.WaitGroup
	var all []uint64
	for _, w := range ways {
		running.Add(1)
		began := make(chan uint64)
		go func(w way) {
			defer running.Done()
			pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels("way", w.name, "trace_id", trace, "span_id", span)))
			began <- goid()
			w.wait()
		}(w)
		all = append(all, <-began)
		facts := map[string]any{"event": "stuck", "name": w.name, "goid": all[len(all)-1]}
		for name, value := range w.facts {
			facts[name] = value
		}
		report(facts)
	}
	awaitStuck(all)
	report(map[string]any{"event": "done"})
	awaitLine(input)
	for _, w := range ways {
		w.release()
	}
	running.Wait()
	report(map[string]any{"event": "done"})
	awaitLine(input)
}

func receiving() way {
	never := make(chan int)
	return way{name: "receive", wait: func() { receive(never) }, release: func() { close(never) }}
}

//go:noinline
func receive(never chan int) { <-never }

func choosing() way {
	one, other := make(chan int), make(chan int)
	return way{name: "choose", wait: func() { choose(one, other) }, release: func() { close(other) }}
}

//go:noinline
func choose(one, other chan int) {
	select {
	case <-one:
	case <-other:
	}
}

func locking() way {
	var held sync.Mutex
	held.Lock()
	return way{name: "lock", wait: func() { lock(&held) }, release: held.Unlock}
}

//go:noinline
func lock(held *sync.Mutex) {
	held.Lock()
	held.Unlock()
}

// Both ends of a connection over loopback.
func connection() (*net.TCPConn, *net.TCPConn) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	defer listener.Close()
	near, err := net.Dial("tcp", listener.Addr().String())
	check(err)
	far, err := listener.Accept()
	check(err)
	return near.(*net.TCPConn), far.(*net.TCPConn)
}

func factsOf(near *net.TCPConn) map[string]any {
	raw, err := near.SyscallConn()
	check(err)
	facts := map[string]any{"local": near.LocalAddr().String(), "remote": near.RemoteAddr().String()}
	check(raw.Control(func(fd uintptr) { facts["fd"] = fd }))
	return facts
}

func reading() way {
	near, far := connection()
	return way{
		name: "read", wait: func() { read(near) }, facts: factsOf(near),
		release: func() { check(far.Close()) },
	}
}

//go:noinline
func read(near *net.TCPConn) { _, _ = near.Read(make([]byte, 1)) }

func writing() way {
	near, far := connection()
	return way{
		name: "write", wait: func() { write(near) }, facts: factsOf(near),
		release: func() { check(far.Close()) },
	}
}

// More than both ends keep for one another.
//
//go:noinline
func write(near *net.TCPConn) { _, _ = near.Write(make([]byte, 64<<20)) }

// A pipe that blocks, so that a thread is stuck with its goroutine.
func pipe() (int, func()) {
	var ends [2]int
	check(syscall.Pipe(ends[:]))
	return ends[0], func() {
		_, err := syscall.Write(ends[1], []byte{1})
		check(err)
	}
}

func calling() way {
	end, release := pipe()
	return way{name: "call", wait: func() { call(end) }, release: release, facts: map[string]any{"fd": end}}
}

//go:noinline
func call(end int) { _, _ = syscall.Read(end, make([]byte, 1)) }

// awaitStuck returns when each of these goroutines waits.
func awaitStuck(all []uint64) {
	buffer := make([]byte, 1<<20)
	for {
		stacks := buffer[:runtime.Stack(buffer, true)]
		running := slices.ContainsFunc(all, func(id uint64) bool {
			return bytes.Contains(stacks, fmt.Appendf(nil, "goroutine %d [run", id))
		})
		if !running {
			return
		}
		runtime.Gosched()
	}
}

func goid() uint64 {
	var buffer [64]byte
	id, err := strconv.ParseUint(string(bytes.Fields(buffer[:runtime.Stack(buffer[:], false)])[1]), 10, 64)
	check(err)
	return id
}

// awaitLine returns at the next line or at the end of the input.
func awaitLine(input *bufio.Reader) {
	_, _ = input.ReadString('\n')
}

func report(what any) {
	line, err := json.Marshal(what)
	check(err)
	_, err = os.Stdout.Write(append(line, '\n'))
	check(err)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
