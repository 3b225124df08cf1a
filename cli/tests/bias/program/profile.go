package main

import (
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
)

// blockProfile is what docs/bias.md shows: it sets the rate that SYNCLINE_BLOCK_RATE has, and gives a function that writes the
// profile to the file that SYNCLINE_BLOCK_PROFILE names.
func blockProfile() func() {
	rate, _ := strconv.Atoi(os.Getenv("SYNCLINE_BLOCK_RATE"))
	runtime.SetBlockProfileRate(rate)
	return func() {
		file, err := os.Create(os.Getenv("SYNCLINE_BLOCK_PROFILE"))
		if err != nil {
			return
		}
		defer file.Close()
		pprof.Lookup("block").WriteTo(file, 0)
	}
}
