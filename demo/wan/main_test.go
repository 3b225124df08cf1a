package main

import (
	"bytes"
	"io"
	"math/rand"
	"net"
	"testing"
	"time"
)

// echo serves until its listener closes.
func echo(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			}()
		}
	}()
	return listener
}

func dialThrough(t *testing.T, l *link) net.Conn {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() { _ = l.serve(listener) }()
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestBytesKeepTheirOrderUnderJitter(t *testing.T) {
	l := &link{to: echo(t).Addr().String(), out: direction{time.Millisecond, 5 * time.Millisecond}, seed: 7}
	conn := dialThrough(t, l)
	sent := make([]byte, 64<<10)
	rand.New(rand.NewSource(3)).Read(sent)
	go func() {
		for rest := sent; len(rest) > 0; {
			n := 200
			if n > len(rest) {
				n = len(rest)
			}
			if _, err := conn.Write(rest[:n]); err != nil {
				t.Error(err)
				return
			}
			rest = rest[n:]
		}
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, sent) {
		t.Fatalf("%d bytes came back, %d were sent, or their order changed", len(got), len(sent))
	}
}

func TestRoundTripTakesAtLeastBothDelays(t *testing.T) {
	l := &link{to: echo(t).Addr().String(), out: direction{delay: 20 * time.Millisecond}, back: direction{delay: 5 * time.Millisecond}}
	conn := dialThrough(t, l)
	for i := 0; i < 3; i++ {
		start := time.Now()
		if _, err := conn.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < 25*time.Millisecond {
			t.Fatalf("round trip of %v is shorter than the link's 25 ms", took)
		}
	}
}
