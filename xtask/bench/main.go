// Command bench is what `cargo xtask bench overhead` observes, and what gives it work.
//
//	bench work WORKLOAD                    blocks by itself: ping-pong, mutex, echo, paced, idle
//	bench serve                            an HTTP server; prints `ready ADDRESS`
//	bench load ADDRESS RATE CONNECTIONS    asks an HTTP server so many times a second; at rate 0 as often as it answers
//
// work and load print `ready`, then obey standard input line by line: `run LENGTH` works for so long and prints the result as a line
// of JSON. So whoever observes can attach between the two. The end of input ends the program.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/syncline/syncline/bench/observing"
)

// A workload does operations until it is late.
type workload interface {
	run(length time.Duration) (work, error)
}

// work is what was done in a run.
type work struct {
	ops int
	// took has the times of some or all of the operations.
	took []time.Duration
}

func main() {
	if err := command(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func command(words []string) error {
	switch {
	case len(words) == 2 && words[0] == "work":
		observing.Begin()
		load, err := newWorkload(words[1])
		if err != nil {
			return err
		}
		return obey(load)
	case len(words) == 1 && words[0] == "serve":
		observing.Begin()
		return serveHTTP()
	case len(words) == 4 && words[0] == "load":
		rate, err := strconv.Atoi(words[2])
		if err != nil {
			return err
		}
		connections, err := strconv.Atoi(words[3])
		if err != nil {
			return err
		}
		load, err := newClients(words[1], rate, connections)
		if err != nil {
			return err
		}
		return obey(load)
	}
	return errors.New("usage: bench work WORKLOAD | serve | load ADDRESS RATE CONNECTIONS")
}

func newWorkload(name string) (workload, error) {
	switch name {
	case "ping-pong":
		return pingPong{}, nil
	case "mutex":
		return &contended{}, nil
	case "echo":
		return newEcho()
	case "paced":
		return paced{rate: 2_500}, nil
	case "idle":
		park(10_000)
		return paced{rate: 1_000}, nil
	}
	return nil, fmt.Errorf("unknown workload %q", name)
}

// result of one run, for whoever gave the order.
type result struct {
	Go        string `json:"go"`
	Ops       int    `json:"ops"`
	ElapsedNs int64  `json:"elapsed_ns"`
	P99Ns     int64  `json:"p99_ns"`
}

func obey(load workload) error {
	fmt.Println("ready")
	orders := bufio.NewScanner(os.Stdin)
	for orders.Scan() {
		text, is := strings.CutPrefix(orders.Text(), "run ")
		length, err := time.ParseDuration(text)
		if !is || err != nil || length <= 0 {
			return fmt.Errorf("unknown order %q", orders.Text())
		}
		measured, err := measure(load, length)
		if err != nil {
			return err
		}
		if err := json.NewEncoder(os.Stdout).Encode(measured); err != nil {
			return err
		}
	}
	return orders.Err()
}

func measure(load workload, length time.Duration) (result, error) {
	runtime.GC()
	start := time.Now()
	done, err := load.run(length)
	elapsed := time.Since(start)
	if err == nil && len(done.took) == 0 {
		err = errors.New("nothing was done")
	}
	if err != nil {
		return result{}, err
	}
	return result{runtime.Version(), done.ops, elapsed.Nanoseconds(), quantile(done.took, 0.99).Nanoseconds()}, nil
}

// untilEnd blocks until whoever started the program closes its input.
func untilEnd() error {
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}
