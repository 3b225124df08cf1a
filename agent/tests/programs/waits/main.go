// Waits is observed by the tests of the capture. It says what it does: one JSON object per line on standard output; it
// begins when it reads a line, and ends, with status 0, when its standard input is closed.
//
//	waits scenarios       one goroutine after the other waits in a known way, and is reported with its own stack trace
//	waits sites           blocks in known places, in each a known number of times, and reports them
//	waits pingpong        two goroutines hand a value to and fro as fast as they can, until standard input is closed
//	waits become PROGRAM [ARGUMENT]...  parks a few goroutines for ever, then runs that program in its place (execve)
//	waits labels          goroutines with profiler labels of several kinds wait, and are reported
//	waits churn N IDLE    N pairs of goroutines do that, others compute in between, and one hangs, until the next line; so do IDLE more
//	waits crowd N ROUNDS  N goroutines wait at once and are released together, ROUNDS times
package main

import (
	"bufio"
	"encoding/json"
	"os"
	"strconv"
	"syscall"
	"time"
)

func main() {
	input := bufio.NewReader(os.Stdin)
	report(map[string]any{"event": "started", "pid": os.Getpid()})
	awaitLine(input)
	switch os.Args[1] {
	case "scenarios":
		runScenarios()
	case "sites":
		runSites()
	case "pingpong":
		runPingPong(input)
	case "become":
		become(os.Args[2:])
	case "labels":
		runLabels()
	case "churn":
		runChurn(input, number(2), number(3))
	case "crowd":
		runCrowd(number(2), number(3))
	}
	report(map[string]any{"event": "done"})
	awaitLine(input)
}

// become replaces this program by another one while some of its goroutines are parked.
func become(command []string) {
	for range [3]struct{}{} {
		go func() { select {} }()
	}
	time.Sleep(20 * time.Millisecond)
	panic(syscall.Exec(command[0], command, os.Environ()))
}

// awaitLine returns at the next line or at the end of the input.
func awaitLine(input *bufio.Reader) {
	_, _ = input.ReadString('\n')
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

func number(arg int) int {
	n, err := strconv.Atoi(os.Args[arg])
	if err != nil {
		panic(err)
	}
	return n
}
