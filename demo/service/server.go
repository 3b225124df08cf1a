package main

import (
	"errors"
	"io"
	"log"
	"net"
	"sync"
)

// server answers the requests of the region before this one.
type server struct {
	listener net.Listener
	next     string
	prices   *priceCache
	journal  *journal

	mu    sync.Mutex
	conns []net.Conn
	work  sync.WaitGroup
}

func (s *server) serve() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				log.Printf("accept: %v", err)
			}
			return
		}
		s.remember(conn)
		go s.answerAll(conn)
	}
}

func (s *server) remember(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = append(s.conns, conn)
	s.work.Add(1)
}

// answerAll owns the connection, and one connection of its own to the next region.
func (s *server) answerAll(conn net.Conn) {
	defer s.work.Done()
	defer conn.Close()
	var next *client
	if s.next != "" {
		next = newClient(s.next, s.journal)
		defer next.close()
	}
	goid := goroutineID()
	for {
		if err := s.answerOne(conn, next, goid); err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				log.Printf("connection from %s: %v", conn.RemoteAddr(), err)
			}
			return
		}
	}
}

func (s *server) answerOne(conn net.Conn, next *client, goid uint64) error {
	request, err := readFrame(conn)
	received := monotonicNanos()
	if err != nil {
		return err
	}
	traced(request.id)
	defer untraced()
	reply, err := s.handle(request, next)
	if err != nil {
		return err
	}
	sent := monotonicNanos()
	if err := reply.writeTo(conn); err != nil {
		return err
	}
	s.journal.add(entry{id: request.id, hop: request.hop, role: "server", goid: goid, sent: sent, received: received})
	return nil
}

// handle prices the item here and, if there is a next region, there; the dearer one is the reply.
func (s *server) handle(request frame, next *client) (frame, error) {
	price := s.prices.get(request.value)
	if next != nil {
		there, err := next.call(frame{id: request.id, hop: request.hop + 1, value: request.value})
		if err != nil {
			return frame{}, err
		}
		if there.value > price {
			price = there.value
		}
	}
	return frame{id: request.id, hop: request.hop, value: price}, nil
}

// close ends all connections and waits for their goroutines, so that the journal is complete.
func (s *server) close() {
	s.listener.Close()
	s.mu.Lock()
	for _, conn := range s.conns {
		conn.Close()
	}
	s.mu.Unlock()
	s.work.Wait()
}
