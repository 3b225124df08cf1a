//go:build cgo

package main

/*
#include <pthread.h>
#include <unistd.h>

extern void sleepInGo(void);
extern void sleepOnThread(void);

static void call_back(int rounds, unsigned us) {
	for (int i = 0; i < rounds; i++) {
		sleepInGo();
		usleep(us);
	}
}

static void *on_thread(void *us) {
	sleepOnThread();
	usleep(*(unsigned *)us);
	return 0;
}

static void run_thread(unsigned us) {
	pthread_t thread;

	pthread_create(&thread, 0, on_thread, &us);
	pthread_join(thread, 0);
}
*/
import "C"

import "time"

var inC = func() {
	for i := 0; i < rounds; i++ {
		C.usleep(C.useconds_t(nap.Microseconds()))
	}
}

// calledBack is in C, and in between in Go that C calls.
var calledBack = func() { C.call_back(rounds, C.unsigned(nap.Microseconds())) }

//export sleepInGo
func sleepInGo() { time.Sleep(nap) }

// onThread has a thread of C's own call Go once, and then stay in C.
var onThread = func() { C.run_thread(C.unsigned(rounds * nap.Microseconds())) }

//export sleepOnThread
func sleepOnThread() {
	began := time.Now()
	time.Sleep(nap)
	report(map[string]any{"event": "played", "name": "thread of C", "goid": goid(), "took_ns": time.Since(began).Nanoseconds()})
}
