package main

import (
	"context"
	"runtime/trace"
	"strconv"
	"time"
	_ "unsafe" // for go:linkname
)

// Time between two anchors.
const anchorEvery = 10 * time.Millisecond

// An anchor is an event of the trace that happened between two readings of CLOCK_MONOTONIC.
type anchor struct {
	Anchor int   `json:"anchor"`
	Before int64 `json:"before_mono_ns"`
	After  int64 `json:"after_mono_ns"`
}

// nanotime reads CLOCK_MONOTONIC.
//
//go:linkname nanotime runtime.nanotime
func nanotime() int64

func anchorUntil(stop chan struct{}) []anchor {
	var anchors []anchor
	for {
		select {
		case <-stop:
			return anchors
		case <-time.After(anchorEvery):
		}
		name := strconv.Itoa(len(anchors))
		before := nanotime()
		trace.Log(context.Background(), "anchor", name)
		anchors = append(anchors, anchor{len(anchors), before, nanotime()})
	}
}
