// Package observing turns Go's own observers on, as the environment says: they have no switch outside of the program.
package observing

import (
	"fmt"
	"os"
	"runtime"
	"runtime/trace"
)

const (
	// blockProfile set to anything: the block profile, at rate 1, records every blocking.
	blockProfile = "BENCH_BLOCK_PROFILE"
	// traceFile names the file that the execution tracer writes to, until the program ends.
	traceFile = "BENCH_TRACE"
)

// Begin turns on what is asked for. A program that cannot do it ends: it would be measured for something else.
func Begin() {
	if os.Getenv(blockProfile) != "" {
		runtime.SetBlockProfileRate(1)
	}
	if path := os.Getenv(traceFile); path != "" {
		if err := begin(path); err != nil {
			fmt.Fprintln(os.Stderr, "observing:", err)
			os.Exit(1)
		}
	}
}

func begin(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return trace.Start(file)
}
