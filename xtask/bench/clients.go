package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// clients ask an HTTP server, each on its own connection.
type clients struct {
	request     []byte
	rate        int
	connections []*bufio.ReadWriter
}

func newClients(address string, rate, connections int) (*clients, error) {
	request := fmt.Sprintf("GET /item HTTP/1.1\r\nHost: %s\r\n\r\n", address)
	load := &clients{request: []byte(request), rate: rate}
	for i := 0; i < connections; i++ {
		connection, err := net.Dial("tcp", address)
		if err != nil {
			return nil, err
		}
		both := bufio.NewReadWriter(bufio.NewReader(connection), bufio.NewWriter(connection))
		load.connections = append(load.connections, both)
	}
	return load, nil
}

// run takes requests in turn. Where there is a rate each is due at its time and is timed from there, also where no connection was free
// then: a server that is slow for a while makes all wait whose time comes meanwhile, and not only those it has taken.
func (c *clients) run(length time.Duration) (work, error) {
	var next atomic.Int64
	began := time.Now()
	return together(len(c.connections), func(i int) (work, error) {
		var done work
		for {
			start := time.Now()
			if c.rate > 0 {
				start = began.Add(dueAfter(int(next.Add(1)-1), c.rate))
			}
			if start.Sub(began) >= length {
				return done, nil
			}
			time.Sleep(time.Until(start))
			if err := c.ask(c.connections[i]); err != nil {
				return done, err
			}
			done.took = append(done.took, time.Since(start))
			done.ops++
		}
	})
}

func (c *clients) ask(connection *bufio.ReadWriter) error {
	if _, err := connection.Write(c.request); err != nil {
		return err
	}
	if err := connection.Flush(); err != nil {
		return err
	}
	response, err := http.ReadResponse(connection.Reader, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answers %s", response.Status)
	}
	_, err = io.Copy(io.Discard, response.Body)
	return err
}
