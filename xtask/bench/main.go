// Command bench is the program that `cargo xtask bench overhead` observes: it does nothing but block.
//
// It prints `ready`, then obeys standard input line by line: `run` measures the workload once and prints the result as
// a line of JSON; the end of input ends it. So whoever observes it can attach between the two, and the idle program can
// be observed too.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"
)

// pilot is how long the workload runs to find out how fast it is here and now, and to warm up.
const pilot = 200 * time.Millisecond

// A workload does n operations and returns when all are done.
type workload interface {
	do(n int) error
}

// result of one run. The operations of the pilot are not in it, but named, because an observer has seen them as well.
type result struct {
	Go         string  `json:"go"`
	Gomaxprocs int     `json:"gomaxprocs"`
	PilotOps   int     `json:"pilot_ops"`
	Ops        int     `json:"ops"`
	ElapsedNs  int64   `json:"elapsed_ns"`
	CPUNs      int64   `json:"cpu_ns"`
	NsPerOp    float64 `json:"ns_per_op"`
}

func main() {
	name := flag.String("workload", "ping-pong", "ping-pong or echo")
	length := flag.Duration("length", 1500*time.Millisecond, "about how long a run takes")
	blockProfile := flag.Bool("block-profile", false, "turn Go's own block profile on, at rate 1: every blocking")
	flag.Parse()
	if err := obey(*name, *length, *blockProfile); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func obey(name string, length time.Duration, blockProfile bool) error {
	load, err := newWorkload(name)
	if err != nil {
		return err
	}
	if blockProfile {
		runtime.SetBlockProfileRate(1)
	}
	fmt.Println("ready")
	orders := bufio.NewScanner(os.Stdin)
	for orders.Scan() {
		if orders.Text() != "run" {
			return fmt.Errorf("unknown order %q", orders.Text())
		}
		measured, err := run(load, length)
		if err != nil {
			return err
		}
		if err := json.NewEncoder(os.Stdout).Encode(measured); err != nil {
			return err
		}
	}
	return orders.Err()
}

func newWorkload(name string) (workload, error) {
	switch name {
	case "ping-pong":
		return pingPong{}, nil
	case "echo":
		return newEcho()
	}
	return nil, fmt.Errorf("unknown workload %q", name)
}

// run chooses the number of operations so that the run takes about length, and measures that many.
func run(load workload, length time.Duration) (result, error) {
	pilotOps, perOp, err := fly(load)
	if err != nil {
		return result{}, err
	}
	ops := max(pilotOps, int(length/max(perOp, 1)))
	runtime.GC()
	cpu, start := cpuTime(), time.Now()
	if err := load.do(ops); err != nil {
		return result{}, err
	}
	elapsed := time.Since(start)
	return result{
		Go:         runtime.Version(),
		Gomaxprocs: runtime.GOMAXPROCS(0),
		PilotOps:   pilotOps,
		Ops:        ops,
		ElapsedNs:  elapsed.Nanoseconds(),
		CPUNs:      (cpuTime() - cpu).Nanoseconds(),
		NsPerOp:    float64(elapsed.Nanoseconds()) / float64(ops),
	}, nil
}

// fly does operations until the pilot's time is over. Returns how many it did, and the time of one at the end.
func fly(load workload) (ops int, perOp time.Duration, err error) {
	begin := time.Now()
	for chunk := 64; ; chunk *= 2 {
		start := time.Now()
		if err := load.do(chunk); err != nil {
			return 0, 0, err
		}
		ops += chunk
		if time.Since(begin) >= pilot {
			return ops, time.Since(start) / time.Duration(chunk), nil
		}
	}
}

// cpuTime is what this process has used of all CPUs.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
