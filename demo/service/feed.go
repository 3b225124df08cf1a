package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"sync"
	"time"
)

// The feed is what a region and the next one say to each other without anything in between: a block each way, some fifty
// times a second. (The chain's requests pass a relay that plays the long way; a relay ends TCP, so that their bytes have
// other sequence numbers on its other side.) Nothing is computed and nothing is journalled.
const (
	feedBlock = 256
	feedPause = 20 * time.Millisecond
)

// feed answers the feeds of other regions.
type feed struct {
	listener net.Listener

	mu     sync.Mutex
	closed bool
	conns  []net.Conn
	work   sync.WaitGroup
}

func listenFeed() (*feed, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("cannot serve the feed: %w", err)
	}
	return &feed{listener: listener}, nil
}

func (f *feed) serve() {
	for {
		conn, err := f.listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				log.Printf("accept of the feed: %v", err)
			}
			return
		}
		if !f.remember(conn) {
			conn.Close()
			return
		}
		go f.answerAll(conn)
	}
}

func (f *feed) remember(conn net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.conns = append(f.conns, conn)
	f.work.Add(1)
	return true
}

func (f *feed) answerAll(conn net.Conn) {
	defer f.work.Done()
	defer conn.Close()
	block := make([]byte, feedBlock)
	for {
		if _, err := io.ReadFull(conn, block); err != nil {
			return
		}
		if _, err := conn.Write(block); err != nil {
			return
		}
	}
}

// close ends all feeds that are answered here.
func (f *feed) close() {
	f.listener.Close()
	f.mu.Lock()
	f.closed = true
	for _, conn := range f.conns {
		conn.Close()
	}
	f.mu.Unlock()
	f.work.Wait()
}

// feedLoop feeds the next region until stop; where that does not answer it tries again.
func feedLoop(to string, stop <-chan struct{}) {
	for {
		if err := feedUntil(to, stop); err != nil {
			log.Printf("feed to %s: %v", to, err)
		}
		select {
		case <-stop:
			return
		case <-time.After(time.Second):
		}
	}
}

// feedUntil returns nil at stop.
func feedUntil(to string, stop <-chan struct{}) error {
	conn, err := net.DialTimeout("tcp", to, dialTimeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	ticks := time.NewTicker(feedPause)
	defer ticks.Stop()
	block := make([]byte, feedBlock)
	for {
		select {
		case <-stop:
			return nil
		case <-ticks.C:
		}
		if _, err := conn.Write(block); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, block); err != nil {
			return err
		}
	}
}
