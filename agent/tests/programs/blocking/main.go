// Blocking is observed by the tests of the capture: each of its goroutines blocks its thread in one system call, in a way whose answer is
// known: which call, how often, how long, for what, and from which line. It says so, one JSON object per line on standard
// output; with a number as its argument so many goroutines do so on threads that end with them. It begins when it reads a line, and ends, with status 0, when its standard input is closed.
package main

import (
	"bufio"
	"encoding/json"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	rounds = 3
	// How long a call waits; less by what its goroutine comes late to it, if another one ends the wait.
	hold = 20 * time.Millisecond
	// The scheduler's own signals would interrupt calls that it was not told of.
	withoutSignals = "GODEBUG=asyncpreemptoff=1"
)

// A call is one way to block. Its function makes the call once and returns the goroutine's stack trace from the line of the call.
type call struct {
	name     string
	fileType string
	once     func() (trace string, err error)
	// In the memory of this process; 0 = none.
	address uintptr
	fd      int
	// Of a socket.
	local, peer string
}

func main() {
	if !slices.Contains(os.Environ(), withoutSignals) {
		panic(syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), withoutSignals)))
	}
	input := bufio.NewReader(os.Stdin)
	report(map[string]any{"event": "started", "pid": os.Getpid()})
	awaitLine(input)
	if len(os.Args) > 1 {
		count, err := strconv.Atoi(os.Args[1])
		if err != nil {
			panic(err)
		}
		shortThreads(count)
	} else {
		for _, make := range calls() {
			play(make())
		}
	}
	report(map[string]any{"event": "done"})
	awaitLine(input)
}

// play makes the call a few times on a goroutine of its own, and tells what the program itself knows about it.
func play(c call) {
	reports := make(chan map[string]any)
	go func() {
		for round := 0; round < rounds; round++ {
			began := time.Now()
			trace, err := c.once()
			took := time.Since(began)
			if err != nil {
				panic(c.name + ": " + err.Error())
			}
			reports <- map[string]any{
				"event": "blocked", "call": c.name, "goid": goroutineOf(trace), "trace": trace, "took_ns": took.Nanoseconds(),
				"began_wall_ns": began.UnixNano(), "file_type": c.fileType, "fd": c.fd, "address": c.address,
				"local": c.local, "peer": c.peer, "round": round,
			}
		}
		close(reports)
	}()
	for r := range reports {
		report(r)
	}
}

// here is the stack trace of the calling goroutine.
func here() string {
	buffer := make([]byte, 1<<16)
	return string(buffer[:runtime.Stack(buffer, false)])
}

// goroutineOf tells whose trace it is: "goroutine 7 [running]:".
func goroutineOf(trace string) uint64 {
	id, err := strconv.ParseUint(strings.Fields(trace)[1], 10, 64)
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
