// Reader turns an execution trace of a Go program, given on standard input, into lines of JSON for `cargo xtask truth`: the intervals in
// which goroutines waited or were in system calls, the anchors of the trace's clock, and how far the trace goes. All times are the
// trace's own, in ns.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/exp/trace"
)

// An interval is a time in which a goroutine did not run.
type interval struct {
	Kind  string     `json:"kind"` // `park` or `syscall`
	Goid  trace.GoID `json:"goid"`
	Start int64      `json:"start_ns"`
	// Null where the trace does not have it. What began before the trace has no start of its own.
	Ready  *int64  `json:"ready_ns"`
	Run    *int64  `json:"run_ns"`
	Before bool    `json:"before"`
	Reason string  `json:"reason"`
	Waker  *uint64 `json:"waker"` // of a park, if it was a goroutine that ended it
	// It was one of a pair of coroutines, which hand over to one another without the scheduler.
	Coroutine bool   `json:"coroutine"`
	Function  string `json:"function"` // the goroutine was in, outside of the runtime's own
}

type anchor struct {
	Kind   string `json:"kind"`
	Anchor int    `json:"anchor"`
	Time   int64  `json:"time_ns"`
}

type extent struct {
	Kind  string `json:"kind"`
	Start int64  `json:"start_ns"`
	End   int64  `json:"end_ns"`
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(input io.Reader, output io.Writer) error {
	events, err := trace.NewReader(bufio.NewReaderSize(input, 1<<20))
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(output, 1<<20)
	intervals := newIntervals(json.NewEncoder(buffered))
	whole := extent{Kind: "extent"}
	for {
		event, err := events.ReadEvent()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if event.Kind() == trace.EventSync {
			continue
		}
		now := int64(event.Time())
		if whole.Start == 0 {
			whole.Start = now
		}
		whole.End = now
		if err := intervals.take(event); err != nil {
			return err
		}
	}
	if err := intervals.finish(); err != nil {
		return err
	}
	if err := intervals.output.Encode(whole); err != nil {
		return err
	}
	return buffered.Flush()
}

func anchorOf(event trace.Event) (anchor, bool, error) {
	if event.Kind() != trace.EventLog || event.Log().Category != "anchor" {
		return anchor{}, false, nil
	}
	number, err := strconv.Atoi(event.Log().Message)
	return anchor{"anchor", number, int64(event.Time())}, true, err
}
