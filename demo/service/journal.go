package main

import (
	"bufio"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
)

// entry is one side of one call. The client sent the request and received the reply; the server received the
// request and sent the reply. Both stamps are CLOCK_MONOTONIC, in nanoseconds: sent right before the write,
// received right after the read.
type entry struct {
	id       uint64
	hop      uint32
	role     string
	goid     uint64
	sent     int64
	received int64
}

// journal writes entries off the requests' path: add never waits.
type journal struct {
	file    *os.File
	entries chan entry
	done    sync.WaitGroup
	lost    atomic.Uint64
	failed  error
}

// journalDepth is far more than the entries of the longest disk stall that the demo could see.
const journalDepth = 1 << 16

func openJournal(path string) (*journal, error) {
	file, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("cannot write the journal: %w", err)
	}
	j := &journal{file: file, entries: make(chan entry, journalDepth)}
	j.done.Add(1)
	go j.writeAll()
	return j, nil
}

// add keeps the entry, or counts it as lost when the writer has fallen behind.
func (j *journal) add(e entry) {
	select {
	case j.entries <- e:
	default:
		j.lost.Add(1)
	}
}

// close writes what is left; nobody may add any more. A journal with gaps is an error.
func (j *journal) close() error {
	close(j.entries)
	j.done.Wait()
	if lost := j.lost.Load(); lost > 0 {
		return fmt.Errorf("the journal lost %d entries: the disk was too slow", lost)
	}
	return j.failed
}

func (j *journal) writeAll() {
	defer j.done.Done()
	out := bufio.NewWriterSize(j.file, 1<<16)
	pid := os.Getpid()
	for e := range j.entries {
		fmt.Fprintf(out, `{"id":%d,"hop":%d,"role":"%s","pid":%d,"goid":%d,"send_mono_ns":%d,"recv_mono_ns":%d}`+"\n",
			e.id, e.hop, e.role, pid, e.goid, e.sent, e.received)
	}
	if err := out.Flush(); err != nil {
		j.failed = fmt.Errorf("cannot write the journal: %w", err)
	}
	if err := j.file.Close(); err != nil && j.failed == nil {
		j.failed = fmt.Errorf("cannot close the journal: %w", err)
	}
}
