// Tcp is observed by the tests of capturing TCP. It says what it does: one JSON object per line on standard output.
//
//	tcp serve ADDRESS                        answers callers; says where it listens when it reads a line
//	tcp call ADDRESS CALLS SEND REPLY        calls so many times, one after the other, each on a connection of its own: it sends SEND
//	                                         bytes and reads REPLY bytes; begins when it reads a line
//	tcp hold ADDRESS CALLS SEND REPLY        one connection for all calls, opened at once; a call for each line
//	tcp several ADDRESS GOROUTINES SEND 0    so many goroutines write SEND bytes each to one connection at the same time
//
// It ends, with status 0, when its standard input is closed.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
)

// headerSize is that of what a caller sends first: the bytes that follow, and the bytes it wants.
const headerSize = 16

// chunk is what one write takes: not a part of the spacing of marks.
const chunk = 1500

func main() {
	input := bufio.NewReader(os.Stdin)
	report(map[string]any{"event": "started", "pid": os.Getpid()})
	switch os.Args[1] {
	case "serve":
		awaitLine(input)
		serve(os.Args[2])
	case "call":
		awaitLine(input)
		for i := 0; i < number(3); i++ {
			c := dial()
			call(c)
			c.Close()
			report(map[string]any{"event": "closed"})
		}
		report(map[string]any{"event": "done"})
	case "hold":
		c := dial()
		for i := 0; i < number(3); i++ {
			awaitLine(input)
			call(c)
			report(map[string]any{"event": "called"})
		}
		awaitLine(input)
		c.Close()
		report(map[string]any{"event": "done"})
	case "several":
		awaitLine(input)
		several()
		report(map[string]any{"event": "done"})
	}
	awaitLine(input)
}

func serve(address string) {
	listener, err := net.Listen("tcp", address)
	check(err)
	report(map[string]any{"event": "listening", "address": listener.Addr().String()})
	go func() {
		for {
			c, err := listener.Accept()
			check(err)
			go answer(c)
		}
	}()
}

func answer(c net.Conn) {
	defer c.Close()
	var header [headerSize]byte
	for {
		if _, err := io.ReadFull(c, header[:]); err != nil {
			report(map[string]any{"event": "answered", "goid": goid()})
			return
		}
		_, err := io.CopyN(io.Discard, onlyRead{c}, int64(binary.LittleEndian.Uint64(header[:])))
		check(err)
		write(c, int(binary.LittleEndian.Uint64(header[8:])))
	}
}

// onlyRead hides that a connection can be spliced.
type onlyRead struct{ io.Reader }

func dial() net.Conn {
	c, err := net.Dial("tcp", os.Args[2])
	check(err)
	report(map[string]any{"event": "connected", "goid": goid(), "local": c.LocalAddr().String(), "remote": c.RemoteAddr().String()})
	return c
}

func call(c net.Conn) {
	var header [headerSize]byte
	binary.LittleEndian.PutUint64(header[:], uint64(number(4)))
	binary.LittleEndian.PutUint64(header[8:], uint64(number(5)))
	_, err := c.Write(header[:])
	check(err)
	write(c, number(4))
	_, err = io.CopyN(io.Discard, onlyRead{c}, int64(number(5)))
	check(err)
}

// several bypasses the lock that Go holds over a whole Write: the descriptor is written to by threads at the same time.
func several() {
	c := dial()
	var header [headerSize]byte
	binary.LittleEndian.PutUint64(header[:], uint64(number(3)*number(4)))
	_, err := c.Write(header[:])
	check(err)
	file, err := c.(*net.TCPConn).File()
	check(err)
	var all sync.WaitGroup
	for i := 0; i < number(3); i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			writeRaw(int(file.Fd()), number(4))
		}()
	}
	all.Wait()
	file.Close()
	c.Close()
}

func write(c net.Conn, n int) {
	block := make([]byte, chunk)
	for n > 0 {
		some := min(n, chunk)
		_, err := c.Write(block[:some])
		check(err)
		n -= some
	}
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}

// goid is the number in the first line of the goroutine's own trace.
func goid() uint64 {
	trace := make([]byte, 64)
	trace = trace[:runtime.Stack(trace, false)]
	id, err := strconv.ParseUint(string(bytes.Fields(trace)[1]), 10, 64)
	check(err)
	return id
}

func awaitLine(input *bufio.Reader) {
	_, _ = input.ReadString('\n')
}

var reporting sync.Mutex

func report(what any) {
	line, err := json.Marshal(what)
	check(err)
	reporting.Lock()
	defer reporting.Unlock()
	_, err = os.Stdout.Write(append(line, '\n'))
	check(err)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func number(arg int) int {
	n, err := strconv.Atoi(os.Args[arg])
	check(err)
	return n
}
