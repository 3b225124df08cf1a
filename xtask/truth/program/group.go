package main

import (
	"bytes"
	"runtime"
	"strconv"
	"sync"
	"time"
)

// A member is a goroutine of a workload.
type member struct {
	Goid     uint64 `json:"goid"`
	Workload string `json:"workload"`
}

// A group is the goroutines of a workload that runs.
type group struct {
	name    string
	until   time.Time
	running sync.WaitGroup
	mutex   sync.Mutex
	members []member
}

func newGroup(name string, length time.Duration) *group {
	return &group{name: name, until: time.Now().Add(length)}
}

// isOn says whether the workload goes on.
func (g *group) isOn() bool { return time.Now().Before(g.until) }

// start runs f in a goroutine of the workload, which is waited for.
func (g *group) start(f func()) {
	g.running.Add(1)
	go func() {
		defer g.running.Done()
		g.join()
		f()
	}()
}

// repeat does it until the workload ends.
func (g *group) repeat(f func()) {
	g.start(func() {
		for g.isOn() {
			f()
		}
	})
}

// join makes the goroutine that calls it one of the workload.
func (g *group) join() {
	id := goid()
	g.mutex.Lock()
	defer g.mutex.Unlock()
	g.members = append(g.members, member{id, g.name})
}

func (g *group) wait() []member {
	g.running.Wait()
	g.mutex.Lock()
	defer g.mutex.Unlock()
	return g.members
}

// goid is what stands after `goroutine ` in the goroutine's own stack trace.
func goid() uint64 {
	buffer := make([]byte, 64)
	buffer = buffer[:runtime.Stack(buffer, false)]
	id, err := strconv.ParseUint(string(bytes.Fields(buffer)[1]), 10, 64)
	check(err)
	return id
}

// work keeps a processor busy.
func work(length time.Duration) {
	for began := time.Now(); time.Since(began) < length; {
	}
}
