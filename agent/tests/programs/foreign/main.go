// Foreign is observed by the tests of the capture: its goroutines call C functions that block, in ways whose answer is known. It
// says so, one JSON object per line on standard output; it begins when it reads a line, and ends, with status 0, when its
// standard input is closed.
package main

/*
#cgo LDFLAGS: -lpthread
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#define HOLD_US 30000

static void nap(void) {
	usleep(HOLD_US);
}

// Without any library in between.
static void nap_by_itself(void) {
	struct timespec length = { 0, HOLD_US * 1000 };
	long result = 35; // nanosleep

	__asm__ volatile("syscall" : "+a"(result) : "D"(&length), "S"(0) : "rcx", "r11", "memory");
}

// Nobody signals it.
static void wait_on_condition(void) {
	pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += HOLD_US * 1000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&mutex);
	while (pthread_cond_timedwait(&condition, &mutex, &until) == 0)
		;
	pthread_mutex_unlock(&mutex);
}

extern void backInGo(void);

static void call_back(void) {
	backInGo();
}

// Long enough that whoever waits for it, be that late, does.
static void *nap_elsewhere(void *unused) {
	nap();
	nap();
	nap();
	return unused;
}

// A thread that Go knows nothing of naps, and this one waits for it.
static void join(void) {
	pthread_t other;

	pthread_create(&other, 0, nap_elsewhere, 0);
	pthread_join(other, 0);
}
*/
import "C"

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"time"
)

const (
	rounds = 3
	// The scheduler's own signals would wake who naps in C.
	withoutSignals = "GODEBUG=asyncpreemptoff=1"
)

func main() {
	if !slices.Contains(os.Environ(), withoutSignals) {
		panic(syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), withoutSignals)))
	}
	input := bufio.NewReader(os.Stdin)
	report(map[string]any{"event": "started", "pid": os.Getpid()})
	awaitLine(input)
	for _, s := range []struct {
		name string
		call func()
	}{{"nap", nap}, {"own", own}, {"condition", condition}, {"callback", callback}, {"join", join}} {
		play(s.name, s.call)
	}
	report(map[string]any{"event": "done"})
	awaitLine(input)
}

func nap()       { C.nap() }
func own()       { C.nap_by_itself() }
func condition() { C.wait_on_condition() }
func callback()  { C.call_back() }
func join()      { C.join() }

//export backInGo
func backInGo() { inside() }

// inside calls C again, from Go code that C called.
func inside() { C.nap() }

func play(name string, call func()) {
	reports := make(chan map[string]any)
	go func() {
		for round := 0; round < rounds; round++ {
			began := time.Now()
			call()
			reports <- map[string]any{
				"event": "called", "name": name, "goid": goid(), "round": round,
				"began_wall_ns": began.UnixNano(), "took_ns": time.Since(began).Nanoseconds(),
			}
		}
		close(reports)
	}()
	for r := range reports {
		report(r)
	}
}

func goid() uint64 {
	var buffer [64]byte
	id, err := strconv.ParseUint(string(bytes.Fields(buffer[:runtime.Stack(buffer[:], false)])[1]), 10, 64)
	check(err)
	return id
}

// awaitLine returns at the next line or at the end of the input.
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
