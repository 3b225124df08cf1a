// Mixed is observed by the tests of attaching and detaching under load: it does everything at once that probes may get in the way of, and
// checks what comes out. It begins when it reads a line; at the second it says, as a JSON object, how often it did what and how often
// what was wrong, and ends, with status 0, when its standard input is closed.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// A load does one thing; false if the outcome is not what it should be.
type load struct {
	name string
	once func() bool
}

// C's, if there is any.
var more []load

func main() {
	input := bufio.NewReader(os.Stdin)
	report(map[string]any{"event": "started", "pid": os.Getpid()})
	awaitLine(input)
	loads := append([]load{
		{"handed over", handOver()},
		{"locked", lock()},
		{"echoed", echo()},
		{"piped", pipe()},
		{"slept", sleep},
		{"born", bear},
		{"locked to a thread", lockThread},
	}, more...)
	counts, wrongs := make([]atomic.Int64, len(loads)), make([]atomic.Int64, len(loads))
	stop := make(chan struct{})
	var running sync.WaitGroup
	for i, l := range loads {
		running.Add(1)
		go func(i int, l load) {
			defer running.Done()
			for {
				select {
				case <-stop:
					return
				default:
				}
				if !l.once() {
					wrongs[i].Add(1)
				}
				counts[i].Add(1)
			}
		}(i, l)
	}
	awaitLine(input)
	close(stop)
	running.Wait()
	done, wrong := map[string]int64{}, map[string]int64{}
	for i, l := range loads {
		done[l.name] = counts[i].Load()
		if times := wrongs[i].Load(); times > 0 {
			wrong[l.name] = times
		}
	}
	report(map[string]any{"event": "counted", "counts": done, "wrong": wrong})
	awaitLine(input)
}

// handOver sends numbers to another goroutine and back.
func handOver() func() bool {
	there, back := make(chan int), make(chan int)
	go func() {
		for n := range there {
			back <- n + 1
		}
	}()
	return func() bool {
		there <- 41
		return <-back == 42
	}
}

// lock has two goroutines count under a lock.
func lock() func() bool {
	var mutex sync.Mutex
	sum := 0
	add := func() {
		mutex.Lock()
		sum++
		mutex.Unlock()
	}
	return func() bool {
		before := sum
		done := make(chan struct{})
		go func() {
			for i := 0; i < 100; i++ {
				add()
			}
			close(done)
		}()
		for i := 0; i < 100; i++ {
			add()
		}
		<-done
		return sum == before+200
	}
}

// echo sends numbers over loopback TCP and back.
func echo() func() bool {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	go func() {
		far, err := listener.Accept()
		check(err)
		_, _ = io.Copy(far, far)
	}()
	near, err := net.Dial("tcp", listener.Addr().String())
	check(err)
	n, buffer := uint64(0), make([]byte, 8)
	return func() bool {
		n++
		_, err := near.Write(binary.LittleEndian.AppendUint64(nil, n))
		check(err)
		_, err = io.ReadFull(near, buffer)
		check(err)
		return binary.LittleEndian.Uint64(buffer) == n
	}
}

// pipe goes through a pipe that Go's poller knows nothing of.
func pipe() func() bool {
	var ends [2]int
	check(syscall.Pipe(ends[:]))
	n := byte(0)
	return func() bool {
		n++
		go func(n byte) { _, _ = syscall.Write(ends[1], []byte{n}) }(n)
		buffer := []byte{0}
		for {
			count, err := syscall.Read(ends[0], buffer)
			if err != syscall.EINTR {
				return count == 1 && buffer[0] == n
			}
		}
	}
}

func sleep() bool {
	began := time.Now()
	time.Sleep(time.Millisecond)
	return time.Since(began) >= time.Millisecond
}

// bear has a goroutine live for a moment, on a stack that has to grow.
func bear() bool {
	answer := make(chan int)
	go func() { answer <- depth(200) }()
	return <-answer == 200
}

func depth(n int) int {
	var room [64]byte
	if n == 0 {
		return int(room[0])
	}
	return 1 + depth(n-1)
}

// lockThread has a thread end with its goroutine.
func lockThread() bool {
	done := make(chan bool)
	go func() {
		runtime.LockOSThread()
		runtime.Gosched()
		done <- true
	}()
	return <-done
}

func report(what map[string]any) {
	line, err := json.Marshal(what)
	check(err)
	_, err = os.Stdout.Write(append(line, '\n'))
	check(err)
}

// awaitLine returns at the next line or at the end of the input.
func awaitLine(input *bufio.Reader) {
	_, _ = input.ReadString('\n')
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
