//go:build cgo

package main

/*
#include <pthread.h>
#include <unistd.h>

extern int plusOne(int);

// The scheduler's signals may cut the sleep short.
static int nap(int n) {
	usleep(100);
	return n + 1;
}

static int call_back(int n) { return plusOne(n) + 1; }

static void *on_thread(void *n) {
	*(int *)n = plusOne(*(int *)n);
	return 0;
}

static int by_thread(int n) {
	pthread_t thread;

	if (pthread_create(&thread, 0, on_thread, &n))
		return -1;
	pthread_join(thread, 0);
	return n;
}
*/
import "C"

import "time"

func init() {
	more = append(more,
		load{"called in C", func() bool { return C.nap(41) == 42 }},
		load{"called back", func() bool { return C.call_back(40) == 42 }},
		load{"called by C's thread", func() bool { return C.by_thread(41) == 42 }},
	)
}

//export plusOne
func plusOne(n C.int) C.int {
	time.Sleep(10 * time.Microsecond)
	return n + 1
}
