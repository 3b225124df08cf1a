// States is observed by the tests of how goroutines split their time. It says what its goroutines did: one JSON object per line on
// standard output; it begins when it reads a line, and ends, with status 0, when its standard input is closed.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	nap    = 20 * time.Millisecond
	rounds = 3
	// A goroutine that is not wanted for anything else keeps its processor for ten milliseconds.
	burn  = 300 * time.Millisecond
	short = 2000
)

var output sync.Mutex

func report(event map[string]any) {
	output.Lock()
	defer output.Unlock()
	line, err := json.Marshal(event)
	if err != nil {
		panic(err)
	}
	os.Stdout.Write(append(line, '\n'))
}

func goid() uint64 {
	buf := make([]byte, 64)
	buf = bytes.TrimPrefix(buf[:runtime.Stack(buf, false)], []byte("goroutine "))
	id, err := strconv.ParseUint(string(buf[:bytes.IndexByte(buf, ' ')]), 10, 64)
	if err != nil {
		panic(err)
	}
	return id
}

// play runs what in a goroutine of its own, which has nothing else to do, and reports how long it took.
func play(name string, what func()) *sync.WaitGroup {
	var ended sync.WaitGroup
	ended.Add(1)
	go func() {
		defer ended.Done()
		id := goid()
		began := time.Now()
		what()
		took := time.Since(began)
		report(map[string]any{"event": "played", "name": name, "goid": id, "took_ns": took.Nanoseconds()})
	}()
	return &ended
}

func sleep() {
	for i := 0; i < rounds; i++ {
		time.Sleep(nap)
	}
}

func spin(until time.Time) {
	for time.Now().Before(until) {
	}
}

// call blocks a thread: the runtime knows nothing of it but that it is in a system call.
func call(duration time.Duration) {
	for i := 0; i < rounds; i++ {
		left := syscall.NsecToTimespec(duration.Nanoseconds())
		for syscall.Nanosleep(&left, &left) == syscall.EINTR {
		}
	}
}

func lock() {
	for i := 0; i < rounds; i++ {
		var mutex sync.Mutex
		mutex.Lock()
		time.AfterFunc(nap, mutex.Unlock)
		mutex.Lock()
	}
}

// oneProcessor has goroutines compete.
func oneProcessor() {
	before := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(before)
	input, output, err := os.Pipe()
	if err != nil {
		panic(err)
	}
	began := time.Now()
	until := began.Add(burn)
	all := []*sync.WaitGroup{play("polled", func() { input.Read(make([]byte, 1)) })}
	runtime.Gosched()
	for i := 0; i < 3; i++ {
		first := i == 0
		all = append(all, play("share", func() {
			spin(began.Add(burn / 3))
			if first {
				// What reads it is ready then, and stands behind the other two.
				output.Write([]byte{1})
			}
			spin(until)
		}))
	}
	for _, each := range all {
		each.Wait()
	}
	gate := make(chan int)
	woken := play("woken", func() { <-gate })
	waker := play("waker", func() {
		// It keeps the processor after it woke the other one.
		time.Sleep(nap)
		close(gate)
		spin(time.Now().Add(nap))
	})
	woken.Wait()
	waker.Wait()
	until = time.Now().Add(burn)
	spinner := play("spin alone", func() { spin(until) })
	// Go's monitor takes a processor from a thread that is in a call when it finds it there twice: every ten milliseconds it looks.
	play("hand off", func() { call(3 * nap) }).Wait()
	spinner.Wait()
}

func shortLives() {
	for i := 0; i < short; i++ {
		ended := make(chan struct{})
		go close(ended)
		<-ended
	}
}

func main() {
	input := bufio.NewReader(os.Stdin)
	go func() { <-make(chan int) }()
	report(map[string]any{"event": "started"})
	if _, err := input.ReadString('\n'); err != nil {
		panic(err)
	}
	play("sleep", sleep).Wait()
	play("spin", func() { spin(time.Now().Add(burn)) }).Wait()
	play("call", func() { call(nap) }).Wait()
	play("lock", lock).Wait()
	if inC != nil {
		play("in C", inC).Wait()
		play("called back", calledBack).Wait()
		play("joins", onThread).Wait()
	}
	if coroutine != nil {
		play("coroutine", coroutine).Wait()
	}
	oneProcessor()
	shortLives()
	play("last", sleep).Wait()
	report(map[string]any{"event": "done"})
	input.ReadString('\n')
}
