// Rounds is observed by the tests that change what is captured while a program runs. At each line that it reads one goroutine waits as
// often as `each` says in each way that there is, for as long as `hold`, and the program says so with a JSON object per round
// on standard output. It ends, with status 0, when its standard input is closed.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"
)

const (
	each = 5
	hold = 20 * time.Millisecond
	// The scheduler's own signals would interrupt calls that it was not told of.
	withoutSignals = "GODEBUG=asyncpreemptoff=1"
)

func main() {
	if !slices.Contains(os.Environ(), withoutSignals) {
		panic(syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), withoutSignals)))
	}
	input := bufio.NewReader(os.Stdin)
	report(map[string]any{"event": "started", "pid": os.Getpid()})
	rounds, done := make(chan struct{}), make(chan uint64)
	go work(rounds, done)
	for {
		if _, err := input.ReadString('\n'); err != nil {
			return
		}
		rounds <- struct{}{}
		report(map[string]any{"event": "round", "goid": <-done, "each": each})
	}
}

// work plays a round for each that is asked for.
func work(rounds chan struct{}, done chan uint64) {
	for range rounds {
		for i := 0; i < each; i++ {
			time.Sleep(hold)
			block()
			callC()
		}
		done <- goid()
	}
}

// block blocks the thread in a system call.
func block() {
	left := syscall.NsecToTimespec(hold.Nanoseconds())
	for syscall.Nanosleep(&left, &left) == syscall.EINTR {
	}
}

func goid() uint64 {
	buffer := make([]byte, 64)
	fields := bytes.Fields(buffer[:runtime.Stack(buffer, false)])
	id, err := strconv.ParseUint(string(fields[1]), 10, 64)
	if err != nil {
		panic(err)
	}
	return id
}

func report(what any) {
	line, err := json.Marshal(what)
	if err != nil {
		panic(err)
	}
	if _, err := os.Stdout.Write(append(line, '\n')); err != nil {
		panic(err)
	}
}
