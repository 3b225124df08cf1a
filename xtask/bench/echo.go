package main

import (
	"io"
	"net"
	"time"
)

const (
	connections  = 8
	messageBytes = 64
)

// echo is a TCP server over loopback and clients on so many connections. One operation is one message there and back;
// both ends are in this program and block in the network poller.
type echo struct {
	clients []net.Conn
}

func newEcho() (*echo, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	load := &echo{}
	for i := 0; i < connections; i++ {
		client, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			return nil, err
		}
		server, err := listener.Accept()
		if err != nil {
			return nil, err
		}
		go answer(server)
		load.clients = append(load.clients, client)
	}
	return load, nil
}

func answer(connection net.Conn) {
	message := make([]byte, messageBytes)
	for {
		if _, err := io.ReadFull(connection, message); err != nil {
			return
		}
		if _, err := connection.Write(message); err != nil {
			return
		}
	}
}

func (e *echo) run(length time.Duration) (work, error) {
	began := time.Now()
	return together(len(e.clients), func(i int) (work, error) {
		var done work
		message := make([]byte, messageBytes)
		for start := began; start.Sub(began) < length; done.ops++ {
			if _, err := e.clients[i].Write(message); err != nil {
				return done, err
			}
			if _, err := io.ReadFull(e.clients[i], message); err != nil {
				return done, err
			}
			now := time.Now()
			done.took = append(done.took, now.Sub(start))
			start = now
		}
		return done, nil
	})
}
