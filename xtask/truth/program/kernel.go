package main

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"
)

// network: an echo over loopback, and reads that are given up.
func network(g *group) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	const connections = 4
	g.start(func() {
		defer listener.Close()
		for i := 0; i < connections; i++ {
			served, err := listener.Accept()
			check(err)
			g.start(func() { echo(served) })
		}
	})
	for i := 0; i < connections; i++ {
		connection, err := net.Dial("tcp", listener.Addr().String())
		check(err)
		g.start(func() {
			defer connection.Close()
			message := make([]byte, 64)
			for g.isOn() {
				_, err := connection.Write(message)
				check(err)
				_, err = io.ReadFull(connection, message)
				check(err)
				check(connection.SetReadDeadline(time.Now().Add(long)))
				_, err = connection.Read(message)
				if !errors.Is(err, os.ErrDeadlineExceeded) {
					panic(err)
				}
				check(connection.SetReadDeadline(time.Time{}))
			}
		})
	}
}

func echo(connection net.Conn) {
	defer connection.Close()
	message := make([]byte, 64)
	for {
		if _, err := io.ReadFull(connection, message); err != nil {
			return
		}
		time.Sleep(short)
		_, err := connection.Write(message)
		check(err)
	}
}

// syscalls that block their thread: the reads of a pipe, and nanosleep.
func syscalls(g *group) {
	var ends [2]int
	check(syscall.Pipe(ends[:]))
	message := []byte{1}
	g.start(func() {
		for g.isOn() {
			time.Sleep(long)
			_, err := syscall.Write(ends[1], message)
			check(err)
		}
		check(syscall.Close(ends[1]))
	})
	g.start(func() {
		defer syscall.Close(ends[0])
		read := make([]byte, 1)
		for {
			count, err := syscall.Read(ends[0], read)
			if errors.Is(err, syscall.EINTR) {
				continue
			}
			check(err)
			if count == 0 {
				return
			}
		}
	})
	for i := 0; i < 2; i++ {
		g.repeat(func() {
			length := syscall.NsecToTimespec(long.Nanoseconds())
			// A signal of the scheduler ends it early.
			_ = syscall.Nanosleep(&length, nil)
			work(short)
		})
	}
}

type node struct {
	next    *node
	payload [6]uintptr
}

var kept []*node

// collecting allocates more than the collector's own share of the processors can follow, so that goroutines must assist it.
func collecting(g *group) {
	defer debug.SetGCPercent(debug.SetGCPercent(5))
	// For the collector to walk through.
	for i := 0; i < 64; i++ {
		kept = append(kept, list(8000))
	}
	for i := 0; i < 4; i++ {
		g.repeat(func() { runtime.KeepAlive(list(2000)) })
	}
	g.repeat(func() {
		time.Sleep(20 * time.Millisecond)
		runtime.GC()
	})
	g.running.Wait()
	kept = nil
}

func list(length int) *node {
	var first *node
	for i := 0; i < length; i++ {
		first = &node{next: first}
	}
	return first
}
