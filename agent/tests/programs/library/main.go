// Library is Go code in a program that is not Go: its host loads it while it runs, and calls Run in a thread of its own. Goroutines
// wait there in ways that are known.
package main

import "C"

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A goroutine that comes late to its wait by less than this still waits for the most of it.
const hold = 300 * time.Millisecond

func main() {}

// Run has goroutines wait, one after the other, each so many times, and tells what they are, one JSON object per line.
//
//export Run
func Run(rounds C.int) {
	for range make([]struct{}, int(rounds)) {
		for name, wait := range ways() {
			reports := make(chan string)
			go func() { reports <- waitOnce(name, wait) }()
			fmt.Println(<-reports)
		}
	}
	fmt.Println(`{"event":"done"}`)
}

func waitOnce(name string, wait func()) string {
	began := time.Now()
	wait()
	return fmt.Sprintf(`{"event":"waited","way":%q,"goid":%d,"took_ns":%d}`, name, goid(), time.Since(began).Nanoseconds())
}

func ways() map[string]func() {
	return map[string]func(){
		"chan receive": func() { <-after(hold) },
		"sleep":        func() { time.Sleep(hold) },
		"sync.Mutex.Lock": func() {
			var mutex sync.Mutex
			mutex.Lock()
			go func() { time.Sleep(hold); mutex.Unlock() }()
			mutex.Lock()
		},
		"IO wait": func() {
			read, write, err := os.Pipe()
			if err != nil {
				panic(err)
			}
			go func() { time.Sleep(hold); write.Write([]byte{1}); write.Close() }()
			read.Read(make([]byte, 1))
			read.Close()
		},
	}
}

// after is closed then; nothing else runs on its channel.
func after(d time.Duration) chan struct{} {
	done := make(chan struct{})
	go func() { time.Sleep(d); close(done) }()
	return done
}

func goid() uint64 {
	buffer := make([]byte, 64)
	text := string(buffer[:runtime.Stack(buffer, false)])
	id, err := strconv.ParseUint(strings.Fields(text)[1], 10, 64)
	if err != nil {
		panic(err)
	}
	return id
}
