package main

import (
	"errors"
	"io"
	"net"
	"sync"
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
		go serve(server)
		load.clients = append(load.clients, client)
	}
	return load, nil
}

func serve(connection net.Conn) {
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

// do spreads n messages over the connections.
func (e *echo) do(n int) error {
	failures := make([]error, len(e.clients))
	var all sync.WaitGroup
	for i, client := range e.clients {
		share := (n + i) / len(e.clients)
		all.Add(1)
		go func(i int, client net.Conn) {
			defer all.Done()
			failures[i] = exchange(client, share)
		}(i, client)
	}
	all.Wait()
	return errors.Join(failures...)
}

func exchange(client net.Conn, n int) error {
	message := make([]byte, messageBytes)
	for i := 0; i < n; i++ {
		if _, err := client.Write(message); err != nil {
			return err
		}
		if _, err := io.ReadFull(client, message); err != nil {
			return err
		}
	}
	return nil
}
