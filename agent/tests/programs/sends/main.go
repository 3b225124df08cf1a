// Sends is observed by the tests of send latency. It says what it does: one JSON object per line on standard output.
//
//	sends serve ADDRESS                  listens when it reads a line; takes a connection, and reads it from the next line on
//	sends echo ADDRESS                   listens when it reads a line, and sends back what it is sent
//	sends rounds ADDRESS COUNT SIZE      sends SIZE bytes and reads as many, COUNT times, when it reads a line; says what each took
//	sends steps ADDRESS STEP...          one connection; a step for each line it reads:
//	                                     COUNTxSIZE  so many writes of so many bytes, without waiting for one to be acknowledged
//	                                     file        1 MiB by sendfile(2)
//	                                     close       closes the connection
//	                                     reset       the same without an orderly end
//	                                     become      runs this program anew in its place (execve), which keeps the connection and goes on
//	                                                 with the steps that are left
//	sends wrap                           a connection of a socket with another of the same process, whose sequence numbers are about to
//	                                     wrap: rounds of 1,000 bytes, the same way as rounds
//
// It ends, with status 0, when its standard input is closed.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"
)

func main() {
	input := bufio.NewReader(os.Stdin)
	report(map[string]any{"event": "started", "pid": os.Getpid()})
	switch os.Args[1] {
	case "serve":
		awaitLine(input)
		serve(input)
	case "echo":
		awaitLine(input)
		listener := listen()
		go func() {
			for {
				c, err := listener.Accept()
				check(err)
				go func() {
					_, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
					c.Close()
				}()
			}
		}()
	case "rounds":
		awaitLine(input)
		c := dial()
		rounds(c, c, number(3), number(4))
		c.Close()
	case "steps":
		walk(dial(), input, os.Args[3:])
	case "go-on":
		walk(connOf(number(2)).(*net.TCPConn), input, os.Args[3:])
	case "wrap":
		awaitLine(input)
		wrap()
	}
	awaitLine(input)
}

func listen() net.Listener {
	listener, err := net.Listen("tcp", os.Args[2])
	check(err)
	report(map[string]any{"event": "listening", "address": listener.Addr().String()})
	return listener
}

func serve(input *bufio.Reader) {
	listener := listen()
	c, err := listener.Accept()
	check(err)
	awaitLine(input)
	go func() {
		n, _ := io.Copy(io.Discard, c)
		report(map[string]any{"event": "read", "bytes": n})
	}()
}

func dial() *net.TCPConn {
	c, err := net.Dial("tcp", os.Args[2])
	check(err)
	report(map[string]any{"event": "connected", "local": c.LocalAddr().String(), "remote": c.RemoteAddr().String()})
	return c.(*net.TCPConn)
}

// rounds says how long each took: no less than until what was sent had been acknowledged.
func rounds(to io.Writer, from io.Reader, count, size int) {
	block, back := make([]byte, size), make([]byte, size)
	took := make([]int64, count)
	for i := range took {
		began := time.Now()
		_, err := to.Write(block)
		check(err)
		_, err = io.ReadFull(from, back)
		check(err)
		took[i] = time.Since(began).Nanoseconds()
	}
	report(map[string]any{"event": "rounds", "took_ns": took})
}

func walk(c *net.TCPConn, input *bufio.Reader, steps []string) {
	for i, step := range steps {
		awaitLine(input)
		if step == "become" {
			become(c, steps[i+1:])
		}
		do(c, step)
		report(map[string]any{"event": "stepped"})
	}
}

func become(c *net.TCPConn, steps []string) {
	file, err := c.File()
	check(err)
	_, _, errno := syscall.Syscall(syscall.SYS_FCNTL, file.Fd(), syscall.F_SETFD, 0)
	if errno != 0 {
		panic(errno)
	}
	arguments := append([]string{"sends", "go-on", strconv.Itoa(int(file.Fd()))}, steps...)
	check(syscall.Exec("/proc/self/exe", arguments, os.Environ()))
}

func do(c *net.TCPConn, step string) {
	switch step {
	case "file":
		file, err := os.CreateTemp("", "sends")
		check(err)
		defer file.Close()
		check(os.Remove(file.Name()))
		check(file.Truncate(1 << 20))
		_, err = c.ReadFrom(file)
		check(err)
	case "close":
		check(c.Close())
	case "reset":
		check(c.SetLinger(0))
		check(c.Close())
	default:
		var count, size int
		_, err := fmt.Sscanf(step, "%dx%d", &count, &size)
		check(err)
		block := make([]byte, size)
		for i := 0; i < count; i++ {
			_, err := c.Write(block)
			check(err)
		}
	}
}

func awaitLine(input *bufio.Reader) {
	_, _ = input.ReadString('\n')
}

func report(what any) {
	line, err := json.Marshal(what)
	check(err)
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
