package main

import (
	"hash/fnv"
	"log"
	"math/rand"
	"time"
)

// worker sends one request after the other, with a short pause before each.
type worker struct {
	next    string
	journal *journal
	ids     idSource
	pauses  *rand.Rand
}

// The pause is longer than the agent's threshold, so that each request follows a wait that was captured.
const (
	shortestPause = 2 * time.Millisecond
	longestPause  = 5 * time.Millisecond
	// retryPause keeps a worker from spinning while the next region is away.
	retryPause = 200 * time.Millisecond
)

func newWorker(region string, number int, seed int64, next string, journal *journal) *worker {
	source := rand.NewSource(seed*1_000 + int64(number))
	return &worker{next: next, journal: journal, ids: newIDSource(region, number), pauses: rand.New(source)}
}

func (w *worker) loop(stop <-chan struct{}) {
	client := newClient(w.next, w.journal)
	defer client.close()
	for !stopped(stop) {
		time.Sleep(shortestPause + time.Duration(w.pauses.Int63n(int64(longestPause-shortestPause))))
		id := w.ids.next()
		traced(id)
		_, err := client.call(frame{id: id, hop: 1, value: uint32(id % itemCount)})
		untraced()
		if err != nil {
			if stopped(stop) {
				return
			}
			log.Print(err)
			time.Sleep(retryPause)
		}
	}
}

func stopped(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}

// idSource numbers requests: 16 bits of the region's name, 15 of the worker, 32 of a counter. The uppermost bit
// stays zero, so that every reader of the journal may use signed numbers.
type idSource struct{ last uint64 }

func newIDSource(region string, worker int) idSource {
	h := fnv.New32a()
	h.Write([]byte(region))
	return idSource{last: uint64(h.Sum32()&0xffff)<<47 | uint64(worker&0x7fff)<<32}
}

func (s *idSource) next() uint64 {
	s.last++
	return s.last
}
