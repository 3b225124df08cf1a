// Program is observed by `cargo xtask truth`, from outside by our agent and from inside by Go's own execution tracer. It begins when it
// reads a line, goes through its workloads one after the other with the tracer on, writes the trace to the file that its argument
// names, then one JSON object per line to standard output: which goroutine belonged to which workload, and what CLOCK_MONOTONIC was at
// some events of the trace. Then it writes `done`, and ends when its standard input is closed.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"runtime/trace"
	"strconv"
	"time"
)

// More than a trace of a few seconds needs: that the buffer grows would be a part of what is measured.
const traceBytes = 64 << 20

type workload struct {
	name string
	run  func(group *group)
}

func main() {
	length, err := strconv.Atoi(os.Args[2])
	check(err)
	input := bufio.NewReader(os.Stdin)
	fmt.Println("ready")
	_, err = input.ReadString('\n')
	check(err)
	var buffer bytes.Buffer
	buffer.Grow(traceBytes)
	check(trace.Start(&buffer))
	members, anchors := perform(time.Duration(length) * time.Millisecond)
	trace.Stop()
	check(os.WriteFile(os.Args[1], buffer.Bytes(), 0o600))
	output := bufio.NewWriter(os.Stdout)
	lines := json.NewEncoder(output)
	for _, one := range members {
		check(lines.Encode(one))
	}
	for _, one := range anchors {
		check(lines.Encode(one))
	}
	fmt.Fprintln(output, "done")
	check(output.Flush())
	input.ReadString('\n')
}

// perform gives each workload so much time.
func perform(length time.Duration) ([]member, []anchor) {
	workloads := []workload{
		{"channels", channels},
		{"mutexes", mutexes},
		{"select", selects},
		{"network", network},
		{"timers", timers},
		{"syscalls", syscalls},
		{"GC", collecting},
	}
	stop, anchored := make(chan struct{}), make(chan []anchor)
	go func() { anchored <- anchorUntil(stop) }()
	var members []member
	for _, one := range workloads {
		group := newGroup(one.name, length)
		one.run(group)
		members = append(members, group.wait()...)
	}
	close(stop)
	return members, <-anchored
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
