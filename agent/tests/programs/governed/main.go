// Governed is observed by the tests of the governor. Its goroutines wait in several ways and for very different times, and each keeps account of
// how long. After the line `go` on standard input it begins; at each line that follows it says on standard output, as a JSON object, how long
// they have waited so far, by Go's name of the reason. With the argument `calm` it does little until a second line comes, and a hundred times as
// much after it. With `calls` it makes system calls that do not wait as fast as it can, beside that. With `become` and a command it becomes that
// one at a second line. It ends, with status 0, when its standard input is closed.
package main

import (
	"bufio"
	"encoding/json"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// account is of one goroutine, which alone writes to it.
type account struct {
	reason string
	// Time in waits that have ended, and how many; ns.
	total, count atomic.Int64
	// When the present one began, ns; 0: none.
	since atomic.Int64
}

var (
	accounts []*account
	began    = time.Now()
)

func newAccount(reason string) *account {
	a := &account{reason: reason}
	accounts = append(accounts, a)
	return a
}

func now() int64 { return int64(time.Since(began)) + 1 }

func (a *account) waiting(wait func()) {
	start := now()
	a.since.Store(start)
	wait()
	a.since.Store(0)
	a.total.Add(now() - start)
	a.count.Add(1)
}

func main() {
	input := bufio.NewReader(os.Stdin)
	report(map[string]any{"event": "started", "pid": os.Getpid()})
	if _, err := input.ReadString('\n'); err != nil {
		return
	}
	if len(os.Args) > 1 && os.Args[1] == "calm" {
		var load atomic.Int64
		load.Store(1)
		go paced(&load)
		if _, err := input.ReadString('\n'); err != nil {
			return
		}
		load.Store(100)
		report(map[string]any{"event": "jumped"})
	} else if len(os.Args) > 2 && os.Args[1] == "become" {
		pingPong()
		if _, err := input.ReadString('\n'); err != nil {
			return
		}
		panic(syscall.Exec(os.Args[2], os.Args[2:], os.Environ()))
	} else {
		if len(os.Args) > 1 && os.Args[1] == "calls" {
			go readZeros()
		}
		pingPong()
		for i := 0; i < 4; i++ {
			go sleeper(newAccount("sleep"))
		}
		var lock sync.Mutex
		for i := 0; i < 3; i++ {
			go contender(&lock, newAccount("sync.Mutex.Lock"), newAccount("select"))
		}
		for i := 0; i < 2; i++ {
			go patient(newAccount("select"))
		}
	}
	for {
		if _, err := input.ReadString('\n'); err != nil {
			return
		}
		told := map[string][2]int64{}
		for _, a := range accounts {
			sum := told[a.reason]
			sum[0] += a.total.Load()
			if since := a.since.Load(); since != 0 {
				sum[0] += now() - since
			}
			sum[1] += a.count.Load()
			told[a.reason] = sum
		}
		report(map[string]any{"event": "told", "waits": told})
	}
}

// pingPong begins two goroutines that work and wait in turn.
func pingPong() {
	// With room for the one that is sent: sending never waits.
	there, back := make(chan struct{}, 1), make(chan struct{}, 1)
	turn := func(a *account, from, to chan struct{}) {
		for {
			a.waiting(func() { <-from })
			spin(30 * time.Microsecond)
			to <- struct{}{}
		}
	}
	go turn(newAccount("chan receive"), there, back)
	go turn(newAccount("chan receive"), back, there)
	there <- struct{}{}
}

func readZeros() {
	zeros, err := syscall.Open("/dev/zero", syscall.O_RDONLY, 0)
	if err != nil {
		panic(err)
	}
	for buffer := make([]byte, 1); ; {
		if _, err := syscall.Read(zeros, buffer); err != nil {
			panic(err)
		}
	}
}

func sleeper(a *account) {
	for {
		a.waiting(func() { time.Sleep(50 * time.Millisecond) })
	}
}

// contender holds the lock for 2 ms at a time.
func contender(lock *sync.Mutex, waits, holds *account) {
	never := make(chan struct{})
	for {
		waits.waiting(lock.Lock)
		holds.waiting(func() {
			select {
			case <-time.After(2 * time.Millisecond):
			case <-never:
			}
		})
		lock.Unlock()
	}
}

// patient waits for longer than any window.
func patient(a *account) {
	never := make(chan struct{})
	for {
		a.waiting(func() {
			select {
			case <-time.After(1700 * time.Millisecond):
			case <-never:
			}
		})
	}
}

// paced has two goroutines hand something to one another ten times that often a second.
func paced(load *atomic.Int64) {
	requests, answers := make(chan struct{}), make(chan struct{})
	go func() {
		for range requests {
			spin(5 * time.Microsecond)
			answers <- struct{}{}
		}
	}()
	for range time.Tick(100 * time.Millisecond) {
		for i := int64(0); i < load.Load(); i++ {
			requests <- struct{}{}
			<-answers
		}
	}
}

func spin(length time.Duration) {
	for began := time.Now(); time.Since(began) < length; {
	}
}

func report(what any) {
	line, err := json.Marshal(what)
	if err != nil {
		panic(err)
	}
	if _, err := os.Stdout.Write(append(line, '\n')); err != nil {
		panic(err)
	}
}
