package main

import (
	"fmt"
	"net"
	"time"
)

// client is a persistent connection to the next region, used by one goroutine only.
type client struct {
	addr    string
	conn    net.Conn
	journal *journal
	goid    uint64
}

// dialTimeout bounds the wait for a region that does not answer.
const dialTimeout = 2 * time.Second

// newClient belongs to the calling goroutine, whose id goes into the journal.
func newClient(addr string, journal *journal) *client {
	return &client{addr: addr, journal: journal, goid: goroutineID()}
}

// call sends the request and waits for its reply. After an error the next call connects anew.
func (c *client) call(request frame) (frame, error) {
	if err := c.connect(); err != nil {
		return frame{}, err
	}
	reply, err := c.exchange(request)
	if err != nil {
		c.close()
		return frame{}, fmt.Errorf("call to %s: %w", c.addr, err)
	}
	return reply, nil
}

func (c *client) exchange(request frame) (frame, error) {
	sent := monotonicNanos()
	if err := request.writeTo(c.conn); err != nil {
		return frame{}, err
	}
	reply, err := readFrame(c.conn)
	received := monotonicNanos()
	if err != nil {
		return frame{}, err
	}
	if reply.id != request.id {
		return frame{}, fmt.Errorf("reply to request %d, expected %d", reply.id, request.id)
	}
	c.journal.add(entry{id: request.id, hop: request.hop, role: "client", goid: c.goid, sent: sent, received: received})
	return reply, nil
}

func (c *client) connect() error {
	if c.conn != nil {
		return nil
	}
	conn, err := net.DialTimeout("tcp", c.addr, dialTimeout)
	if err != nil {
		return fmt.Errorf("cannot reach the next region at %s: %w", c.addr, err)
	}
	c.conn = conn
	return nil
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}
